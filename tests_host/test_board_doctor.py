"""`cistern doctor`: what it finds on a board that runs, and what it says of boards that do not."""

import datetime
import socket
import threading

import pytest
from typer.testing import CliRunner

from bench_support import PART, SECRET, Bench, expired_certificate
from chip_stand_in import chip, images
from cistern_tools import mpy
from cistern_tools.board import cloudcheck, doctor
from cistern_tools.cli import app
from cistern_tools.image import order
from support import eventually, micropython_command

NOW = datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.UTC)
FACTS = {
    "version": [1, 25, 0],
    "machine": "Generic ESP32 module with ESP32",
    "mpy": 6,
    "mpy_sub": 3,
    "flash": 4 * 1024 * 1024,
    "partitions": ["factory", "nvs", "phy_init", "capture", "vfs"],
    "files": {"/boot.py": 1, "/main.py": 1, "/machine.json": 1, "/ca.der": 1},
    "alpn": False,
    "values": {
        "ssid": "net",
        "cloud_url": "https://cloud.example:8443",
        "part_id": "p",
        "server_name": "",
        "ifconfig": "",
        "secret": True,
    },
    "wifi": {"ssid": "net", "status": 1010, "connected": True, "address": "10.0.0.7", "rssi": -50},
    "cloud": "",
    "utc": int(NOW.timestamp()) + 3,
}
GOOD = cloudcheck.Cloud("", NOW + datetime.timedelta(days=100), True)


def lines(facts=None, seen=GOOD, ca=b"ca", **changes):
    """{name: Line}; where a name comes twice, the worse one."""
    found = {}
    asked = []

    def look(*where):
        asked.append(where)
        return seen

    for line in doctor.judge({**FACTS, **(facts or {}), **changes}, NOW, look, ca):
        if line.name not in found or line.state != doctor.OK:
            found[line.name] = line
    return found


def test_all_is_well():
    assert {line.state for line in lines().values()} == {doctor.OK}
    assert list(lines()) == [
        *("chip", "firmware", "ALPN", "image", "Wi-Fi", "clock", "cloud", "certificate")
    ]


VALUES = FACTS["values"]
AWAY = {**FACTS["wifi"], "connected": False}


@pytest.mark.parametrize(
    ("changes", "name", "state", "found", "do"),
    [
        ({"flash": 2**21}, "chip", "bad", "2 MB", "another board"),
        ({"version": [1, 24, 1]}, "firmware", "bad", "1.24.1", "1.25 or later"),
        ({"mpy_sub": 2}, "firmware", "bad", ".mpy 6.2", "build and flash"),
        ({"partitions": ["nvs", "vfs"]}, "image", "bad", "partition capture", "cistern flash"),
        ({"files": {"/boot.py": 1, "/main.py": 1}}, "image", "bad", "/machine.json", "push"),
        ({"values": {**VALUES, "ssid": ""}}, "Wi-Fi", "bad", "no network", "--wifi-file"),
        ({"wifi": {**AWAY, "status": 201}}, "Wi-Fi", "bad", "not connected", "2.4 GHz"),
        ({"wifi": {**AWAY, "status": 202}}, "Wi-Fi", "bad", "not connected", "password is wrong"),
        ({"wifi": {**AWAY, "status": 5}}, "Wi-Fi", "bad", "not connected", "status 5"),
        ({"wifi": {**FACTS["wifi"], "rssi": -88}}, "Wi-Fi", "warning", "-88 dBm", "weak"),
        ({"utc": 946684860}, "clock", "warning", "not set", "UDP port 123"),
        ({"utc": FACTS["utc"] - 600}, "clock", "warning", "-597 s", "time server"),
        ({"clock_set": False}, "clock", "warning", "no clock", "cistern sync sets it"),
        ({"clock_set": False, "ntp": "pool.ntp.org", "ntp_answers": False},
         "clock", "warning", "pool.ntp.org does not answer", "--ntp HOST"),
        ({"clock_set": False, "ntp": "pool.ntp.org", "ntp_answers": True},
         "clock", "warning", "pool.ntp.org answers", "time-bounded"),
        ({"remembered": FACTS["utc"] + 86400 * 400},
         "clock", "bad", "400 days later than this PC", "cistern sync"),
        ({"values": {**VALUES, "secret": False}}, "cloud", "bad", "secret", "--secret-file"),
        ({"cloud": "ETIMEDOUT", "system": 50000}, "cloud", "bad", "ETIMEDOUT", "firewall"),
        ({"cloud": "ETIMEDOUT", "system": 900}, "cloud", "warning", "not known", "cistern status"),
        ({"values": {**VALUES, "cloud_url": "x"}}, "cloud", "bad", "'x'", "--cloud URL"),
        ({"cloud": "ECONNREFUSED"}, "cloud", "bad", "ECONNREFUSED", "firewall"),
        ({"ca": None}, "certificate", "bad", "no CA", "--ca FILE"),
        ({"seen": cloudcheck.Cloud("its certificate is refused: self-signed")},
         "certificate", "bad", "self-signed", "--ca FILE"),
        ({"seen": cloudcheck.Cloud("timed out")}, "certificate", "warning", "timed", "this PC"),
        ({"seen": GOOD._replace(expires=NOW + datetime.timedelta(days=9))},
         "certificate", "warning", "in 9 days", "renew"),
        ({"seen": GOOD._replace(without_alpn=False)}, "ALPN", "bad", "without ALPN", "firmware"),
    ],
)  # fmt: skip
def test_each_trouble_has_its_line_and_says_what_to_do(changes, name, state, found, do):
    line = lines(**changes)[name]
    assert (line.state, found in line.found, do in line.do) == (state, True, True), line


