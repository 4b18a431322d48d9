"""`cistern image build` and `inspect`, as a user calls them."""

import json
import stat
import time

import pytest
from typer.testing import CliRunner

from chip_stand_in import images
from cistern_tools import devca, paths
from cistern_tools.cli import app
from cistern_tools.image import ImageError, boards, firmware, library, order
from support import EXAMPLES

GREENHOUSE = EXAMPLES / "greenhouse.json"


@pytest.fixture
def call(tmp_path, monkeypatch):
    """Calls `cistern image build` in a folder that has all it needs."""
    monkeypatch.delenv("CISTERN_WIFI", raising=False)
    devca.ensure(tmp_path / "tls")
    (tmp_path / "secret").write_text(images.SECRET + "\n")
    (tmp_path / "wifi").write_text(f"net: with a colon\n{images.PSK}\n")
    given = {
        "--firmware": images.STOCK,
        "--machine": GREENHOUSE,
        "--cloud": "https://192.168.4.2:8443",
        "--part-id": "greenhouse-1",
        "--secret-file": tmp_path / "secret",
        "--ca": tmp_path / "tls" / "ca.pem",
        "--wifi-file": tmp_path / "wifi",
        "-o": tmp_path / "flash.bin",
    }

    def run(env=None, **changes):
        options = given | {"--" + k.replace("_", "-"): v for k, v in changes.items()}
        words = [str(x) for pair in options.items() if pair[1] is not None for x in pair]
        return CliRunner().invoke(app, ["image", "build", *words], env=env)

    return run


def inspected(path, *more):
    return CliRunner().invoke(app, ["image", "inspect", str(path), *more])


def test_build_then_inspect(call, tmp_path):
    made = call()
    assert made.exit_code == 0, made.output
    path = tmp_path / "flash.bin"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    report = json.loads(inspected(path, "--json").stdout)
    assert report["chip"] == "esp32"
    assert [p["label"] for p in report["partitions"]] == [
        *("nvs", "phy_init", "factory", "capture", "vfs")
    ]
    assert report["configuration"]["ssid"] == "net: with a colon"
    assert abs(int(report["configuration"]["clock"]) - time.time()) < 60
    assert json.loads(report["machine"]) == json.loads(GREENHOUSE.read_text())
    assert report["log"] == "empty" and report["missing"] == []
    shown = inspected(path)
    assert shown.exit_code == 0
    for word in ("MicroPython 1.25.0", "capture", "/lib/cistern/app.mpy", "net: with a colon"):
        assert word in shown.output, word
    for secret in (images.PSK, images.SECRET):
        assert secret not in made.output + shown.output + json.dumps(report)


@pytest.mark.skipif(
    paths.micropython() is None or paths.is_chosen(), reason="no MicroPython for this machine"
)
def test_a_machine_that_leaves_tls_no_room_is_refused_over_https_only(call, tmp_path):
    weather = EXAMPLES / "weather.json"
    refused = call(machine=weather)
    assert refused.exit_code == 1 and "room for the first" in refused.output
    assert not (tmp_path / "flash.bin").exists()
    assert call(machine=weather, cloud="http://192.168.4.2:8080", ca=None).exit_code == 0
    assert call(machine=weather, heap="2M").exit_code == 0


def test_a_board_of_own_firmware_is_not_judged_as_one_with_stock_firmware(
    call, tmp_path, monkeypatch
):
    monkeypatch.setattr(library, "files", images.code)
    machine = EXAMPLES / "vehicle.json"
    made = call(machine=machine, board="CISTERN_ESP32")
    assert made.exit_code == 0, made.output
    said = " ".join(made.output.split())
    assert "has no Cistern in it" in said and "make firmware BOARD=CISTERN_ESP32" in said
    assert call(machine=machine, board="CISTERN_ESP32", heap="147K").exit_code == 0
    # Firmware that has Cistern, as the list of frozen modules in it tells.
    monkeypatch.setattr(firmware, "_FROZEN", b"MicroPython v1.25.0")
    for board in ("CISTERN_ESP32", "esp32_generic"):
        made = call(machine=machine, board=board)
        assert made.exit_code == 0 and "has no Cistern" not in made.output, made.output


def test_the_heap_of_own_firmware_is_the_documented_one():
    page = (paths.ROOT / "docs" / "FIRMWARE.md").read_text()
    for number in (74_016, 17_296):
        assert f"{number:,} bytes" in page
    heap = boards.load("CISTERN_ESP32").heap
    assert heap == boards.load("esp32_generic").heap + 74_016 - 17_296 + 31 * 1024
    assert f"`--heap {heap // 1024}K`" in page
    assert boards.load("CISTERN_ESP32_C3").heap == heap - 31 * 1024


