"""The process that is a simulated board: its flash is its own, and Ctrl-C ends it."""

import json
import signal
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from bench_support import PART, Bench, cistern, machine, running
from cistern_tools import __main__ as command
from cistern_tools import cli, paths
from support import eventually

pytestmark = pytest.mark.skipif(paths.micropython() is None, reason="no MicroPython")
LOOP = """
from cistern.resources.own import Sensor, register

class Loop(Sensor):
    def __init__(self, component, port, others):
        self.n = 0

    def readings(self):
        self.n += 1
        while self.n > 3:
            pass
        return {"n": self.n}

register("sensor", "lab:odd:loop", Loop)
"""


@pytest.fixture
def bench(tmp_path):
    one = Bench(tmp_path)
    one.machine.write_text(json.dumps(machine({"slow": 20})))
    yield one
    one.stop_receiver()


def call(*words):
    return CliRunner().invoke(cli.app, [str(w) for w in words])


@pytest.mark.parametrize("runtime", ["micropython", "cpython"])
def test_a_flash_has_one_board_at_a_time_and_is_not_erased_under_it(bench, runtime):
    with running(bench.board("--for", "60", cloud=False, runtime=runtime)) as board:
        eventually(lambda: (board.stream("slow/Readings") or {}).get("durable"))
        with running(bench.board("--for", "1", cloud=False, runtime=runtime)) as second:
            assert second.wait() == 1
            assert f"a simulated board runs on {bench.flash}: end it first" in second.log()
        done = call("log", "erase", bench.flash, "--yes")
        assert done.exit_code == 1 and "a simulated board runs on" in done.output
        board.power_cut()
    dumped = call("log", "dump", bench.flash)
    assert dumped.exit_code == 0 and dumped.stdout.count("\n") > 0
    with running(bench.board("--for", "1", cloud=False, runtime=runtime)) as board:
        assert board.wait() == 0, board.log()
    assert call("log", "erase", bench.flash, "--yes").exit_code == 0
    dumped = call("log", "dump", bench.flash)
    assert dumped.exit_code == 2 and "it is empty: erased" in dumped.output


def test_a_board_that_a_model_does_not_return_to_ends_some_time_after_ctrl_c(bench):
    models = bench.folder / "models"
    models.mkdir()
    (models / "loop.py").write_text(LOOP)
    wanted = machine({"loop": 20})
    wanted["components"][0].update(model="lab:odd:loop", attributes={})
    bench.machine.write_text(json.dumps(wanted))
    soon = "from cistern_tools import simstop; simstop.STOP_S = 1"
    start = f"{soon}; from cistern_tools.__main__ import main; main()"
    words = ("sim", bench.machine, "--offline", "--flash", bench.flash, "--models", models)
    board = subprocess.Popen(
        [sys.executable, "-c", start, *map(str, words)], stderr=subprocess.PIPE, text=True
    )
    try:
        spent = lambda: _cpu_ticks(board.pid)  # noqa: E731
        begin = eventually(spent)
        eventually(lambda: spent() > begin + 100)  # a second of nothing but the loop
        board.send_signal(signal.SIGINT)
        _, said = board.communicate(timeout=60)
    finally:
        board.kill()
    assert board.returncode == -signal.SIGKILL
    assert "does not return: its power is cut" in said


def _cpu_ticks(pid):
    with open(f"/proc/{pid}/stat") as f:
        return int(f.read().rpartition(")")[2].split()[11])


@pytest.mark.parametrize("runtime", ["micropython", "cpython"])
def test_ctrl_c_syncs_what_was_captured(bench, runtime):
    bench.start_receiver()
    with running(bench.board(runtime=runtime)) as board:
        eventually(lambda: (board.stream("slow/Readings") or {}).get("synced"))
        board.process.send_signal(signal.SIGINT)
        assert board.wait() == 0, board.log()
        row = board.stream("slow/Readings")
        assert row["pending"] == 0 and row["synced"] == row["captured"] > 0
        assert "warning" not in board.log() and "error" not in board.log()


@pytest.mark.parametrize("runtime", ["micropython", "cpython"])
def test_models_of_ones_own_are_there_after_a_restart_and_a_link_to_nowhere_is_named(
    bench, runtime
):
    models = bench.folder / "models"
    models.mkdir()
    (models / "loop.py").write_text(LOOP.replace("while self.n > 3", "while False"))
    (models / "a_link.py").symlink_to("nowhere.py")
    wanted = machine({"loop": 20})
    wanted["services"][0]["attributes"]["cloud_poll_secs"] = 1
    wanted["components"][0].update(model="lab:odd:loop", attributes={})
    bench.machine.write_text(json.dumps(wanted))
    bench.start_receiver()
    with running(bench.board("--models", str(models), runtime=runtime)) as board:
        eventually(lambda: (board.stream("loop/Readings") or {}).get("synced"))
        ask = [*cistern("part"), "restart", PART, "--data", str(bench.data)]
        subprocess.run(ask, check=True, capture_output=True)
        eventually(lambda: board.statuses()[-1]["boot"] == 2)
        eventually(lambda: (board.stream("loop/Readings") or {}).get("synced"))
        board.process.send_signal(signal.SIGINT)
        assert board.wait() == 0
        log = board.log()
    assert "a_link.py cannot be read" in log
    assert "Traceback" not in log and "exists already" not in log and "never" not in log, log


def test_the_time_that_a_board_runs_for_includes_its_restarts(bench):
    wanted = machine({"slow": 20})
    wanted["services"][0]["attributes"]["cloud_poll_secs"] = 1
    bench.machine.write_text(json.dumps(wanted))
    bench.start_receiver()
    with running(bench.board("--for", "8")) as board:
        eventually(lambda: (board.stream("slow/Readings") or {}).get("synced"))
        eventually(lambda: board.statuses()[-1]["t"] > 3)
        ask = [*cistern("part"), "restart", PART, "--data", str(bench.data)]
        subprocess.run(ask, check=True, capture_output=True)
        assert board.wait() == 0, board.log()
        seen = [s["t"] for s in board.statuses()]
    ends = [t for t, after in zip(seen, [*seen[1:], 0], strict=True) if after < t]
    assert len(ends) == 2, seen
    assert sum(ends) < 8 + 2.5, seen


def test_ctrl_c_while_commands_are_loaded_is_no_traceback(monkeypatch):
    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "main", interrupted)
    with pytest.raises(SystemExit) as ended:
        command.main()
    assert ended.value.code == 130