def test_a_firmware_with_alpn_takes_any_cloud():
    assert lines(alpn=True, seen=GOOD._replace(without_alpn=False))["ALPN"].state == doctor.OK


def test_a_board_that_could_not_answer_has_the_reason():
    facts = {k: v for k, v in FACTS.items() if k not in ("flash", "wifi", "cloud")}
    facts["chip_failed"] = "ImportError: no module named 'esp'"
    facts["configuration_failed"] = "OSError: Wifi Internal Error"
    found = {x.name: x for x in doctor.judge(facts, NOW, lambda *_: GOOD, b"ca")}
    assert found["chip"].state == doctor.BAD and "no module" in found["chip"].found
    assert "Internal Error" in found["Wi-Fi"].found
    assert "without Wi-Fi" in found["cloud"].found


# A board that runs, and a receiver


@pytest.fixture
def bench(tmp_path):
    made = Bench(tmp_path)
    yield made
    made.stop_receiver()


def examined(bench, psk=images.PSK):
    """(exit status, output) of the doctor for a board with an image for the bench's receiver."""
    with chip.time_server() as ntp:
        image = images.an_image(
            images.an_order(bench.ca, url=bench.url, part_id=PART, secret=SECRET, ntp=ntp),
            architecture=mpy.host_architecture(),
        )
        command = chip.command(bench.folder, image, "greenhouse net", psk, "-i")
        with chip.at_serial(command) as board:
            eventually(lambda: b"start after" in board.said)
            done = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["doctor", "--port", board.port])
            eventually(lambda: board.said.count(b"start after") == 2)
    assert SECRET not in done.output and images.PSK not in done.output
    return done.exit_code, done.output


needs_micropython = pytest.mark.skipif(
    micropython_command() is None or mpy.host_architecture() is None,
    reason="no MicroPython for this machine that loads machine code",
)


@needs_micropython
def test_a_board_and_its_receiver_are_examined(bench):
    bench.start_receiver()
    status, said = examined(bench)
    assert "ok      Wi-Fi       greenhouse net: 127.0.0.1, -51 dBm" in said, said
    assert f"ok      cloud       {bench.url}: the board can connect" in said, said
    assert "ok      certificate verified; ends on " in said, said
    assert status == 0 and "bad  " not in said, said


@needs_micropython
def test_a_wrong_password_is_found(bench):
    bench.start_receiver()
    status, said = examined(bench, psk="another one")
    assert status == 1
    assert "bad     Wi-Fi       greenhouse net: not connected → the password is wrong" in said
    assert "not tried without Wi-Fi" in said


def test_no_board_is_one_line(tmp_path):
    done = CliRunner().invoke(app, ["doctor", "--port", str(tmp_path / "nowhere")])
    assert done.exit_code == 1 and "there is no such port" in done.output


# The look at the cloud


def test_the_cloud_is_seen_as_it_is(bench, tmp_path):
    bench.start_receiver()
    where = bench.url.removeprefix("https://").split(":")
    ca = order.read_file(bench.ca, "CA")
    seen = cloudcheck.look("https", where[0], int(where[1]), "", ca)
    assert seen.error == "" and seen.without_alpn
    assert seen.expires > datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=30)
    der = order.ca_files(ca)["/ca.der"]
    assert cloudcheck.look("https", where[0], int(where[1]), "", der) == seen
    named = cloudcheck.look("https", where[0], int(where[1]), "elsewhere.example", ca)
    assert "its certificate is refused" in named.error
    assert "refused" in cloudcheck.look("https", "127.0.0.1", 1, "", ca).error
    bench.stop_receiver()
    bench.start_receiver("127.0.0.1:0", *expired_certificate(bench.folder))
    where = bench.url.removeprefix("https://").split(":")
    ca = order.read_file(bench.folder / "ca.pem", "CA")
    assert "expired" in cloudcheck.look("https", where[0], int(where[1]), "", ca).error


def test_a_server_that_speaks_no_http2_is_noticed():
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            connection = server.accept()[0]
            connection.recv(1000)
            connection.close()

        thread = threading.Thread(target=serve)
        thread.start()
        seen = cloudcheck.look("http", *server.getsockname(), "", None)
        thread.join()
    assert seen == cloudcheck.Cloud("", None, False)
