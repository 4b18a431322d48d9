"""Decodes the image of a flash log without the device: an implementation of docs/SPEC.md of its
own.

    log = read_image(Path("flash.bin").read_bytes())
    for reading in log.readings(): ...     # dicts
    for damage in log.damage: ...          # dicts: where, and what it means

Nothing here shares code with the firmware, so that either finds the other's mistakes.
"""

from cistern_tools.flashlog.log import FlashLog
from cistern_tools.flashlog.readings import read_definition
from cistern_tools.flashlog.sectors import SECTOR_FILE, NotALogError, read_folder, read_image

__all__ = (
    "SECTOR_FILE",
    "FlashLog",
    "NotALogError",
    "read_definition",
    "read_folder",
    "read_image",
)
