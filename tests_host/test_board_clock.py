"""A board that has no time: its cloud is a real grpcio server, which sends no `date`."""

import json
import re
import subprocess
import sys
import time

import pytest
from typer.testing import CliRunner

from bench_support import Bench, running
from bench_support import machine as bench_machine
from chip_stand_in import chip, images
from cistern_tools import devca, mpy
from cistern_tools.board import link, loader
from cistern_tools.cli import app
from support import ROOT, eventually, micropython_command

pytestmark = pytest.mark.skipif(
    micropython_command() is None or mpy.host_architecture() is None,
    reason="no MicroPython for this machine that loads machine code",
)
SERVER = ROOT / "tests_host/net_grpcio_cloud.py"
BOUNDED = "time-bounded"
PATIENCE_US = 3000000


class Cloud:
    """The server; readings() is what it took, [(UTC in s, tags, number)] in order of arrival."""

    def __init__(self, folder):
        self._took = folder / "took"
        self._took.touch()
        command = [sys.executable, str(SERVER), str(self._took)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.url = f"http://127.0.0.1:{int(self._process.stdout.readline())}"

    def readings(self):
        found = []
        for line in self._took.read_text().splitlines():
            tags, readings = json.loads(line)
            found += [(utc, tags, payload["readings"]["n"]) for utc, payload in readings]
        return found

    def stop(self):
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()


@pytest.fixture
def cloud(tmp_path):
    made = Cloud(tmp_path)
    yield made
    made.stop()


def an_image(cloud, folder, ntp, clock, machine=None):
    """An image that was built at `clock`."""
    ca = devca.ensure(folder / "tls").ca
    ordered = images.an_order(ca, url=cloud.url, ntp=ntp, clock=clock)
    if machine:
        ordered = ordered._replace(machine=machine)
    architecture = mpy.host_architecture()
    changes = images.with_patience(architecture, PATIENCE_US)
    return images.an_image(ordered, architecture=architecture, changes=changes)


def said_seconds(board, text):
    """Seconds of uptime at which the board said so."""
    line = next(x for x in board.said.decode().splitlines() if text in x)
    return float(re.match(r"\s*([\d.]+)", line)[1])


def test_a_board_without_any_time_delivers_by_what_it_knows_and_says_so(cloud, tmp_path):
    built = int(time.time()) - 5000000
    image = an_image(cloud, tmp_path, "127.0.0.1:1", built)
    command = chip.command(tmp_path, image, "greenhouse net", images.PSK, "-i")
    with chip.at_serial(command) as board:
        eventually(lambda: len(cloud.readings()) > 30, 90)
        said = board.said.decode()
    # First it waits for a time, and says what to do.
    assert "no clock" in said and "cistern sync --port" in said and "readings wait" in said
    waited = said_seconds(board, "sent with the tag") - said_seconds(board, "readings wait")
    assert 2 <= waited < 60
    got = cloud.readings()
    assert {tuple(tags) for _, tags, _ in got} == {(BOUNDED,)}
    times = [utc for utc, _, _ in got]
    assert times == sorted(times) and [n for _, _, n in got] == list(range(len(got)))
    assert built <= times[0] < built + 20, "it is no earlier than the image"
    assert "Traceback" not in said, said


def test_ntp_is_time_enough_where_the_cloud_says_none(cloud, tmp_path):
    with chip.time_server() as ntp:
        image = an_image(cloud, tmp_path, ntp, int(time.time()) - 5000000)
        command = chip.command(tmp_path, image, "greenhouse net", images.PSK, "-i")
        with chip.at_serial(command) as board:
            eventually(lambda: len(cloud.readings()) > 10, 90)
            said = board.said.decode()
    assert "no clock" not in said
    for utc, tags, _ in cloud.readings():
        assert BOUNDED not in tags and abs(utc - time.time()) < 100


def call(*words):
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, [str(w) for w in words])


def test_sync_sets_the_clock_from_the_pc_and_what_is_sent_after_it_is_right(cloud, tmp_path):
    image = an_image(cloud, tmp_path, "127.0.0.1:1", int(time.time()) - 5000000)
    command = chip.command(tmp_path, image, "greenhouse net", images.PSK, "-i")
    with chip.at_serial(command) as board:
        eventually(lambda: len(cloud.readings()) > 5, 90)
        done = call("status", "--port", board.port)
        assert "clock: bounded" in done.output and "cistern sync sets it" in done.output
        eventually(lambda: b"Wi-Fi greenhouse net: " in board.said.split(b"start after")[-1], 60)
        done = call("sync", "--port", board.port)
        assert done.exit_code == 0, done.output
        assert re.search(r"sync done, \d+ readings were synced and none is left", done.output)
        eventually(lambda: len([x for x in cloud.readings() if BOUNDED not in x[1]]) > 10, 60)
        starts = board.said.count(b"start after")
        # What a start without a clock left goes with a bound, before the start that has one.
        right = [x for x in cloud.readings() if BOUNDED not in x[1]]
        for utc, _, _ in right:
            assert abs(utc - time.time()) < 100
        # Another start keeps the clock.
        done = call("status", "--port", board.port, "--json")
        assert json.loads(done.stdout)["clock"] == "set"
        eventually(lambda: board.said.count(b"start after") > starts, 60)
    kept = json.loads((tmp_path / "nvs.json").read_text())["cistern"]
    assert abs(int(bytes.fromhex(kept["clock"])) - time.time()) < 300


