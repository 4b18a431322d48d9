"""A board's flash, through the loader in its ROM: esptool."""

import contextlib

from esptool.cmds import (
    attach_flash,
    connect_esp,
    detect_flash_size,
    read_flash,
    reset_chip,
    run_stub,
    write_flash,
)
from esptool.logger import log as esptool_log
from esptool.util import FatalError, flash_size_bytes
from serial import SerialException

from cistern_tools.board import BoardError
from cistern_tools.image import ImageError, firmware, partitions

BAUD = 460800  # what CP2102 and CH340 bridges keep up with
_HOLD_BOOT = (
    "hold the board's BOOT button while the command starts, close other programs that use the "
    "port, and try another cable"
)


@contextlib.contextmanager
def connected(port, baud=BAUD):
    """The chip at a port, its flash attached; it starts its program when this is over.

    Raises BoardError.
    """
    try:
        with connect_esp(port) as rom:
            esp = run_stub(rom)
            if baud > rom.ESP_ROM_BAUD:
                esp.change_baud(baud)
            attach_flash(esp)
            yield esp
            reset_chip(esp, "hard-reset")
    except FatalError as e:
        raise BoardError(f"{port}: {str(e).rstrip('.')}: {_HOLD_BOOT}") from None
    except (SerialException, OSError) as e:
        raise BoardError(f"{port} cannot be used: {e}") from None


def flash(port, image, keep=(), baud=BAUD):
    """Write the image of a whole flash, but for the partitions whose labels are in `keep`.

    esptool verifies each part by the MD5 that the chip makes of its flash. Raises BoardError,
    before anything is written where chip, flash or partitions do not fit, and ImageError.
    """
    wanted = firmware.find(image)
    if len(image) < wanted.table.end:
        raise ImageError("the image is shorter than its partition table says: build it again")
    with connected(port, baud) as esp:
        check_chip(esp, wanted, len(image))
        spared = [_kept(esp, wanted.table, label) for label in keep]
        write_flash(esp, pieces(image, spared))


def check_chip(esp, wanted, size):
    """Raise BoardError unless the chip is the one that the Firmware is for, with enough flash."""
    # esptool says ESP32-S3, and esp32s3 where it takes names.
    chip = esp.CHIP_NAME.lower().replace("-", "")
    if chip != wanted.chip:
        raise BoardError(f"the board has an {chip}, and the image is for an {wanted.chip}")
    found = detect_flash_size(esp)
    if found and flash_size_bytes(found) < size:
        raise BoardError(
            f"the board has {found} of flash, and the image is for {size // 2**20}MB: build it "
            "for this board"
        )


def _kept(esp, table, label):
    """The partition `label`, which must lie on the board where the image has it."""
    wanted = table.find(label)
    try:
        there = board_table(esp).find(label)
    except ImageError as e:
        raise BoardError(f"the board has no {label} to keep: {e}") from None
    if (there.offset, there.size) != (wanted.offset, wanted.size):
        raise BoardError(
            f"the board's {label} lies at 0x{there.offset:x}, {there.size} bytes, and the image's "
            f"at 0x{wanted.offset:x}, {wanted.size} bytes: it cannot be kept"
        )
    return there


def board_table(esp):
    """The partition Table that is on a board. Raises ImageError."""
    return partitions.decode(_read(esp, partitions.ADDRESS, partitions.SIZE))


def _read(esp, address, size, progress=False):
    return read_flash(esp, address, size, no_progress=not progress)


def pieces(image, spared):
    """[(address, bytes)] of an image without the spared partitions."""
    found, start = [], 0
    for partition in sorted(spared, key=lambda p: p.offset):
        found.append((start, image[start : partition.offset]))
        start = partition.end
    found.append((start, image[start:]))
    return [(address, data) for address, data in found if data]


def pull_log(port, baud=BAUD):
    """The bytes of the partition `capture`. Raises BoardError."""
    with connected(port, baud) as esp:
        try:
            capture = board_table(esp).find("capture")
        except ImageError as e:
            raise BoardError(f"the board has no capture log: {e}") from None
        return _read(esp, capture.offset, capture.size, progress=True)


@contextlib.contextmanager
def quiet():
    """esptool says nothing but errors."""
    esptool_log.set_verbosity("silent")
    try:
        yield
    finally:
        esptool_log.set_verbosity("auto")
