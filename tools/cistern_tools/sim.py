"""`cistern sim`: the board without hardware. This process becomes the board, so killing it cuts
the power.
"""

import enum
import os
from pathlib import Path
from typing import Annotated

import typer

from cistern_tools import paths, simstop, texts
from cistern_tools.command import fail, size
from cistern_tools.command import seconds as duration
from cistern_tools.flashlock import FlashInUseError, hold
from cistern_tools.image import ImageError, order
from cistern_tools.simboard import SimError, board

# Less than this not even the board's program fits into.
LEAST_HEAP = 24 * 1024
HEAP = 160 * 1024


class Runtime(enum.StrEnum):
    """What runs the board's program."""

    MICROPYTHON = "micropython"
    CPYTHON = "cpython"


class Level(enum.StrEnum):
    """The least that the board's log has."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def sim(
    machine: Annotated[
        Path,
        typer.Argument(exists=True, dir_okay=False, help="Machine configuration, Viam's JSON."),
    ],
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
    runtime: Annotated[
        Runtime, typer.Option(help="What runs the board's program.")
    ] = Runtime.MICROPYTHON,
    heap: Annotated[str, typer.Option(help="MicroPython's heap, in bytes of the chip.")] = "160K",
    seconds: Annotated[
        float,
        typer.Option(
            "--for",
            parser=duration,
            metavar="SECONDS",
            help="Stop after this time, such as 10, 10s or 5m: capture off, all durable, a last "
            "sync. 0: until Ctrl-C.",
        ),
    ] = 0,
    as_json: Annotated[
        bool, typer.Option("--json", help="A status object a second on stdout.")
    ] = False,
    models: Annotated[
        Path | None,
        typer.Option(exists=True, file_okay=False, help="Folder with models of your own."),
    ] = None,
    log_level: Annotated[Level, typer.Option(help="The least that is logged.")] = Level.INFO,
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
        "log_level": log_level.value,
        "models": str(models) if models else None,
        "blocked": runtime is Runtime.MICROPYTHON and simstop.can_block(),
    }
    if runtime is Runtime.MICROPYTHON and size(heap) < LEAST_HEAP:
        raise typer.BadParameter(
            f"a heap of {heap} is too small for the board's program: a plain ESP32 has 147K"
        )
    if offline:
        _nothing_of_a_cloud(cloud, ca, server_name, part_id, secret_file)
    else:
        settings["cloud"] = _cloud(cloud, ca, server_name, part_id, secret_file)
    if flash.is_dir():
        raise typer.BadParameter(f"--flash {flash} is a folder: name a file")
    flash.parent.mkdir(parents=True, exist_ok=True)
    try:
        command, environment = board(runtime, size(heap), settings, program)
    except SimError as e:
        raise typer.BadParameter(str(e)) from None
    try:
        held = hold(flash)
    except FlashInUseError as e:
        fail(e)
    except OSError as e:
        fail(f"--flash {flash}: {e.strerror or e}")
    if settings["blocked"]:
        simstop.block(held)
    os.execvpe(command[0], command, environment)


def _nothing_of_a_cloud(url, ca, server_name, part_id, secret_file):
    """Refuse what a board without a cloud has no use for."""
    options = {
        "--cloud": url,
        "--ca": ca,
        "--server-name": server_name,
        "--part-id": part_id,
        "--secret-file": secret_file,
    }
    given = [name for name, value in options.items() if value]
    if given:
        raise typer.BadParameter(
            f"with --offline the board has no cloud: leave out {', '.join(given)}, or leave out "
            "--offline to sync"
        )


def _cloud(url, ca, server_name, part_id, secret_file):
    wanted = {"--cloud": url, "--part-id": part_id, "--secret-file": secret_file}
    missing = [name for name, value in wanted.items() if not value]
    if missing:
        raise typer.BadParameter(f"give {', '.join(missing)}, or --offline")
    try:
        if not texts.secret(secret_file):
            raise typer.BadParameter(f"{secret_file} is empty: cistern part add writes a secret")
        if ca:
            order.ca_files(order.read_file(ca, "the CA file"), str(ca))
        order.check_cloud(url, ca, part_id)
    except OSError as e:
        raise typer.BadParameter(f"{e.filename}: {e.strerror}") from None
    except (texts.TextError, ImageError) as e:
        raise typer.BadParameter(str(e)) from None
    return {
        "url": url,
        "ca": str(ca) if ca else "",
        "server_name": server_name,
        "part_id": part_id,
        "secret_file": str(secret_file),
    }
