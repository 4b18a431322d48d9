"""`cistern flash` and `cistern log pull` against a chip's loader (chip_stand_in/rom.py)."""

import os
import stat

import pytest
from esp32_mock_bootloader import protocol
from typer.testing import CliRunner

from chip_stand_in import images
from chip_stand_in.rom import Rom
from cistern.port.nor import NorFile
from cistern.record import Ring, Stream
from cistern.store import Log
from cistern_tools import devca
from cistern_tools.board import BoardError, loader, ports
from cistern_tools.cli import app
from cistern_tools.image import ImageError, partitions

NVS, CAPTURE = slice(0x9000, 0xF000), slice(0x200000, 0x300000)


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    files = devca.ensure(tmp_path_factory.mktemp("tls"))
    return images.an_image(images.an_order(files.ca))


@pytest.fixture
def rom():
    made = Rom()
    yield made
    made.close()


def call(*words):
    return CliRunner().invoke(app, [str(w) for w in words])


def a_log(tmp_path):
    """A capture partition with three readings of one stream in it."""
    path = tmp_path / "capture"
    log = Log.mount(NorFile(str(path), 0x100000), os.urandom)
    ring = Ring(Stream("rdk:component:sensor", "s", "Readings", {}, ()), 2048, 1000)
    for n in range(3):
        ring.put_payload(n * 1000, 100, {"readings": {"n": n}})
    sealed = ring.seal(bytearray(2048), 3000, 3000)
    log.append(sealed.definition, sealed.payload, sealed.readings)
    return path.read_bytes()


def test_a_board_is_flashed_then_flashed_again_without_its_secrets_and_log(rom, image, tmp_path):
    path = tmp_path / "flash.bin"
    path.write_bytes(image)
    done = call("flash", path, "--port", rom.port())
    assert done.exit_code == 0, done.output
    assert rom.flash == image
    assert "the board's clock is not set" in done.output and "cistern sync sets it" in done.output
    # The board has been in use, and gets a new image.
    log = a_log(tmp_path)
    rom.flash[NVS] = b"N" * 0x6000
    rom.flash[CAPTURE] = log
    rom.flash[0x3F0000:] = bytes(0x10000)
    done = call("flash", path, "--port", rom.port(), "--keep-nvs", "--keep-log")
    assert done.exit_code == 0, done.output
    assert "kept nvs and capture" in done.output
    assert rom.flash[CAPTURE] == log and rom.flash[NVS] == b"N" * 0x6000
    for part in (slice(0, 0x9000), slice(0xF000, 0x200000), slice(0x300000, None)):
        assert rom.flash[part] == image[part]
    # Its log comes back.
    out = tmp_path / "log"
    done = call("log", "pull", "--port", rom.port(), "-o", out)
    assert done.exit_code == 0, done.output
    assert "3 unsent" in done.output
    assert out.read_bytes() == log and stat.S_IMODE(out.stat().st_mode) == 0o600


def test_flash_that_does_not_hold_what_is_written_is_noticed(rom, image):
    at = next(i for i in range(0x310000, len(image)) if not image[i] & 1)
    rom.wear_out(at)
    with loader.quiet(), pytest.raises(BoardError, match=r"MD5"):
        loader.flash(rom.port(), image)


def refused(rom, image, pattern, *keep):
    """Nothing is written, and the reason is said."""
    before = bytes(rom.flash)
    with loader.quiet(), pytest.raises((BoardError, ValueError), match=pattern):
        loader.flash(rom.port(), image, keep)
    assert rom.flash == before


def test_another_chip_is_refused(image):
    rom = Rom("esp32s3")
    try:
        refused(rom, image, "the board has an esp32s3, and the image is for an esp32")
    finally:
        rom.close()


def test_a_smaller_flash_is_refused(rom, image, monkeypatch):
    monkeypatch.setattr(protocol, "MOCK_FLASH_ID", 0x00154020)
    refused(rom, image, "the board has 2MB of flash, and the image is for 4MB")


def test_there_must_be_something_to_keep_and_in_the_same_place(rom, image):
    refused(rom, image, "the board has no capture to keep", "capture")
    stock = images.stock()
    rom.flash[0x8000:0x8C00] = stock[0x7000:0x7C00]
    refused(rom, image, "the partition table has no capture", "nvs", "capture")
    table = partitions.decode(image[0x8000:0x8C00])
    moved = partitions.Table(
        p._replace(offset=0x201000, size=0xFF000) if p.label == "capture" else p for p in table
    )
    rom.flash[0x8000:0x8C00] = partitions.encode(moved)
    refused(rom, image, "the board's capture lies at 0x201000", "capture")


def test_no_image_and_no_log_are_refused(rom, image, tmp_path):
    for what, words in ((b"hello", "no ESP32"), (image[:0x380000], "shorter than its partition")):
        with pytest.raises(ImageError, match=words):
            loader.flash(str(tmp_path / "nowhere"), what)
    done = call("log", "pull", "--port", rom.port(), "-o", tmp_path / "log")
    assert done.exit_code == 1 and "the board has no capture log" in done.output


def test_a_port_that_cannot_be_used_is_said(tmp_path, image):
    path = tmp_path / "flash.bin"
    path.write_bytes(image)
    done = call("flash", path, "--port", tmp_path / "nowhere")
    assert done.exit_code == 1
    assert "nowhere cannot be opened" in done.output and "plugged in" in done.output
    done = call("flash", path, "--port", path)
    assert done.exit_code == 1 and "BOOT" in done.output


@pytest.mark.parametrize(
    ("there", "words"),
    [([], "no USB serial port found"), (["/dev/a", "/dev/b"], "there are /dev/a, /dev/b")],
)
def test_without_a_port_there_must_be_one(monkeypatch, there, words):
    found = [type("P", (), {"device": d, "vid": 1}) for d in there]
    found.append(type("P", (), {"device": "/dev/ttyS0", "vid": None}))
    monkeypatch.setattr(ports.list_ports, "comports", lambda: found)
    with pytest.raises(BoardError, match=words):
        ports.choose("")
    assert ports.choose("/dev/null") == "/dev/null", "one that is there is taken"


def test_the_only_port_is_taken(monkeypatch):
    found = [type("P", (), {"device": "/dev/ttyUSB0", "vid": 0x10C4})]
    monkeypatch.setattr(ports.list_ports, "comports", lambda: found)
    assert ports.choose("") == "/dev/ttyUSB0"