def test_a_board_whose_sync_is_disabled_syncs_when_it_is_told(cloud, tmp_path):
    machine = json.loads(json.dumps(images.MACHINE))
    machine["services"][0]["attributes"] = {"sync_disabled": True}
    image = an_image(cloud, tmp_path, "127.0.0.1:1", 1780000000, json.dumps(machine).encode())
    command = chip.command(tmp_path, image, "greenhouse net", images.PSK, "-i")
    with chip.at_serial(command) as board:
        # It asks the cloud for a configuration, and has captured before.
        eventually(lambda: b"the cloud" in board.said, 60)
        assert not cloud.readings(), "nobody asked"
        done = call("sync", "--port", board.port)
        assert done.exit_code == 0, done.output
        got = len(cloud.readings())
        assert got > 0
        # On the REPL it is the same.
        with link.Link(board.port) as there:
            there.interrupt()
            there._transport.exec_raw_no_follow("import cistern; cistern.sync()")
            eventually(lambda: board.said.count(b"sync now: done") == 2, 60)
        # Whatever it had captured since, if it was enough for a reading.
        said = re.findall(rb"sync now: done, (\d+) readings", board.said)
        assert len(cloud.readings()) == sum(int(n) for n in said) >= got
    assert [n for _, _, n in cloud.readings() if n == 0], "from the first one on"


def test_a_sync_that_fails_says_why(cloud, tmp_path):
    image = an_image(cloud, tmp_path, "127.0.0.1:1", 1780000000)
    command = chip.command(tmp_path, image, "greenhouse net", images.PSK, "-i")
    cloud.stop()
    with chip.at_serial(command) as board:
        eventually(lambda: b"connection refused" in board.said, 60)
        done = call("sync", "--port", board.port, "--for", "3")
        assert done.exit_code == 1 and "not over within 3 s" in done.output
        eventually(lambda: b"sync now: failed" in board.said, 120)
        assert b"connection refused" in board.said.split(b"sync now: failed")[1]
        done = call("config", "push", "--port", board.port, "--part-id", "another")
        assert done.exit_code == 0, done.output
        with link.stopped(board.port) as there:
            there.run("import esp32; n = esp32.NVS('cistern'); n.erase_key('secret'); n.commit()")
        done = call("sync", "--port", board.port)
        assert done.exit_code == 1 and "the board has no secret" in done.output


def test_a_configuration_that_is_pushed_brings_the_time(cloud, tmp_path):
    image = an_image(cloud, tmp_path, "127.0.0.1:1", 1780000000)
    command = chip.command(tmp_path, image, "greenhouse net", images.PSK, "-i")
    with chip.at_serial(command) as board:
        eventually(lambda: b"start after" in board.said, 30)
        done = call("doctor", "--port", board.port)
        assert "no clock: it was not set since power came; the time server 127.0.0.1 does not" in (
            done.output
        )
        assert "cistern sync sets it" in done.output
        eventually(lambda: board.said.count(b"start after") == 2, 30)
        done = call("config", "push", "--port", board.port, "--part-id", "greenhouse-1")
        assert done.exit_code == 0, done.output
        eventually(lambda: len([r for r in cloud.readings() if BOUNDED not in r[1]]) > 5, 60)
        done = call("doctor", "--port", board.port)
        assert re.search(r"ok +clock", done.output), done.output
    for utc, tags, _ in cloud.readings():
        assert BOUNDED in tags or abs(utc - time.time()) < 100


def test_a_board_that_was_flashed_has_the_time_of_the_pc(cloud, tmp_path, monkeypatch):
    """What esptool does is tested elsewhere; this is what comes after it."""
    image = an_image(cloud, tmp_path, "127.0.0.1:1", 1780000000)
    file = tmp_path / "flash.bin"
    file.write_bytes(image)
    monkeypatch.setattr(loader, "flash", lambda *_: None)
    command = chip.command(tmp_path, image, "greenhouse net", images.PSK, "-i")
    with chip.at_serial(command) as board:
        eventually(lambda: b"start after" in board.said, 30)
        done = call("flash", file, "--port", board.port)
        assert done.exit_code == 0 and "warning" not in done.output, done.output
        eventually(lambda: len(cloud.readings()) > 5, 60)
    for utc, tags, _ in cloud.readings():
        assert BOUNDED not in tags or utc < time.time()
    assert abs(cloud.readings()[-1][0] - time.time()) < 100


MODEL = """
import cistern
from cistern.resources.own import Sensor, register

class Button(Sensor):
    n = 0

    def readings(self):
        self.n += 1
        if self.n % 20 == 10:
            cistern.sync()
        return {"n": self.n}

register("sensor", "my:own:button", lambda component, port, others: Button())
"""


@pytest.mark.parametrize("runtime", ["micropython", "cpython"])
def test_a_model_may_ask_for_a_sync_where_sync_is_disabled(tmp_path, runtime):
    bench = Bench(tmp_path)
    bench.start_receiver()
    models = tmp_path / "models"
    models.mkdir()
    (models / "button.py").write_text(MODEL)
    made = bench_machine({"b": 10})
    made["components"][0].update(model="my:own:button", attributes={})
    made["services"][0]["attributes"]["sync_disabled"] = True
    bench.machine.write_text(json.dumps(made))
    try:
        with running(bench.board("--models", str(models), runtime=runtime)) as board:
            eventually(lambda: board.log().count("sync now: done") >= 2, 60)
            stored = bench.rows("SELECT count(*) FROM readings")[0][0]
            said = board.log()
    finally:
        bench.stop_receiver()
    assert stored >= 20, said
    assert "Traceback" not in said
