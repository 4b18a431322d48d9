"""Models that do every odd thing cost their own readings, counted, and nothing else."""

import json
import shutil
import signal
from pathlib import Path

import pytest

import odd_models
from bench_support import PART, Bench, machine, running
from cistern.resources import own_models
from support import eventually as within

own_models.pop("lab:odd:odd")  # this process has no use for it
HERE = Path(__file__).parent
HZ = 1


def eventually(condition):
    return within(condition, timeout_s=90)


@pytest.fixture
def bench(tmp_path):
    made = Bench(tmp_path)
    made.models = tmp_path / "models"
    made.models.mkdir()
    yield made
    made.stop_receiver()


def odd(bench, names, good=10):
    """A machine with a good sensor and those that are odd in these ways."""
    shutil.copy(HERE / "odd_models.py", bench.models)
    wanted = machine({"good": good})
    for name in names:
        made = machine({name: HZ})["components"][0]
        made["model"] = "lab:odd:odd"
        made["attributes"] = {"how": name}
        wanted["components"].append(made)
    # Fewer and larger parcels: a board with so many streams spends its time looking for them.
    wanted["services"][0]["attributes"]["flush_interval_ms"] = 8000
    bench.machine.write_text(json.dumps(wanted))


def numbers(bench, component):
    sql = "SELECT payload->>'$.readings.n' FROM readings WHERE component = ? ORDER BY time_ns"
    return [n for (n,) in bench.rows(sql, component)]


def board(bench, *more, runtime="micropython", **options):
    return bench.board("--models", str(bench.models), "--heap", "900K", *more, runtime=runtime)


ALL = [*odd_models.ODD, *odd_models.ODD_FIELDS, *odd_models.ODD_WAITING]
STUCK = {"forever", "unstoppable"}


@pytest.mark.parametrize("runtime", ["micropython", "cpython"])
def test_each_costs_its_own_readings_only(bench, runtime):
    bench.start_receiver()
    # CPython's asyncio.run() waits for what does not let itself be cancelled, MicroPython's not.
    every = [name for name in ALL if runtime == "micropython" or name != "unstoppable"]
    odd(bench, [*every, *odd_models.BAD_SOURCES])
    with running(board(bench, runtime=runtime)) as b:
        rows = lambda: b.statuses()[-1]["streams"] if b.statuses() else {}  # noqa: E731
        done = lambda row, n: row.get("synced", 0) >= n and row.get("missed", 0) >= n  # noqa: E731

        def far():
            found = rows()
            return all(
                done(found.get(f"{name}/Readings", {}), 1 if name in STUCK else 3)
                for name in every
            )

        try:
            eventually(far)
        except AssertionError:
            late = [n for n in every if not done(rows().get(f"{n}/Readings", {}), 3)]
            raise AssertionError((late, rows(), b.log()[-3000:])) from None
        eventually(lambda: b.stream("good/Readings")["synced"] > 60)
        assert b.statuses()[-1]["link"] == "up"
        b.process.send_signal(signal.SIGINT)
        assert b.wait() == 0, b.log()
        last, log = b.statuses()[-1], b.log()
    good = last["streams"]["good/Readings"]
    assert good.get("lost_source_error", 0) == 0
    (counted,) = bench.counters("good").values()
    # On a busy PC the last sync may be cut short.
    assert len(counted) == good["captured"] - good["pending"]
    assert counted == list(range(len(counted)))
    assert last["set_aside"] == 0
    # A busy PC may be late; nothing else may cost a good reading.
    assert set(last["losses"].get("good/Readings", ())) <= {"late"}, last["losses"]
    for name in every:
        row = last["streams"][f"{name}/Readings"]
        got = numbers(bench, name)
        # Every first one is good; nothing else has come of it.
        assert got == list(range(1, 2 * len(got), 2)), (name, got)
        assert len(got) == row["captured"] - row["pending"], (name, got)
        lost = row.get("lost_source_error", 0) + row.get("lost_source_slow", 0)
        assert 0 < lost <= row["missed"], name
        if name not in STUCK:
            assert "odd_models.py" in next(x for x in log.splitlines() if f" {name}/Readings" in x)
    assert "Traceback" not in log and "exception chaining" not in log
    for name in odd_models.BAD_SOURCES:
        assert f"{name}/Readings" not in last["streams"], name
    at = {
        c["name"]: f"components[{i}]"
        for i, c in enumerate(json.loads(bench.machine.read_text())["components"])
    }
    for name in odd_models.BAD_SOURCES:
        said = [x for x in log.splitlines() if f"error   {at[name]}" in x]
        assert said and "odd_models.py" in said[0], (name, said)


