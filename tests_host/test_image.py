"""Images of stock firmware, byte by byte."""

import hashlib
import json
import os
import struct

import pytest
from littlefs import LittleFS, UserContext

from chip_stand_in import images
from cistern.port.nor import NorFile
from cistern.record import Ring, Stream
from cistern.store import Log
from cistern_tools import devca, flashlog
from cistern_tools.image import ImageError, boards, build, contents, firmware, library, order
from cistern_tools.image import nvs as nvs_store
from cistern_tools.image import partitions as tables

BOARD = boards.load("esp32_generic")
VFS = (0x300000, 0x400000)
NVS = (0x9000, 0xF000)
CAPTURE = (0x200000, 0x300000)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("tls")


@pytest.fixture(scope="module")
def image(folder):
    return images.an_image(images.an_order(devca.ensure(folder).ca))


def _files(image):
    """The vfs as littlefs-python reads it, with the settings of nobody but itself."""
    raw = image[slice(*VFS)]
    context = UserContext(len(raw))
    context.buffer = bytearray(raw)
    fs = LittleFS(context, block_size=4096, block_count=len(raw) // 4096)
    found = {}
    for folder, _, names in fs.walk("/"):
        for name in names:
            path = f"{folder.rstrip('/')}/{name}"
            with fs.open(path, "rb") as file:
                found[path] = file.read()
    return found


def test_bootloader_and_application_are_the_downloaded_bytes(image):
    raw = images.stock()
    assert image[0x1000:0x8000] == raw[:0x7000]
    assert image[0x10000 : 0x10000 + len(raw) - images.APP_AT] == raw[images.APP_AT :]
    assert len(image) == 4 * 1024 * 1024


def test_everything_between_the_parts_is_erased_flash(image):
    raw = images.stock()
    for start, end in (
        (0, 0x1000),
        (0x8C00, 0x9000),
        (0xF000, 0x10000),
        (0x10000 + len(raw) - images.APP_AT, 0x200000),
        CAPTURE,
    ):
        assert not image[start:end].strip(b"\xff"), hex(start)


def test_the_partition_table_says_what_the_boards_csv_says(image):
    """Decoded here by the format's description, with its MD5."""
    raw = image[0x8000:0x8C00]
    rows = []
    at = 0
    while raw[at : at + 2] == b"\xaa\x50":
        _, kind, subtype, offset, size, label, flags = struct.unpack_from("<HBBII16sI", raw, at)
        rows.append((label.rstrip(b"\0").decode(), kind, subtype, offset, size, flags))
        at += 32
    assert raw[at : at + 16] == b"\xeb\xeb" + b"\xff" * 14
    assert raw[at + 16 : at + 32] == hashlib.md5(raw[:at]).digest()
    assert not raw[at + 32 :].strip(b"\xff")
    assert rows == [
        ("nvs", 1, 2, 0x9000, 0x6000, 0),
        ("phy_init", 1, 1, 0xF000, 0x1000, 0),
        ("factory", 0, 0, 0x10000, 0x1F0000, 0),
        ("capture", 1, 0x40, 0x200000, 0x100000, 0),
        ("vfs", 1, 0x81, 0x300000, 0x100000, 0),
    ]


def test_our_encoder_makes_the_very_table_that_espressifs_made():
    raw = images.stock()[0x7000:0x7C00]
    assert tables.encode(tables.decode(raw)) == raw


def test_the_filesystem_has_program_configuration_and_code(image):
    files = _files(image)
    assert json.loads(files["/machine.json"]) == images.MACHINE
    for name in ("boot.py", "main.py"):
        compile(files[f"/{name}"], name, "exec")
    code = {path for path in files if path.startswith("/lib/")} - {"/lib/modules.txt"}
    assert {"/lib/cistern/app.mpy", "/lib/cistern/resources/mpu_fast.mpy"} <= code
    unwanted = ("/host.mpy", "/plain.mpy", "_plain.mpy")
    assert not [p for p in code if "/simulated/" in p or p.endswith(unwanted)]
    others = {"/lib/modules.txt", "/boot.py", "/main.py", "/machine.json", "/ca.der"}
    assert set(files) == code | others
    for path in code:
        # docs/reference/mpyfiles.rst: "M", version 6; in the third byte the sub-version in the low
        # 2 bits and above it the architecture: 0 without machine code, 10 for xtensawin.
        head = files[path][:3]
        assert head[:2] == b"M\x06", path
        assert head[2] >> 2 in (0, 10), path
    assert files["/lib/cistern/resources/mpu_fast.mpy"][2] >> 2 == 10
    assert files["/lib/cistern/app.mpy"][2] == 10 << 2 | 3


def test_the_filesystem_has_disk_version_2_0(image):
    """The superblock: "littlefs", then the version, block size and count."""
    raw = image[slice(*VFS)]
    at = raw.index(b"littlefs")
    version, block_size, count = struct.unpack_from("<III", raw, at + 12)
    assert (version, block_size, count) == (0x00020000, 4096, 256)


def test_the_ca_certificate_is_der(image, folder):
    from cryptography import x509

    wanted = x509.load_pem_x509_certificate(devca.ensure(folder).ca.read_bytes())
    assert x509.load_der_x509_certificate(_files(image)["/ca.der"]) == wanted


def test_secrets_are_in_the_nvs_and_nowhere_else(image):
    values = nvs_store.read(image[slice(*NVS)])
    assert values == {
        "cistern": {
            "ssid": b"greenhouse net",
            "psk": images.PSK.encode(),
            "cloud_url": b"https://192.168.4.2:8443",
            "part_id": b"greenhouse-1",
            "secret": images.SECRET.encode(),
        }
    }
    outside = image[: NVS[0]] + image[NVS[1] :]
    for secret in (images.PSK, images.SECRET):
        assert secret.encode() not in outside


def test_an_nvs_of_long_values_reads_back_across_pages():
    values = {f"key{i}": bytes([i]) * (400 * i) for i in range(1, 8)}
    raw = nvs_store.make(values, 0x6000)
    assert len(raw) == 0x6000
    assert nvs_store.read(raw) == {"cistern": values}
    with pytest.raises(ImageError, match="does not fit into nvs"):
        nvs_store.make({"big": bytes(0x6000)}, 0x6000)


def test_a_damaged_nvs_entry_is_left_out():
    raw = bytearray(nvs_store.make({"ssid": b"net", "psk": b"12345678"}, 0x6000))
    at = raw.index(b"12345678")
    raw[at] ^= 1
    assert nvs_store.read(bytes(raw)) == {"cistern": {"ssid": b"net"}}


def test_an_open_network_has_no_password_and_several_cas_stay_pem(folder, tmp_path):
    one = devca.ensure(folder).ca.read_bytes()
    other = devca.ensure(tmp_path / "other").ca.read_bytes()
    ordered = images.an_order(devca.ensure(folder).ca)
    ordered = ordered._replace(psk=None, ca=order.ca_files(one + other))
    made = images.an_image(ordered)
    assert "psk" not in nvs_store.read(made[slice(*NVS)])["cistern"]
    files = _files(made)
    assert "/ca.der" not in files
    assert files["/ca.pem"].count(b"BEGIN CERTIFICATE") == 2


def test_a_chip_of_risc_v_gets_both_twins():
    for name in ("cistern/resources/mpu_fast.py", "cistern/resources/mpu_plain.py"):
        assert library.on_chip(name, "rv32imc")
    assert not library.on_chip("cistern/resources/mpu_plain.mpy", "xtensawin")
    assert not library.on_chip("cistern/port/pc.mpy", "rv32imc")
    assert library.on_chip("cistern/port/pcnt.mpy", "rv32imc")


# What is refused


def _refused(pattern, board=BOARD, raw=None, tmp_path=None):
    ordered = images.an_order(devca.ensure(tmp_path / "tls").ca)
    with pytest.raises(ImageError, match=pattern):
        build.build(
            ordered,
            board,
            images.stock() if raw is None else raw,
            "the.bin",
            images.code("xtensawin"),
        )


def test_firmware_of_another_chip_is_refused(tmp_path):
    _refused("the.bin is for an ESP8266", raw=images.OTHER_CHIP.read_bytes(), tmp_path=tmp_path)
    other = images.a_board(tmp_path / "boards", mcu="esp32s3")
    _refused("is for the chip esp32, and board odd has an esp32s3", other, tmp_path=tmp_path)


def test_firmware_too_large_for_the_table_is_refused(tmp_path):
    small = images.a_board(tmp_path / "boards", factory=0x180000)
    _refused("the application has 1640800 bytes, and partition factory", small, tmp_path=tmp_path)


def test_a_table_beyond_the_flash_is_refused(tmp_path):
    large = images.a_board(tmp_path / "boards", capture=0x200000)
    words = "end at 5242880 bytes, and the.bin is for a flash of 4194304"
    _refused(words, large, tmp_path=tmp_path)


@pytest.mark.parametrize(
    ("version", "pattern"),
    [
        (b"1.22.0", r"loads .mpy version 6.2; mpy-cross here makes 6.3"),
        (b"1.24.1", r"MicroPython 1.24.1; Cistern needs 1.25 or later"),
    ],
)
def test_firmware_of_another_mpy_version_is_refused(tmp_path, version, pattern):
    raw = images.with_app(
        images.stock(), b"MicroPython v1.25.0 on", b"MicroPython v" + version + b" on"
    )
    _refused(pattern, raw=raw, tmp_path=tmp_path)


def test_later_firmware_is_taken(tmp_path):
    raw = images.with_app(images.stock(), b"MicroPython v1.25.0 on", b"MicroPython v1.29.1 on")
    made = images.an_image(images.an_order(devca.ensure(tmp_path / "tls").ca), raw=raw)
    assert contents.inspect(made).firmware.version == "1.29.1"


def test_damaged_and_partial_firmware_is_refused(tmp_path):
    raw = images.stock()
    spoilt = bytearray(raw)
    spoilt[images.APP_AT + 5000] ^= 1
    _refused("the application is damaged", raw=bytes(spoilt), tmp_path=tmp_path)
    _refused("the application cannot be read|is damaged", raw=raw[:500000], tmp_path=tmp_path)
    _refused("there is no partition table", raw=raw[images.APP_AT :], tmp_path=tmp_path)
    _refused("does not begin with 0xE9", raw=b"hello" * 100, tmp_path=tmp_path)
    _refused("no firmware", raw=b"", tmp_path=tmp_path)


def test_missing_programs_are_named(tmp_path, monkeypatch):
    with pytest.raises(ImageError, match=r"boot.py is missing"):
        library.files("xtensawin", tmp_path)


def test_files_that_do_not_fit_are_refused(tmp_path):
    small = images.a_board(tmp_path / "boards", vfs=0x10000)
    _refused("files of [0-9]+ bytes do not fit on a vfs of 65536", small, tmp_path=tmp_path)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("vfs, data, fat, 0x200000, 0x100000", "overlaps capture"),
        ("vfs, data, fat, 0x300800, 0x100000", "not multiples"),
        ("vfs, data, oddity, 0x300000, 0x100000", "is no partition"),
        ("vfs, data, fat, 0x300000", "is no partition"),
        ("capture, data, fat, 0x300000, 1M", "two partitions are called capture"),
    ],
)
def test_a_bad_partition_table_is_refused_with_its_line(row, words):
    text = f"capture, data, 0x40, 0x200000, 0x100000\n# a comment\n{row}\n"
    with pytest.raises(ImageError, match=words):
        tables.read_csv(text)


