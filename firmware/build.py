"""Builds Cistern's own firmware, by the build of a MicroPython checkout: what make firmware runs.

usage: firmware/build.py BOARD MICROPYTHON [VARIANT]; BOARD is a folder of boards/.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

HOME = Path(__file__).resolve().parents[1]
# mpy-cross 1.25 writes wrong code where a jump in native Xtensa code is longer than 2 KB.
OLDEST_MINOR = 26
TAG = "v1.28.0"


class MissingError(Exception):
    """Something that the build needs; the message says how to get it."""


def board_of(name, variant):
    """The folder of a board that has such a variant. Raises MissingError."""
    names = sorted(p.name for p in (HOME / "boards").glob("CISTERN_*"))
    if name not in names:
        said = f"there is no board {name};" if name else "which board?"
        raise MissingError(f"{said} BOARD=… is one of: {' '.join(names)}")
    folder = HOME / "boards" / name
    found = sorted(p.stem for p in folder.glob("mpconfigvariant_*.cmake"))
    variants = [n.removeprefix("mpconfigvariant_") for n in found]
    if variant and variant not in variants:
        has = " ".join(variants) or "none"
        raise MissingError(f"{name} has no VARIANT={variant}; it has: {has}")
    return folder


def checkout_of(given):
    """The folder of a MicroPython that is new enough. Raises MissingError."""
    if not given:
        raise MissingError(
            "where is MicroPython? MICROPYTHON=… is your checkout of it:\n"
            f"    git clone -b {TAG} https://github.com/micropython/micropython"
        )
    folder = Path(given).resolve()
    if not folder.is_dir():
        raise MissingError(f"MICROPYTHON={given}: there is no such folder")
    if not (folder / "ports/esp32/Makefile").exists():
        raise MissingError(
            f"MICROPYTHON={given} is no checkout of MicroPython:\nit has no ports/esp32/Makefile"
        )
    text = (folder / "py/mpconfig.h").read_text("utf-8")
    minor = re.search(r"#define MICROPY_VERSION_MINOR +(\d+)", text)
    if not minor or int(minor[1]) < OLDEST_MINOR:
        raise MissingError(
            f"{given} is MicroPython 1.{minor[1] if minor else '?'};\n"
            f"Cistern's own firmware needs 1.{OLDEST_MINOR} or later:\n"
            f"    git -C {given} checkout {TAG}"
        )
    return folder


def check_tools(board, micropython):
    """Raises MissingError where ESP-IDF or MicroPython's submodules are not there."""
    port = micropython / "ports/esp32"
    idf = os.environ.get("IDF_PATH")
    if not idf:
        raise MissingError(
            "ESP-IDF is not set up in this shell, IDF_PATH is not set:\n"
            "    . <your esp-idf>/export.sh\n"
            f"{port}/README.md says which versions fit and how to install them"
        )
    if not Path(idf, "tools/cmake/project.cmake").exists():
        raise MissingError(f"IDF_PATH={idf} is no ESP-IDF:\nit has no tools/cmake/project.cmake")
    if not shutil.which("idf.py"):
        raise MissingError(f"idf.py is not on the PATH:\n    . {idf}/export.sh")
    if not (micropython / "lib/micropython-lib/README.md").exists():
        raise MissingError(
            f"the submodules of {micropython} are empty:\n"
            f"    make -C {port} BOARD_DIR={board} submodules"
        )


def main(name="", given="", variant=""):
    """Build; the exit status."""
    try:
        board = board_of(name, variant)
        micropython = checkout_of(given)
        check_tools(board, micropython)
    except MissingError as e:
        print(f"make firmware: {e}", file=sys.stderr)
        return 1
    build = HOME / "build/firmware" / (f"{name}-{variant}" if variant else name)
    build.mkdir(parents=True, exist_ok=True)
    settings = {
        "BOARD": name,
        "BOARD_DIR": board,
        "BOARD_VARIANT": variant,
        "USER_C_MODULES": HOME / "firmware/usermod/alpn/micropython.cmake",
        "FROZEN_MANIFEST": HOME / "firmware/manifest.py",
        "BUILD": build,
    }
    given = [f"{key}={value}" for key, value in settings.items()]
    environment = {k: v for k, v in os.environ.items() if k != "MAKEFLAGS"}
    done = subprocess.run(["make", "-C", micropython / "ports/esp32", *given], env=environment)
    if done.returncode == 0:
        print(f"make firmware: {build / 'firmware.bin'}")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
