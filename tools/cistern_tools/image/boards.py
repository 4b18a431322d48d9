"""Boards that images are made for: the folders of boards/ that have a partition table.

board.json names the chip in MicroPython's words: {"mcu": "esp32", ...}.
"""

import json
from pathlib import Path
from typing import NamedTuple

from cistern_tools import texts
from cistern_tools.image import ImageError, partitions
from cistern_tools.judge import HEAP
from cistern_tools.paths import ROOT

FOLDER = ROOT / "boards"
# The smallest PSRAM that is sold with an ESP32: 2 MB.
PSRAM = 2 * 1024 * 1024
# With Cistern frozen in the firmware its code takes less heap by this, and ESP-IDF leaves an ESP32
# this without Bluetooth: docs/FIRMWARE.md has both.
FROZEN = 74_016 - 17_296
BLUETOOTH = 31 * 1024
# mpy-cross's names of the machine code that a chip runs (docs/reference/mpyfiles.rst).
ARCHITECTURES = {
    "esp32": "xtensawin",
    "esp32s2": "xtensawin",
    "esp32s3": "xtensawin",
    "esp32c3": "rv32imc",
    "esp32c6": "rv32imc",
}


class Board(NamedTuple):
    """name: of its folder; chip: as esptool calls it; product: for people; heap: bytes that
    Python has with Wi-Fi up, where Cistern's code is in the heap: more by what the code would take
    where it is not. own: whether the board is for firmware of one's own, with Cistern frozen.
    """

    name: str
    chip: str
    product: str
    table: partitions.Table
    heap: int = HEAP
    own: bool = False

    @property
    def architecture(self):
        """-march for mpy-cross."""
        return ARCHITECTURES[self.chip]


def known(folder=FOLDER):
    """The names that load() takes."""
    return sorted(p.parent.name for p in Path(folder).glob("*/partitions.csv"))


def load(name, folder=FOLDER):
    """The Board in boards/<name>. Raises ImageError."""
    home = Path(folder) / name
    if name not in known(folder):
        raise ImageError(f"no board is called {name}; there are: {', '.join(known(folder))}")
    try:
        about = json.loads(texts.read(home / "board.json"))
        chip = about["mcu"]
        table = texts.read(home / "partitions.csv")
    except texts.TextError as e:
        raise ImageError(str(e)) from None
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise ImageError(f"{home / 'board.json'} does not name the chip as mcu: {e!r}") from None
    if chip not in ARCHITECTURES:
        raise ImageError(f"board {name}: no image is made for the chip {chip}")
    table = partitions.read_csv(table, f"{name}/partitions.csv")
    own = "firmware" not in about  # that of MicroPython which the board is for
    heap = _heap(chip, "External RAM" in about.get("features", ()), own)
    return Board(name, chip, about.get("product", name), table, heap, own)


def _heap(chip, psram, own):
    if psram:
        return PSRAM
    if not own:
        return HEAP
    return HEAP + FROZEN + (BLUETOOTH if chip == "esp32" else 0)
