"""The main job end to end: a board under MicroPython, its power cut, syncing over TLS."""

import json
import random
import signal
import time

import pytest

from bench_support import SECRET, Bench, expired_certificate, machine, running
from support import EXAMPLES, eventually

CYCLES = 5


@pytest.fixture
def bench(tmp_path):
    made = Bench(tmp_path)
    made.machine.write_text(json.dumps(machine({"slow": 5, "fast": 50})))
    yield made
    made.stop_receiver()


def test_readings_survive_power_cuts_without_gap_or_double(bench):
    """SIGKILL at random moments: each boot's numbers are 0…k, and all durable ones arrive."""
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    bench.start_receiver()
    durable = []
    for _ in range(CYCLES):
        with running(bench.board()) as board:
            for name in ("slow", "fast"):  # so that each boot has numbers of both
                eventually(
                    lambda b=board, n=name: (b.stream(f"{n}/Readings") or {}).get("durable")
                )
            time.sleep(dice.uniform(0, 2))  # when the cut comes is what the seed decides
            board.power_cut()
            durable.append(
                {name: board.stream(f"{name}/Readings")["durable"] for name in ("slow", "fast")}
            )
    with running(bench.board("--for", "1")) as board:
        assert board.wait() == 0, board.log()
        last = board.statuses()[-1]["streams"]
    for name in ("slow", "fast"):
        assert last[f"{name}/Readings"]["pending"] == 0
        boots = bench.counters(name)
        assert len(boots) == CYCLES + 1, f"seed {seed}"
        for numbers, least in zip(boots.values(), [*(d[name] for d in durable), 0], strict=True):
            assert numbers == list(range(len(numbers))), f"seed {seed}: {name}"
            assert len(numbers) >= least, f"seed {seed}: {name} lost durable readings"


def test_a_dead_receiver_costs_nothing_and_sync_goes_on_when_it_is_back(bench):
    bench.start_receiver()
    listen = bench.url.removeprefix("https://")
    with running(bench.board()) as board:
        eventually(lambda: (board.stream("slow/Readings") or {}).get("synced"))
        bench.stop_receiver()
        eventually(lambda: board.statuses()[-1]["link"].startswith("down"))
        before = board.stream("fast/Readings")["captured"]
        eventually(lambda: board.stream("fast/Readings")["captured"] > before + 50)
        bench.start_receiver(listen)
        eventually(lambda: board.statuses()[-1]["link"] == "up", 60)
        board.process.send_signal(signal.SIGINT)
        assert board.wait() == 0, board.log()
        end = board.statuses()[-1]["streams"]["fast/Readings"]
    assert end["pending"] == 0 and end["dropped"] == 0
    (numbers,) = bench.counters("fast").values()
    assert numbers == list(range(end["captured"]))


@pytest.mark.parametrize("runtime", ["micropython", "cpython"])
def test_a_board_that_was_offline_delivers_later_with_the_right_times(bench, runtime):
    start = time.time_ns()
    with running(bench.board("--for", "2", cloud=False, runtime=runtime)) as board:
        assert board.wait() == 0, board.log()
        captured = board.statuses()[-1]["streams"]["fast/Readings"]["captured"]
        assert board.statuses()[-1]["streams"]["fast/Readings"]["durable"] == captured
    end = time.time_ns()
    bench.machine.write_text(json.dumps(machine({})))
    bench.start_receiver()
    with running(bench.board("--for", "1", runtime=runtime)) as board:
        assert board.wait() == 0, board.log()
    (numbers,) = bench.counters("fast").values()
    assert numbers == list(range(captured))
    times = [t for (t,) in bench.rows("SELECT time_ns FROM readings WHERE component = 'fast'")]
    assert start < min(times) and max(times) < end
    assert bench.rows("SELECT DISTINCT tags FROM readings") == [('["test"]',)]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"url": "https://127.0.0.1:1"}, "refused"),
        ({"ca": "other"}, "not signed by a trusted CA"),
        ({"url": "host name"}, "not for the name"),
        ({"secret": "wrong"}, "failed to authenticate"),
        ({"part": "nobody"}, "failed to authenticate"),
        ({"ca": "expired"}, "has expired"),
    ],
    ids=["unreachable", "wrong CA", "wrong host name", "wrong secret", "unknown part", "expired"],
)
def test_what_is_wrong_with_the_cloud_is_said_plainly_and_nothing_is_lost(bench, change, words):
    expired = change.get("ca") == "expired"
    if expired:
        change = {}
        bench.start_receiver("127.0.0.1:0", *expired_certificate(bench.folder))
    else:
        bench.start_receiver()
    more = []
    if change.get("ca"):
        from cistern_tools import devca

        change = {"ca": devca.ensure(bench.folder / "other", []).ca}
    if change.get("url") == "host name":
        change = {}
        more = ["--server-name", "elsewhere.example"]
    if change.get("secret"):
        wrong = bench.folder / "wrong"
        wrong.write_text("not the secret")
        change = {"secret": wrong}
    with running(bench.board(*more, **change)) as board:
        eventually(lambda: words in board.log(), 30)
        eventually(lambda: (board.stream("fast/Readings") or {}).get("durable", 0) > 20)
        assert board.statuses()[-1]["link"].startswith("down: ")
        assert SECRET not in board.log() and "not the secret" not in board.log()
        board.power_cut()
        durable = board.stream("fast/Readings")["durable"]
    if expired:
        bench.stop_receiver()
        bench.start_receiver()
    with running(bench.board("--for", "1")) as board:
        assert board.wait() == 0, board.log()
    first, _ = bench.counters("fast").values()
    assert first == list(range(len(first))) and len(first) >= durable


