"""What a board does at its cloud's word, and what the cloud learns of it: whole processes."""

import json
import subprocess
from functools import partial

import pytest

from bench_support import PART, SECRET, Bench, cistern, machine, running
from support import eventually as within

eventually = partial(within, timeout_s=60)  # a busy machine compiles the board's code for long


def polling(sensors, **service):
    """A machine that asks its cloud each second."""
    made = machine(sensors)
    made["services"][0]["attributes"].update(cloud_poll_secs=1, **service)
    return made


@pytest.fixture
def bench(tmp_path):
    made = Bench(tmp_path)
    made.machine.write_text(json.dumps(polling({"own": 20})))
    made.start_receiver()
    made.remote = made.data / "machines" / f"{PART}.json"
    yield made
    made.stop_receiver()


def put(bench, text):
    """Give the receiver another configuration for the part."""
    fresh = bench.remote.with_suffix(".fresh")
    fresh.write_text(text if isinstance(text, str) else json.dumps(text))
    fresh.replace(bench.remote)


def logged(bench, words):
    return bench.rows("SELECT message FROM logs WHERE message LIKE ?", f"%{words}%")


def whole(numbers):
    assert numbers == list(range(len(numbers)))
    return len(numbers)


@pytest.mark.parametrize("runtime", ["micropython", "cpython"])
def test_configurations_of_the_cloud_run_live_and_without_it(bench, runtime):
    put(bench, polling({"kept": 20, "left": 20}))
    with running(bench.board(runtime=runtime)) as board:
        eventually(lambda: (board.stream("kept/Readings") or {}).get("synced", 0) > 20)
        put(bench, polling({"kept": 20, "new": 20}))
        eventually(lambda: (board.stream("new/Readings") or {}).get("synced", 0) > 20)
        put(bench, "{broken")
        eventually(lambda: bench.rows("SELECT 1 FROM logs"))
        eventually(lambda: logged(bench, "the cloud's configuration"))
        before = board.stream("kept/Readings")["captured"]
        eventually(lambda: board.stream("kept/Readings")["captured"] > before + 20)
        board.power_cut()
    with running(bench.board("--for", "2", url="https://127.0.0.1:1", runtime=runtime)) as board:
        assert board.wait() == 0, board.log()
        assert "of last time runs" in board.log()
        streams = board.statuses()[-1]["streams"]
        assert streams["new/Readings"]["captured"] > 10 and streams["kept/Readings"]["captured"]
    bench.remote.unlink()
    with running(bench.board(runtime=runtime)) as board:
        eventually(lambda: (board.stream("own/Readings") or {}).get("synced", 0) > 10)
        assert board.log().count("the cloud has no configuration") == 1
    # What left was captured to its end, and what stayed did not begin anew.
    (left,) = bench.counters("left").values()
    assert whole(left) > 20
    for numbers in bench.counters("kept").values():
        whole(numbers)


def test_a_board_without_a_configuration_of_its_own_waits_for_the_clouds(bench):
    bench.machine.write_text("{")
    with running(bench.board()) as board:
        eventually(lambda: "waiting for the cloud's configuration" in board.log())
        put(bench, polling({"new": 20}))
        eventually(lambda: (board.stream("new/Readings") or {}).get("synced", 0) > 20)


def test_a_restart_by_the_clouds_word_costs_nothing(bench):
    with running(bench.board()) as board:
        eventually(lambda: (board.stream("own/Readings") or {}).get("synced", 0) > 20)
        ask = [*cistern("part"), "restart", PART, "--data", str(bench.data)]
        subprocess.run(ask, check=True, capture_output=True)
        eventually(lambda: board.statuses()[-1]["boot"] == 2)
        eventually(lambda: (board.stream("own/Readings") or {}).get("synced", 0) > 20)
        assert logged(bench, "asks for a restart")
        eventually(lambda: board.statuses()[-1]["t"] > 7)
        assert board.statuses()[-1]["boot"] == 2, "once"
        ends = [s for s in board.statuses() if s["boot"] == 1][-1]
    first, second = bench.counters("own").values()
    assert whole(first) == ends["streams"]["own/Readings"]["captured"]
    assert ends["streams"]["own/Readings"]["pending"] == 0 and whole(second) > 20


def test_the_boards_log_is_in_the_cloud_without_its_secret(bench):
    made = polling({"own": 20, "bad": 20})
    bad = made["components"][1]["service_configs"][0]["attributes"]["capture_methods"][0]
    bad["method"] = SECRET
    bench.machine.write_text(json.dumps(made))
    with running(bench.board()) as board:
        eventually(lambda: logged(bench, "components[1]"))
        lines = bench.rows("SELECT part, level, message FROM logs")
        assert any(row[:2] == (PART, "error") and "***" in row[2] for row in lines), lines
        assert SECRET not in repr(lines) and SECRET not in board.log()


GATE = """
import os
from cistern.resources.own import Sensor, register

class Gate(Sensor):
    def __init__(self, component, port, others):
        pass

    def readings(self):
        try:
            os.stat("%s")
            return {"should_sync": True}
        except OSError:
            return {"should_sync": False}

register("sensor", "test:sensor:gate", Gate)
"""


def test_sync_waits_for_its_sensor(bench):
    folder = bench.folder / "models"
    folder.mkdir()
    flag = bench.folder / "flag"
    (folder / "gate.py").write_text(GATE % flag)
    made = polling({"own": 20}, selective_syncer_name="gate")
    made["components"].append({"name": "gate", "type": "sensor", "model": "test:sensor:gate"})
    bench.machine.write_text(json.dumps(made))
    with running(bench.board("--models", str(folder))) as board:
        eventually(lambda: (board.stream("own/Readings") or {}).get("durable", 0) > 60)
        assert board.stream("own/Readings")["synced"] == 0, board.log()
        assert board.statuses()[-1]["pending_bytes"] > 0 and board.statuses()[-1]["oldest_s"] >= 1
        flag.touch()
        eventually(lambda: board.stream("own/Readings")["synced"] > 60)
