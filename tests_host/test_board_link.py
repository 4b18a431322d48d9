"""`cistern config`, `logs`, `status` and `repl` on a board that runs: mpremote talks to the REPL
of a real MicroPython, on which the image's program runs (chip_stand_in).
"""

import json
import os
import pty
import select
import subprocess
import sys
import threading
import time
import tty

import pytest
from typer.testing import CliRunner

from chip_stand_in import chip, images
from cistern_tools import devca, mpy
from cistern_tools.board import BoardError, config, link
from cistern_tools.board.config import CA_PATHS
from cistern_tools.cli import app
from support import EXAMPLES, eventually, micropython_command

pytestmark = pytest.mark.skipif(
    micropython_command() is None or mpy.host_architecture() is None,
    reason="no MicroPython for this machine that loads machine code",
)
STARTED = b"start after power on"
JOINED = b"Wi-Fi greenhouse net: "


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("chip")


@pytest.fixture
def board(folder):
    """A board that captures; its cloud is away."""
    image = images.chip_image(folder / "tls", mpy.host_architecture())
    with chip.at_serial(chip.command(folder, image, "greenhouse net", images.PSK, "-i")) as serial:
        eventually(lambda: STARTED in serial.said)
        yield serial


def call(*words):
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, [str(w) for w in words])


def starts_again(board):
    eventually(lambda: board.said.count(STARTED) == board.starts == 2)


def test_status_shows_the_counts_and_the_board_goes_on(board):
    eventually(lambda: JOINED in board.said)
    done = call("status", "--port", board.port, "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["streams"]["greenhouse/Readings"]["dropped"] == 0
    eventually(lambda: board.said.count(JOINED) == board.starts == 2)
    done = call("status", "--port", board.port)
    assert "greenhouse/Readings" in done.output and "captured" in done.output
    eventually(lambda: board.said.count(STARTED) == 3)


def test_a_configuration_goes_there_and_back(board, folder, tmp_path):
    out = tmp_path / "pulled.json"
    done = call("config", "pull", "--port", board.port, "-o", out)
    assert done.exit_code == 0, done.output
    assert json.loads(out.read_text()) == images.MACHINE
    assert "ssid: greenhouse net" in done.output and "secret: ****" in done.output
    starts_again(board)
    wifi = tmp_path / "wifi"
    wifi.write_text("another net\nanother password\n")
    other = devca.ensure(tmp_path / "other")
    done = call(
        *("config", "push", EXAMPLES / "greenhouse.json", "--port", board.port),
        *("--wifi-file", wifi, "--ca", other.ca),
        *("--ip", "192.168.4.7/255.255.255.0/192.168.4.1/1.1.1.1"),
    )
    assert done.exit_code == 0, done.output
    eventually(lambda: board.said.count(STARTED) == 3)
    done = call("config", "pull", "--port", board.port, "-o", out)
    assert done.exit_code == 0, done.output
    assert out.read_bytes() == (EXAMPLES / "greenhouse.json").read_bytes()
    assert "ssid: another net" in done.output and "ifconfig: 192.168.4.7" in done.output
    kept = json.loads((folder / "nvs.json").read_text())["cistern"]
    assert bytes.fromhex(kept["psk"]) == b"another password"
    assert bytes.fromhex(kept["secret"]) == images.SECRET.encode()
    for secret in (images.PSK, images.SECRET, "another password"):
        assert secret not in done.output
    eventually(lambda: board.said.count(STARTED) == 4)
    # An open network and no fixed address: the values are gone, not empty. Several certificates
    # take the place of the one.
    several = tmp_path / "several.pem"
    several.write_bytes(other.ca.read_bytes() + devca.ensure(tmp_path / "third").ca.read_bytes())
    done = call(
        *("config", "push", "--port", board.port, "--wifi-open", "cafe", "--ip", ""),
        *("--ca", several),
    )
    assert done.exit_code == 0, done.output
    eventually(lambda: board.said.count(STARTED) == 5)

    def certificates():
        with link.stopped(board.port) as there:
            return [(there.read(path) or b"").count(b"BEGIN") for path in CA_PATHS]

    assert certificates() == [0, 2]
    kept = json.loads((folder / "nvs.json").read_text())["cistern"]
    assert "psk" not in kept and "ifconfig" not in kept
    assert bytes.fromhex(kept["ssid"]) == b"cafe"


def test_a_bad_configuration_does_not_reach_the_board(board, tmp_path):
    bad = tmp_path / "bad.json"
    bad.write_text("{")
    before = board.said
    for words in (
        (bad,),
        (),
        ("--cloud", "nowhere"),
        ("--ip", "1.2.3.4"),
        ("--wifi", "a:b"),
        ("--ca", bad),
        ("--secret-file", tmp_path / "none"),
    ):
        done = call("config", "push", *words, "--port", board.port)
        assert done.exit_code == 1, words
        assert "Traceback" not in done.output
    assert board.starts == 1 and b">>>" not in board.said[len(before) :]


def test_a_plain_board_is_not_given_what_leaves_tls_no_room(board, monkeypatch, tmp_path):
    """The stand-in is no ESP32 by its name; all else is as it is."""
    monkeypatch.setattr(config, "is_plain", lambda name: "linux" in name)
    done = call("config", "push", EXAMPLES / "weather.json", "--port", board.port)
    assert done.exit_code == 1 and "no memory for TLS" in done.output, done.output
    starts_again(board)
    done = call("config", "pull", "--port", board.port)
    assert json.loads(done.stdout) == images.MACHINE
    # By a cloud without TLS there is room.
    cloud = "--cloud", "http://127.0.0.1:9"
    done = call("config", "push", EXAMPLES / "weather.json", "--port", board.port, *cloud)
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("Generic ESP32 module with ESP32", True),
        ("Generic ESP32 module with SPIRAM with ESP32", False),
        ("ESP32C3 module with ESP32C3", False),
        ("LILYGO TTGO LoRa32 with ESP32", True),
        ("Cistern for ESP32 with ESP32", False),
        ("", False),
    ],
)
def test_a_plain_board_is_known_by_its_name(name, plain):
    assert config.is_plain(name) is plain


