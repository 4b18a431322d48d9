"""The process that is a simulated board: which interpreter, with how much heap, and with what."""

import json
import os
import subprocess
import sys

from cistern_tools import mpy, paths

# A word of a 64-bit MicroPython is twice as wide as the chip's, and so is all that it keeps.
WORDS = 2 if sys.maxsize > 2**32 else 1
# What a plain ESP32 has beside its heap (lib/cistern/port/esp32_spare.py), which here lies in it.
BESIDE = 40_000


class SimError(Exception):
    """There can be no such board; the message says why and what to do."""


def board(runtime, heap, settings, program=paths.SIM_MAIN):
    """(command, environment) of a process that is a board. Raises SimError.

    runtime: micropython or cpython. heap: MicroPython's, in bytes of the chip. settings: what
    firmware/sim.py reads.
    """
    command, library, program = _command(runtime, heap, program)
    environment = {
        **os.environ,
        "MICROPYPATH": f".frozen:{library}",
        "PYTHONPATH": str(paths.LIB),
        # Not as an argument: MicroPython's are at most 255 bytes long.
        "CISTERN_SIM": json.dumps(settings),
    }
    return [*command, str(program)], environment


def _command(runtime, heap, program):
    """The interpreter's command, the folder that it imports Cistern from, and what it runs."""
    if runtime == "cpython":
        return [sys.executable], paths.LIB, program
    if runtime != "micropython":
        raise SimError(f"--runtime {runtime!r}: micropython or cpython")
    found = paths.micropython()
    if found is None:
        raise SimError(
            "no MicroPython on this machine: set CISTERN_MICROPYTHON to one (v1.25 or later), "
            "or use --runtime cpython"
        )
    architecture = mpy.host_architecture()
    if architecture is None or (paths.is_chosen() and not mpy.can_load(found)):
        # Compiling the source on the board takes about as much again as the code itself.
        return [*found, "-X", f"heapsize={2 * WORDS * heap + BESIDE}"], paths.LIB, program
    try:
        if program == paths.SIM_MAIN:
            library = mpy.compile_library(architecture, (program,))
            program = library / program.name
        else:
            library = mpy.compile_library(architecture, roots={})
    except subprocess.CalledProcessError as e:
        raise SimError(f"mpy-cross cannot compile {e.cmd[-1]}; its reason is above") from None
    return [*found, "-X", f"heapsize={WORDS * heap + BESIDE}"], library, program
