"""`cistern run`: the main job on this PC, a receiver and a simulated board, live on screen."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import sys
import time
from collections import deque
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from cistern_tools import paths
from cistern_tools.command import address, fail
from cistern_tools.command import seconds as duration
from cistern_tools.judge import judge, where
from cistern_tools.query import connect
from cistern_tools.receiver.accounts import (
    AccountError,
    Accounts,
    ensure_secret_file,
    read_secret_file,
)
from cistern_tools.receiver.commands import own_names
from cistern_tools.receiver.server import dev_tls_context, serve
from cistern_tools.receiver.store import StoreError
from cistern_tools.sim import HEAP as SIM_HEAP
from cistern_tools.texts import TextError

PART_ID = "dev-board"
STOP_TIMEOUT_S = 30
LOG_LINES = 5
REFRESH_S = 0.5
COLUMNS = ("captured", "durable", "synced", "pending", "dropped", "late", "missed")
# Shown where there is any: a terminal of 80 characters has no room for what is not.
RARE = ("dropped", "late", "missed")
WIDE = 100  # with so many characters there is room for a bar
LATEST = """SELECT component, method, params, time, payload FROM readings
    WHERE part = ? ORDER BY time DESC LIMIT 1"""


def run(
    machine: Annotated[
        Path | None,
        typer.Argument(
            exists=True,
            dir_okay=False,
            help="Machine configuration; else the example greenhouse.",
        ),
    ] = None,
    data: Annotated[
        Path,
        typer.Option(
            file_okay=False, help="Where the receiver, its keys and the board's flash live."
        ),
    ] = Path(".cistern"),
    listen: Annotated[
        str,
        typer.Option(
            metavar="[HOST:]PORT", help="Where the receiver listens; port 0 takes a free one."
        ),
    ] = "0",
    seconds: Annotated[
        float,
        typer.Option(
            "--for",
            parser=duration,
            metavar="SECONDS",
            help="Stop after this time, such as 10, 10s or 5m. 0: at Ctrl-C.",
        ),
    ] = 0,
    models: Annotated[
        Path | None,
        typer.Option(exists=True, file_okay=False, help="Folder with models of your own."),
    ] = None,
) -> None:
    """Capture, keep, sync: a receiver and a simulated board, live. Ctrl-C stops both."""
    host, port = address(listen, "127.0.0.1")
    machine = machine or paths.EXAMPLES / "greenhouse.json"
    _check(machine, models)
    try:
        status = asyncio.run(_run(machine, data, host, port, seconds, models))
    except (StoreError, AccountError) as e:
        fail(
            f"{e}. If it is another cistern run: it goes on where you started it; --data with "
            "another folder has a second one beside it"
            if isinstance(e, StoreError)
            else e
        )
    except OSError as e:
        fail(f"{e.filename or f'--listen {listen}'}: {e.strerror or e}")
    raise typer.Exit(status)


def _check(machine, models):
    """Say what is wrong with the configuration, which else the board would say somewhere in its
    log; end where it is none, since the board would run an earlier one.
    """
    try:
        judged = judge(machine.read_bytes(), str(machine), SIM_HEAP, models)
    except TextError as e:
        fail(e)
    for problem in judged.problems:
        if problem["level"] != "info":
            typer.echo(f"{problem['level']}: {where(problem)}: {problem['message']}", err=True)


class Board:
    """What the simulated board has said so far."""

    def __init__(self):
        self.status = {}
        self.log = deque(maxlen=LOG_LINES)

    async def read_status(self, stream):
        """Take status lines until the board ends."""
        async for line in stream:
            try:
                self.status = json.loads(line)
            except ValueError:  # what the interpreter itself says, at its end
                self.log.append(line.decode(errors="replace").rstrip())

    async def read_log(self, stream, echo):
        """Take log lines until the board ends; show them at once if there is no live display."""
        async for line in stream:
            text = line.decode(errors="replace").rstrip()
            self.log.append(text)
            if echo:
                print(text, file=sys.stderr)


async def _run(machine, data, host, port, seconds, models):
    cloud_dir = data / "cloud"
    cloud_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    secret = data / "board.secret"
    ensure_secret_file(secret)
    with contextlib.closing(Accounts(cloud_dir)) as accounts:
        accounts.add_part(PART_ID, read_secret_file(secret), replace=True)
    context, ca = dev_tls_context(cloud_dir, own_names(host))
    console = Console()
    async with serve(cloud_dir, host, port, context) as receiver:
        _say(console, f"receiver at {receiver.url}, its data in {cloud_dir}")
        theirs = cloud_dir / "machines" / f"{PART_ID}.json"
        if theirs.exists():
            _say(console, f"the receiver has {theirs}, which takes the place of {machine}")
        command = [
            *(sys.executable, "-m", "cistern_tools", "sim", str(machine), "--json"),
            *("--cloud", _local(receiver), "--ca", str(ca), "--part-id", PART_ID),
            *("--secret-file", str(secret), "--flash", str(data / "board.flash")),
            *("--for", str(seconds)),
            *(("--models", str(models)) if models else ()),
        ]
        board = Board()
        # In a session of its own, so that Ctrl-C reaches the board only when this process says so.
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        readers = asyncio.gather(
            board.read_status(process.stdout),
            board.read_log(process.stderr, not console.is_terminal),
        )
        try:
            await _watch(console, cloud_dir, board, process, seconds)
        finally:
            await _stop(process)
            await readers
    problems = board.status.get("problems", ())
    if any("RAM" in problem for problem in problems):
        _say(console, "stopped; what is not synced yet was in RAM, and is lost")
    else:
        _say(console, "stopped; what is not synced yet is on the board's flash for the next run")
    if process.returncode:
        print("\n".join(board.log), file=sys.stderr)
        _say(console, f"the board ended with exit status {process.returncode}")
    return 1 if process.returncode else 0


def _local(receiver):
    """The URL at which the receiver is reached from this machine."""
    local = {"0.0.0.0": "127.0.0.1", "::": "::1"}
    return receiver._replace(host=local.get(receiver.host, receiver.host)).url


def _command():
    """How the user starts this program here."""
    if shutil.which("cistern"):
        return "cistern"
    beside = Path(sys.executable).with_name("cistern")
    return os.path.relpath(beside) if beside.exists() else f"{sys.executable} -m cistern_tools"


async def _watch(console, cloud_dir, board, process, seconds):
    """Show the board until it ends or the user stops it."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    ended = asyncio.create_task(process.wait())
    stopped = asyncio.create_task(stop.wait())
    query = '"SELECT * FROM readings ORDER BY time DESC LIMIT 10"'
    hint = f"{_command()} query {query} --data {cloud_dir}"
    _say(console, f"ask the data while it arrives: {hint}")
    live = Live(console=console, auto_refresh=False) if console.is_terminal else None
    with live or contextlib.nullcontext():
        shown = 0
        while not (ended.done() or stop.is_set()):
            latest = await asyncio.to_thread(_latest, cloud_dir)
            if live:
                live.update(_screen(board, latest, console.width), refresh=True)
            elif board.status and time.monotonic() - shown > 1:
                shown = time.monotonic()
                _say(console, _line(board.status, latest))
            await asyncio.wait(
                (ended, stopped), timeout=REFRESH_S, return_when=asyncio.FIRST_COMPLETED
            )
    stopped.cancel()