def test_logs_follow_without_disturbing(board):
    said = []
    with link.Link(board.port) as there:
        board.say(b"1.0 info something\n")
        there.follow(said.append, lambda: b"something\n" in b"".join(said))
    assert board.starts == 1 and b">>>" not in board.said


def test_the_repl_is_mpremotes(board):
    """Typed at a terminal: a question, and Ctrl-] to leave."""
    master, slave = pty.openpty()
    command = [sys.executable, "-m", "cistern_tools", "repl", "--port", board.port]
    process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    said = b""

    def reads(words, again=b""):
        nonlocal said
        end = time.monotonic() + 60
        while words not in said:
            assert time.monotonic() < end, said
            if select.select([master], [], [], 2)[0]:
                said += os.read(master, 4096)
            else:
                os.write(master, again)

    try:
        reads(b"Ctrl-]")
        os.write(master, b"\x03")
        # Where it comes in the middle of a timer's callback, MicroPython drops it: press again.
        reads(b">>> ", b"\x03")
        os.write(master, b"6 * 7\r")
        reads(b"42")
        os.write(master, b"\x1d")
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()
        os.close(master)


def test_a_port_without_a_board_is_said(tmp_path):
    done = call("status", "--port", tmp_path / "nowhere")
    assert done.exit_code == 1 and "there is no such port" in done.output


def test_a_board_that_does_not_answer_is_said(monkeypatch):
    monkeypatch.setattr(link, "INTERRUPT_S", 1)
    monkeypatch.setattr(link, "SILENCE_S", 0.2)
    master, slave = pty.openpty()
    try:
        tty.setraw(slave)

        def speak():
            while b"\x01" not in os.read(master, 100):
                pass
            os.write(master, b"invalid")

        loader = threading.Thread(target=speak)
        loader.start()
        with link.Link(os.ttyname(slave)) as there:
            with pytest.raises(BoardError, match=r"no MicroPython answers.*said b'invalid'"):
                there.interrupt()
            loader.join()
            with pytest.raises(BoardError, match=r"no MicroPython answers at [^ ]*: press"):
                there.interrupt()
    finally:
        os.close(master)
        os.close(slave)


def test_what_the_board_refuses_has_its_last_line(board):
    with link.stopped(board.port) as there:
        with pytest.raises(BoardError, match=r"the board refused: NameError: name 'nonsense'"):
            there.run("nonsense")
        with pytest.raises(BoardError, match="makes no sense"):
            there.ask("print('no json')")
        assert there.read("/nothing") is None
