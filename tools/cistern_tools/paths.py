"""Where things are in the checkout, and which MicroPython runs the simulated board."""

import os
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LIB = ROOT / "lib"
SIM_MAIN = ROOT / "firmware" / "sim.py"
EXAMPLES = ROOT / "examples"


def use_library() -> None:
    """Make the board's own program importable here."""
    if str(LIB) not in sys.path:
        sys.path.insert(0, str(LIB))


def micropython() -> list[str] | None:
    """The command of MicroPython for this PC: CISTERN_MICROPYTHON, or the one beside this Python,
    or on PATH.
    """
    chosen = os.environ.get("CISTERN_MICROPYTHON")
    if chosen:
        return [chosen]
    beside = Path(sys.executable).with_name("micropython")
    if beside.exists():
        return [str(beside)]
    found = shutil.which("micropython")
    return [found] if found else None


def is_chosen() -> bool:
    """Whether the user chose the MicroPython, which may then be of any version."""
    return bool(os.environ.get("CISTERN_MICROPYTHON"))