def test_a_broken_configuration_is_located_and_the_last_good_one_runs(bench):
    with running(bench.board("--for", "1", cloud=False)) as board:
        assert board.wait() == 0
    bench.machine.write_text('{"components": [\n  {"name": "x",, }\n]}')
    with running(bench.board("--for", "1", cloud=False)) as board:
        assert board.wait() == 0
        assert f"{bench.machine}:2:16" in board.log()
        assert "last good configuration" in board.log()
        assert board.statuses()[-1]["streams"]["fast/Readings"]["captured"] > 10


def test_a_broken_first_configuration_ends_with_a_sentence(bench):
    bench.machine.write_text("{")
    with running(bench.board("--for", "1", cloud=False)) as board:
        assert board.wait() == 2
        assert f"{bench.machine}:1:" in board.log() and "mend" in board.log()


def test_one_bad_entry_does_not_stop_the_others(bench):
    broken = machine({"good": 20, "bad": 20})
    bad = broken["components"][1]
    bad["service_configs"][0]["attributes"]["capture_methods"][0]["capture_frequency_hz"] = -1
    broken["components"].append({"name": "odd", "type": "sensor", "model": "no-such"})
    bench.machine.write_text(json.dumps(broken))
    with running(bench.board("--for", "1", cloud=False)) as board:
        assert board.wait() == 0
        at = 'components[1] "bad".service_configs[0].attributes.capture_methods[0]'
        assert at in board.log()
        assert 'components[2] "odd".model' in board.log() and "no-such" in board.log()
        streams = board.statuses()[-1]["streams"]
    assert streams["good/Readings"]["captured"] >= 18
    assert "bad/Readings" not in streams


def test_a_flash_that_holds_something_else_is_left_alone_and_the_log_is_in_ram(bench):
    other = b"not a log of Cistern" * 60000
    bench.flash.write_bytes(other[: 1 << 20])
    with running(bench.board("--for", "3", cloud=False)) as board:
        assert board.wait() == 0
        last = board.statuses()[-1]
        assert any("the flash cannot have the log" in text for text in last["problems"])
        assert all(row["durable"] == row["captured"] > 10 for row in last["streams"].values())
    assert bench.flash.read_bytes() == other[: 1 << 20]


@pytest.mark.parametrize("runtime", ["micropython", "cpython"])
def test_a_log_in_a_folder_survives_as_one_on_flash_does(bench, runtime):
    wanted = machine({"fast": 50})
    folder = bench.folder / "capture"
    wanted["services"][0]["attributes"]["capture_dir"] = str(folder)
    bench.machine.write_text(json.dumps(wanted))
    with running(bench.board(cloud=False, runtime=runtime)) as board:
        eventually(lambda: (board.stream("fast/Readings") or {}).get("durable"))
        board.power_cut()
        durable = board.stream("fast/Readings")["durable"]
    assert list(folder.glob("*.log"))
    bench.start_receiver()
    with running(bench.board("--for", "1", runtime=runtime)) as board:
        assert board.wait() == 0, board.log()
    first, second = bench.counters("fast").values()
    assert first == list(range(len(first))) and len(first) >= durable
    assert second == list(range(len(second)))


@pytest.mark.parametrize(
    ("example", "more", "absent"),
    [
        ("try-out", (), set()),
        # The light sensor of this example is on no simulated bus.
        ("own-models", ("--models", str(EXAMPLES / "models")), {"sun/Readings"}),
    ],
)
def test_models_run_beside_each_other_and_an_absent_device_is_said(bench, example, more, absent):
    wanted = json.loads((EXAMPLES / f"{example}.json").read_text())
    for component in wanted["components"]:
        for config in component.get("service_configs", ()):
            for method in config["attributes"]["capture_methods"]:
                method["capture_frequency_hz"] = max(method["capture_frequency_hz"], 1)
    bench.machine.write_text(json.dumps(wanted))
    with running(bench.board("--for", "5", *more, "--heap", "400K", cloud=False)) as board:
        assert board.wait() == 0, board.log()
        log = board.log()
        streams = board.statuses()[-1]["streams"]
    assert "Traceback" not in log
    assert {name for name, row in streams.items() if not row["durable"]} == absent
    assert ("no answer from address 0x23" in log) == bool(absent), log