def test_the_network_can_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("CISTERN_WIFI", f"office:{images.PSK}")
    assert order.wifi() == ("office", images.PSK)
    assert order.wifi(open_ssid="cafe") == ("cafe", None)


def test_an_open_network_is_warned_of(call, monkeypatch):
    monkeypatch.setattr(library, "files", images.code)
    made = call(wifi_file=None, wifi_open="cafe")
    assert made.exit_code == 0
    assert "cafe has no password" in made.output


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"firmware": "nowhere.bin"}, "the firmware nowhere.bin cannot be read: No such file"),
        ({"firmware": images.OTHER_CHIP}, "for an ESP8266"),
        ({"board": "esp99"}, "no board is called esp99; there are: "),
        ({"machine": "nowhere.json"}, "nowhere.json cannot be read"),
        ({"cloud": "cloud.example"}, "is no cloud URL"),
        ({"ca": None}, "give --ca FILE"),
        ({"ca": GREENHOUSE}, "greenhouse.json is no certificate (PEM or DER): give the"),
        ({"ca": "tls/ca.key"}, "ca.key holds a key and no certificate (PEM or DER): give the"),
        ({"ca": "cut.pem"}, "cut.pem holds a certificate that is damaged or cut off"),
        ({"wifi_file": None}, "no Wi-Fi network"),
        ({"wifi": "a:12345678"}, "give one of --wifi"),
        ({"secret_file": "nowhere"}, "the secret nowhere cannot be read"),
        ({"ip": "192.168.4.7/255.255.255.0"}, "there are four"),
        ({"part_id": "p" * 513}, "part_id has more than 512 bytes"),
        ({"ip": "192.168.4.7/255.255.255.0/192.168.4.1/300.1.1.1"}, "300.1.1.1"),
    ],
)
def test_what_is_missing_or_wrong_is_said_and_nothing_is_written(
    call, tmp_path, monkeypatch, changes, words
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cut.pem").write_bytes((tmp_path / "tls" / "ca.pem").read_bytes()[:300])
    made = call(**changes)
    assert made.exit_code == 1, made.output
    assert words in made.output and "ParseError" not in made.output
    assert not (tmp_path / "flash.bin").exists()


def test_a_bad_machine_is_refused_as_cistern_check_would(call, tmp_path):
    bad = tmp_path / "bad.json"
    bad.write_text('{"components": [\n  {"name": "x",}]}')
    made = call(machine=bad)
    assert made.exit_code == 1 and f"{bad}:2:" in made.output
    machine = json.loads(GREENHOUSE.read_text())
    machine["components"][0]["model"] = "esp33"
    bad.write_text(json.dumps(machine))
    made = call(machine=bad)
    assert made.exit_code == 1 and 'components[0] "esp32".model' in made.output, made.output


def test_what_fits_is_judged_by_the_memory_of_the_board(call, tmp_path, monkeypatch):
    monkeypatch.setattr(library, "files", images.code)
    machine = json.loads(GREENHOUSE.read_text())
    config = machine["components"][0]["service_configs"][0]
    config["attributes"]["capture_methods"][0]["cache_size_kb"] = 60
    large = tmp_path / "large.json"
    large.write_text(json.dumps(machine))
    made = call(machine=large)
    assert made.exit_code == 1 and "its ring is refused" in made.output, made.output
    assert call(machine=large, heap="4M").exit_code == 0
    assert boards.load("CISTERN_ESP32_S3").heap == 2 * 1024 * 1024


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"text": "home"}, "SSID:PASS"),
        ({"text": "home:short"}, "has 5 bytes"),
        ({"text": "home:" + "x" * 64}, "has 64 bytes"),
        ({"text": "n" * 33 + ":password"}, "not 1 to 32 bytes"),
        ({"text": ":password"}, "not 1 to 32 bytes"),
    ],
)
def test_a_network_that_cannot_be_is_refused_without_its_password(given, words):
    with pytest.raises(ImageError, match=words) as refused:
        order.wifi(**given)
    password = given["text"].partition(":")[2]
    assert not password or password not in str(refused.value)


def test_a_password_may_have_colons_or_be_a_key():
    assert order.wifi("home:a:b:c:d:e") == ("home", "a:b:c:d:e")
    assert order.wifi("home:" + "0a" * 32) == ("home", "0a" * 32)


def test_inspect_refuses_what_is_no_image(tmp_path):
    path = tmp_path / "text"
    path.write_text("hello")
    assert "no ESP32 bootloader" in inspected(path).output
    assert inspected(tmp_path / "nowhere").exit_code == 1