async def _stop(process):
    """End the board the way a user does; cut its power if it does not end."""
    if process.returncode is not None:
        return
    process.send_signal(signal.SIGINT)
    try:
        await asyncio.wait_for(process.wait(), STOP_TIMEOUT_S)
    except TimeoutError:
        process.kill()
        await process.wait()


def _latest(cloud_dir):
    """The newest reading in the receiver's store as text, or None."""
    with contextlib.closing(connect(cloud_dir)) as db:
        row = db.execute(LATEST, (PART_ID,)).fetchone()
    if row is None:
        return None
    component, method, params, when, payload = row
    named = f" {params}" if params != "{}" else ""
    return f"{when}  {component} {method}{named}  {payload}"


def _screen(board, latest, width):
    streams = sorted(board.status.get("streams", {}).items())
    columns = [c for c in COLUMNS if c not in RARE or any(row[c] for _, row in streams)]
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("stream", overflow="fold")
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    if width >= WIDE:
        table.add_column("in the cloud")
    for name, row in streams:
        known = row["synced"] + row["pending"]
        bar = ProgressBar(total=max(known, 1), completed=row["synced"], width=16)
        cells = [f"{row[c]:,}" for c in columns]
        table.add_row(name, *cells, *((bar,) if width >= WIDE else ()))
    link = board.status.get("link", "starting")
    return Group(
        table,
        *(Text(line, style="yellow") for line in _troubles(board.status)),
        Text(f"link: {link}   uptime: {board.status.get('t', 0):.0f} s"),
        Text(f"newest reading in the cloud: {latest or 'none yet'}", style="green"),
        *(Text(line, style="dim", no_wrap=True, overflow="ellipsis") for line in board.log),
        Text("Ctrl-C stops; the next run continues", style="dim"),
    )


def _troubles(status):
    """A line for each thing that the board runs without, and for each stream that lost readings
    since the log began, by reason.
    """
    return [
        *status.get("problems", ()),
        *(
            f"lost of {name}: " + ", ".join(f"{n:,} {reason}" for reason, n in sorted(by.items()))
            for name, by in sorted(status.get("losses", {}).items())
        ),
    ]


def _line(status, latest):
    totals = {c: sum(s[c] for s in status["streams"].values()) for c in COLUMNS}
    counts = "  ".join(f"{c} {n}" for c, n in totals.items())
    line = f"t {status['t']:.0f} s  {counts}  link {status['link']}  newest in the cloud: {latest}"
    return "\n".join((line, *_troubles(status)))


def _say(console, text):
    console.print(text, markup=False, highlight=False, soft_wrap=True)
