"""`cistern sim`: the board without hardware. This process becomes the board, so killing it cuts
the power.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from cistern_tools import mpy, paths

_SIZE = re.compile(r"(\d+)([KM]?)")
# A word of a 64-bit MicroPython is twice as wide as the chip's, and so is all that it keeps.
WORDS = 2 if sys.maxsize > 2**32 else 1
# What a plain ESP32 has beside its heap (lib/cistern/port/esp32_spare.py), which here lies in it.
BESIDE = 40_000
_UNITS = {"": 1, "K": 1024, "M": 1024 * 1024}


def size(text: str) -> int:
    """Bytes of "160K" or "1M"."""
    found = _SIZE.fullmatch(text.strip().upper())
    if not found:
        raise typer.BadParameter(f"{text!r} is not a size such as 160K or 1M")
    return int(found[1]) * _UNITS[found[2]]


def sim(
    machine: Annotated[Path, typer.Argument(help="Machine configuration, Viam's JSON.")],
    cloud: Annotated[
        str, typer.Option(help="URL of the cloud, such as https://localhost:8443.")
    ] = "",
    ca: Annotated[
        Path | None, typer.Option(help="CA certificate(s) that the cloud is verified by.")
    ] = None,
    server_name: Annotated[
        str, typer.Option(help="Name in the certificate, if not the URL's.")
    ] = "",
    part_id: Annotated[str, typer.Option(help="This board's part id.")] = "",
    secret_file: Annotated[Path | None, typer.Option(help="File with the part's secret.")] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Capture only; no cloud.")] = False,
    flash: Annotated[Path, typer.Option(help="The flash chip, made if absent.")] = Path(
        "flash.bin"
    ),
    flash_size: Annotated[str, typer.Option(help="Its size.")] = "1M",
    runtime: Annotated[str, typer.Option(help="micropython or cpython.")] = "micropython",
    heap: Annotated[str, typer.Option(help="MicroPython's heap, in bytes of the chip.")] = "160K",
    seconds: Annotated[
        float,
        typer.Option("--for", help="Stop after this time: capture off, all durable, a last sync."),
    ] = 0,
    as_json: Annotated[
        bool, typer.Option("--json", help="A status object a second on stdout.")
    ] = False,
    models: Annotated[Path | None, typer.Option(help="Folder with models of your own.")] = None,
    log_level: Annotated[str, typer.Option(help="debug, info, warning or error.")] = "info",
    program: Annotated[
        Path, typer.Option(hidden=True, help="Main program, with the library as in its source.")
    ] = paths.SIM_MAIN,
) -> None:
    """Run a simulated board: captures, keeps on FLASH, syncs. The log goes to stderr."""
    settings = {
        "machine": str(machine),
        "flash": str(flash),
        "flash_size": size(flash_size),
        "seconds": seconds,
        "json": as_json,
        "log_level": log_level,
        "models": str(models) if models else None,
    }
    if not machine.exists():
        raise typer.BadParameter(f"no such file: {machine}")
    if log_level not in ("debug", "info", "warning", "error"):
        raise typer.BadParameter(f"--log-level {log_level!r}: debug, info, warning or error")
    if not offline:
        settings["cloud"] = _cloud(cloud, ca, server_name, part_id, secret_file)
    flash.parent.mkdir(parents=True, exist_ok=True)
    command, library, program = _command(runtime, size(heap), program)
    environment = {
        **os.environ,
        "MICROPYPATH": f".frozen:{library}",
        "PYTHONPATH": str(paths.LIB),
        # Not as an argument: MicroPython's are at most 255 bytes long.
        "CISTERN_SIM": json.dumps(settings),
    }
    os.execvpe(command[0], [*command, str(program)], environment)


def _cloud(url, ca, server_name, part_id, secret_file):
    missing = [
        name
        for name, value in (
            ("--cloud", url),
            ("--part-id", part_id),
            ("--secret-file", secret_file),
        )
        if not value
    ]
    if missing:
        raise typer.BadParameter(f"give {', '.join(missing)}, or --offline")
    for path in (ca, secret_file):
        if path and not path.exists():
            raise typer.BadParameter(f"no such file: {path}")
    return {
        "url": url,
        "ca": str(ca) if ca else "",
        "server_name": server_name,
        "part_id": part_id,
        "secret_file": str(secret_file),
    }


def _command(runtime, heap, program):
    """The interpreter's command, the folder that it imports Cistern from, and what it runs."""
    if runtime == "cpython":
        return [sys.executable], paths.LIB, program
    if runtime != "micropython":
        raise typer.BadParameter(f"--runtime {runtime!r}: micropython or cpython")
    found = paths.micropython()
    if found is None:
        raise typer.BadParameter(
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
        typer.echo(f"cistern: mpy-cross cannot compile {e.cmd[-1]}; its reason is above", err=True)
        raise typer.Exit(2) from None
    return [*found, "-X", f"heapsize={WORDS * heap + BESIDE}"], library, program
