"""The timing harness, reduced: the bars on a few minutes of the board's time, and firmware that is
wrong on purpose, which must miss them. The cost model against the table that it is fitted to.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from timing import costs
from timing.clock import Clock
from timing.instrument import instrumented

HERE = Path(__file__).parent
TOLERANCE = 0.25
LIMIT_S = 120

SNIPPETS = """
def run(n, f, bound, pack_into, ticks_us, ticks_diff, buf, view, two, a, b, x):
    for i in range(n):
        %s
def f():
    pass
class C:
    def bound(self, x):
        pass
"""


def harness(*args):
    """(exit status, report) of a run."""
    done = subprocess.run(
        [sys.executable, str(HERE / "timing"), "--json", *args],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )
    assert done.stdout, done.stderr[-3000:]
    return done.returncode, json.loads(done.stdout)


@pytest.mark.parametrize("statement", costs.TABLE)
def test_the_cost_model_gives_the_table(statement):
    clock = Clock()
    names = {"_t": clock.t, "_due": clock.due}
    exec(instrumented(SNIPPETS % statement, "snippet.py"), names)
    turns = 1000
    buf = bytearray(4 * turns)
    nothing = lambda *args: 0  # noqa: E731
    arguments = names["f"], names["C"]().bound, nothing, nothing, nothing, buf, buf, {1: 1, 2: 2}
    names["run"](turns, *arguments, 1, 2, 3)
    us = clock.t[0] / 1000 / turns
    assert abs(us - costs.TABLE[statement]) <= TOLERANCE * costs.TABLE[statement], us


def test_the_bars_for_a_mixed_machine_with_flash_and_sync():
    status, report = harness("--only", "mixed", "--hours", "0.015")
    mixed = report["mixed"]
    assert mixed["erases"] > 20 and mixed["calls"] > 20
    assert all(s["outside"] == 0 for s in mixed["streams"])
    assert mixed["missed_bars"] == [] and status == 0


def test_the_bars_at_a_kilohertz():
    status, report = harness("--only", "fast", "--hours", "0.004")
    fast = report["fast"]
    assert fast["cpu"] <= 0.5
    assert sum(s["missed"] for s in fast["streams"]) > 0  # there were erases
    assert fast["missed_bars"] == [] and status == 0


def test_erases_fall_where_nothing_is_due():
    status, report = harness("--only", "slow", "--hours", "0.03")
    assert report["slow"]["erases"] >= 20
    assert report["slow"]["missed_bars"] == [] and status == 0


def test_the_same_seed_gives_the_same_report():
    first, second = [harness("--only", "fast", "--hours", "0.001")[1]["fast"] for _ in range(2)]
    for report in (first, second):
        report.pop("took_s")
    assert first == second


@pytest.mark.parametrize(
    ("mutant", "part", "hours", "sign"),
    [
        ("uncounted", "fast", "0.003", "not counted"),
        ("unrecorded", "fast", "0.003", "drop records"),
        ("careless", "slow", "0.02", "where nothing was due"),
        ("drifting", "mixed", "0.01", "p99"),
    ],
)
def test_firmware_that_is_wrong_misses_the_bars(mutant, part, hours, sign):
    status, report = harness("--only", part, "--hours", hours, "--mutant", mutant)
    assert status == 1
    assert any(sign in line for line in report[part]["missed_bars"]), report[part]["missed_bars"]


def test_others_do_worse_on_the_same_workload():
    _, report = harness("--only", "beside", "--hours", "0.01")
    missed = {
        name: sum(s["missed"] for s in r["streams"]) / sum(s["expected"] for s in r["streams"])
        for name, r in report["beside"].items()
    }
    ours = missed.pop("Cistern")
    assert ours < 0.04
    assert all(other > 2 * ours for other in missed.values()), (ours, missed)
