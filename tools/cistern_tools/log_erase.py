"""`cistern log erase`: a log and all its readings are gone, and the board begins a new one."""

from pathlib import Path
from typing import Annotated

import typer

from cistern_tools import flashlog
from cistern_tools.board import BoardError
from cistern_tools.command import fail
from cistern_tools.flashlock import FlashInUseError, hold

SECTOR = 4096
FEWEST = 4  # sectors of a log (docs/SPEC.md)
ERASE = "import cistern\ncistern.erase_log()"


def erase(
    log: Annotated[
        Path | None,
        typer.Argument(help="A flash file of a simulated board, or a folder (capture_dir)."),
    ] = None,
    port: Annotated[
        str | None, typer.Option("--port", "-p", help="Serial port of the board to erase.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Erase a flash log: of a board, of a simulated board, or in a folder.

    It asks first, and says what would be lost. Readings that are not synced are gone for good.
    """
    if (log is None) == (port is None):
        fail("name one of: a flash file, a folder with a log, or --port PORT of a board")
    try:
        if port is not None:
            _board(port, yes)
        elif log.is_dir():
            _folder(log, yes)
        else:
            _file(log, yes)
    except OSError as e:
        fail(f"{e.filename or log}: {e.strerror or e}")
    except BoardError as e:
        fail(e)


def _ask(what, yes):
    if not yes:
        typer.confirm(f"Erase {what}?", abort=True)


def _board(port, yes):
    from cistern_tools.board import link, ports

    chosen = ports.choose(port)
    _ask(f"the log of the board at {chosen}, with all readings that are not synced", yes)
    with link.stopped(chosen) as board:
        board.run(ERASE)
    typer.echo(f"The log of the board at {chosen} is erased; the board starts again.")


def _folder(folder, yes):
    files = sorted(p for p in folder.iterdir() if flashlog.SECTOR_FILE.fullmatch(p.name))
    if not files:
        fail(f"{folder} has no log: no file there is named like 0000.log")
    _ask(f"the log in {folder}, {len(files)} files", yes)
    for path in files:
        path.unlink()
    typer.echo(f"The log in {folder} is erased.")


def _file(path, yes):
    size = path.stat().st_size
    if size % SECTOR or size < FEWEST * SECTOR:
        fail(
            f"{path} is no flash file: it has {size} bytes, and a flash is a whole number of "
            f"{SECTOR}-byte sectors, {FEWEST} at least"
        )
    try:
        held = hold(path)
    except FlashInUseError as e:
        fail(e)
    _ask(f"{path}, {size} bytes with {_content(path)}", yes)
    with open(held, "r+b") as file:
        for _ in range(size // SECTOR):
            file.write(b"\xff" * SECTOR)
    typer.echo(f"{path} is erased.")


def _content(path):
    try:
        found = flashlog.read_image(path.read_bytes())
    except flashlog.NotALogError:
        return "no log of Cistern in it"
    readings = sum(p.readings for p in found.parcels)
    unsent = sum(p.readings for p in found.parcels if p.state == "unsent")
    return f"log {found.log_id} in it: {readings} readings, {unsent} of them not synced"
