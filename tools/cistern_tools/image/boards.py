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
# mpy-cross's names of the machine code that a chip runs (docs/reference/mpyfiles.rst).
# The smallest PSRAM that is sold with an ESP32: 2 MB.
PSRAM = 2 * 1024 * 1024
ARCHITECTURES = {
    "esp32": "xtensawin",
    "esp32s2": "xtensawin",
    "esp32s3": "xtensawin",
    "esp32c3": "rv32imc",
    "esp32c6": "rv32imc",
}


class Board(NamedTuple):
    """name: of its folder; chip: as esptool calls it; product: for people; heap: bytes that
    Python has with Wi-Fi up.
    """

    name: str
    chip: str
    product: str
    table: partitions.Table
    heap: int = HEAP

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
    heap = PSRAM if "External RAM" in about.get("features", ()) else HEAP
    return Board(name, chip, about.get("product", name), table, heap)
