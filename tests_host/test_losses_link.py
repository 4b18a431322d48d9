"""A board whose flash was full, and what its user learns of it: whole processes."""

import json
import subprocess
from functools import partial

import pytest

from bench_support import Bench, cistern, machine, running
from shared.balance import assert_balanced
from support import eventually as within

eventually = partial(within, timeout_s=60)
SIZE = "--flash-size", "24K"
# Not of `health`, whose readings change their shape: what had an old one is known by number only.
LOSSES = """SELECT component || '/' || method, reason, count FROM losses
    WHERE component IN ('slow', 'fast') ORDER BY 1, 2"""


@pytest.fixture
def bench(tmp_path):
    made = Bench(tmp_path)
    made_of = machine({"slow": 5, "fast": 200})
    made_of["services"][0]["attributes"].update(cloud_poll_secs=1, flush_interval_ms=200)
    health = {"name": "h", "type": "sensor", "model": "health", "attributes": {}}
    capture = {"capture_methods": [{"method": "Readings", "capture_frequency_hz": 1}]}
    health["service_configs"] = [{"type": "data_manager", "attributes": capture}]
    made_of["components"].append(health)
    made.machine.write_text(json.dumps(made_of))
    yield made
    made.stop_receiver()


def _balanced(board):
    for status in board.statuses():
        assert_balanced(status)
    return board.statuses()[-1]


def _losses(status):
    rows = ((name, by) for name, by in status["losses"].items() if name[0] in "sf")
    return sorted((name, reason, n) for name, by in rows for reason, n in by.items() if n)


def _told(bench):
    return {(name, reason): n for name, reason, n in bench.rows(LOSSES)}


@pytest.mark.parametrize("runtime", ["micropython", "cpython"])
def test_what_a_full_flash_costs_is_counted_wherever_one_looks(bench, runtime):
    with running(bench.board(*SIZE, "--for", "15", cloud=False, runtime=runtime)) as board:
        assert board.wait() == 0, board.log()
        status = _balanced(board)
        log = board.log()
    row = status["streams"]["fast/Readings"]
    # The log is too small to be thinned: its nine tenths are all of it.
    given_up = row["lost_log_full"]
    assert row["dropped"] >= given_up > 300
    assert row["captured"] == row["pending"] + row["dropped"]
    told = sum(log.count(f"fast/Readings: {n} readings lost, ") for n in range(1, 10000))
    assert 1 <= told <= 8, log
    dump = subprocess.run(
        [*cistern("log"), "dump", str(bench.flash)], capture_output=True, text=True, timeout=60
    )
    states = {json.loads(line)["state"] for line in dump.stdout.splitlines()}
    assert (
        "unsent" in states
        and "sent" not in states
        and "sent" not in dump.stderr.replace("unsent", "")
    )
    for name, reason, n in _losses(status):
        assert f"lost: {n} readings of {name}, {reason}" in dump.stderr
    # Online the cloud hears of it, of what health said then, and again after each start.
    bench.start_receiver()
    said = {}
    for _ in range(2):
        with running(bench.board(*SIZE, runtime=runtime)) as board:
            eventually(lambda: _told(bench).get(("fast/Readings", "log_full"), 0) >= given_up)
            eventually(lambda b=board: (b.stream("slow/Readings") or {}).get("synced"))
            board.power_cut()
        # What was told stays, and no start makes it more than it is.
        assert all(_told(bench)[key] >= n for key, n in said.items())
        said = _told(bench)
    with running(bench.board(*SIZE, "--for", "3", runtime=runtime)) as board:
        assert board.wait() == 0, board.log()
        last = board.statuses()[-1]
    assert bench.rows(LOSSES) == _losses(last)
    # All that ever was durable is stored, and once, or pending, or lost.
    for name in "fast", "slow":
        numbers = bench.counters(name)
        row = last["streams"][f"{name}/Readings"]
        lost = last["losses"][f"{name}/Readings"].get("log_full", 0)
        most = sum(max(n) + 1 for n in numbers.values())
        assert sum(map(len, numbers.values())) + row["pending"] + lost >= most
    health = [
        json.loads(p)["readings"]
        for (p,) in bench.rows(
            "SELECT payload FROM readings WHERE component = 'h' ORDER BY time_ns"
        )
    ]
    assert health[-1]["log_full"] > 0 and max(h["dropped"] for h in health) > 0