def test_what_a_model_says_in_halves_of_characters_does_not_stop_the_log(bench):
    bench.start_receiver()
    odd(bench, ["half-in-an-error", "half"])
    told = "SELECT message FROM logs WHERE message LIKE ?"
    with running(board(bench)) as b:
        for words in (
            "%half-in-an-error/Readings%bad answer: ?%",
            "%half/Readings%odd_models.py%",
        ):
            eventually(lambda words=words: bench.rows(told, words))
        eventually(lambda: b.stream("half/Readings")["synced"] > 2)
        assert b.statuses()[-1]["link"] == "up"


def test_ctrl_c_ends_a_board_also_while_a_model_is_read(bench):
    """Most of the time is spent in the model: the first Ctrl-C comes in it."""
    (bench.models / "busy.py").write_text(
        "import time\n"
        "from cistern.resources.own import Sensor, register\n"
        "class Busy(Sensor):\n"
        "    def __init__(self, component, port, others):\n"
        "        self.n = 0\n"
        "    def readings(self):\n"
        "        self.n += 1\n"
        "        end = time.time() + 0.45\n"
        "        while time.time() < end:\n"
        "            pass\n"
        "        return {'n': self.n}\n"
        "register('sensor', 'lab:odd:busy', Busy)\n"
    )
    wanted = machine({"busy": 2})
    wanted["components"][0].update(model="lab:odd:busy", attributes={})
    bench.machine.write_text(json.dumps(wanted))
    for runtime in ("micropython", "cpython"):
        with running(
            bench.board("--models", str(bench.models), cloud=False, runtime=runtime)
        ) as b:
            eventually(lambda b=b: (b.stream("busy/Readings") or {}).get("captured", 0) > 1)
            b.process.send_signal(signal.SIGINT)
            ended, said = b.wait(), b.log()
        assert ended == 0, said
        assert "KeyboardInterrupt" not in said


@pytest.mark.parametrize("runtime", ["micropython", "cpython"])
def test_files_that_end_the_program_when_they_are_loaded_and_one_with_a_mark(bench, runtime):
    odd(bench, ["none"])
    for name, text in (
        ("a_exit", "raise SystemExit\n"),
        ("b_interrupt", "raise KeyboardInterrupt\n"),
        (
            "c_table",
            "from cistern.resources.own import register\n"
            "register('sensor', 'lab:odd:table', None, {'a': int})\n",
        ),
    ):
        (bench.models / f"{name}.py").write_text(text)
    source = (bench.models / "odd_models.py").read_bytes()
    (bench.models / "odd_models.py").write_bytes(b"\xef\xbb\xbf" + source)
    with running(
        bench.board("--models", str(bench.models), "--for", "3", cloud=False, runtime=runtime)
    ) as b:
        assert b.wait() == 0, b.log()
        log = b.log()
        row = b.statuses()[-1]["streams"]["none/Readings"]
    assert row["captured"] >= 1 and row["missed"] >= 1, log
    for text in (
        "a_exit.py:1: SystemExit",
        "b_interrupt.py:1: KeyboardInterrupt",
        "c_table.py:2: ",
    ):
        assert text in log, log
    assert PART
