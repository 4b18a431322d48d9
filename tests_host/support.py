"""Paths and commands that tests share."""

import os
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIB = ROOT / "lib"


def micropython_command():
    """The command of the MicroPython to test with, as a list, or None where there is none."""
    chosen = os.environ.get("CISTERN_MICROPYTHON")
    if chosen:
        return [chosen]
    beside = Path(sys.executable).with_name("micropython")
    if beside.exists():
        return [str(beside)]
    found = shutil.which("micropython")
    return [found] if found else None