# Inspection


def test_inspection_finds_what_was_put_in_and_masks_secrets(image):
    found = contents.inspect(image)
    assert found.missing == []
    assert (found.firmware.version, found.firmware.date) == ("1.25.0", "2025-04-15")
    assert found.firmware.machine == "Generic ESP32 module with ESP32"
    assert found.files == _files(image)
    assert found.configuration["psk"] == found.configuration["secret"] == contents.MASK
    assert found.configuration["ssid"] == "greenhouse net"
    assert found.log is None and found.log_state == "empty"


def test_inspection_tells_readings_damage_and_absence(image, tmp_path):
    flash = _a_log(tmp_path)
    used = image[: CAPTURE[0]] + flash + image[CAPTURE[1] :]
    found = contents.inspect(used)
    assert contents.readings(found.log) == {"unsent": 3}
    torn = image[: VFS[0]] + bytes(VFS[1] - VFS[0])
    assert ["no filesystem" in m for m in contents.inspect(torn).missing] == [True]
    with pytest.raises(ImageError, match="no ESP32 bootloader"):
        contents.inspect(bytes(0x10000))
    odd = image[: CAPTURE[0]] + b"\0" * 8192 + image[CAPTURE[0] + 8192 :]
    assert "no sector of a Cistern log" in contents.inspect(odd).log_state
    assert isinstance(flashlog.read_image(flash), flashlog.FlashLog)


def _a_log(tmp_path):
    """A capture partition with three readings of one stream in it."""
    path = tmp_path / "capture"
    log = Log.mount(NorFile(str(path), CAPTURE[1] - CAPTURE[0]), os.urandom)
    ring = Ring(Stream("rdk:component:sensor", "s", "Readings", {}, ()), 2048, 1000)
    for n in range(3):
        ring.put_payload(n * 1000, 100, {"readings": {"n": n}})
    sealed = ring.seal(bytearray(2048), 3000, 3000)
    log.append(sealed.definition, sealed.payload, sealed.readings)
    return path.read_bytes()


def test_firmware_find_reads_a_whole_image_back(image):
    found = firmware.find(image)
    assert found.chip == "esp32" and found.flash_size == 4 * 1024 * 1024
