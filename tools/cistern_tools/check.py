"""`cistern check`: what a machine configuration will do on a board, before it is on one."""

import itertools
import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cistern_tools.command import size
from cistern_tools.judge import judge, where
from cistern_tools.texts import TextError

BLOCK = 4096
DAY_S = 86400
YEAR_S = 365.25 * DAY_S
# W25Q64JV datasheet, "Endurance": each sector can be erased so often.
ENDURANCE = 100_000
# A flash that wears out sooner gets a warning.
SHORT_LIFE_YEARS = 5
# When the log opens its last erased sector, it gives up the oldest to have another.
RESERVE = 1
LEAST_SECTORS = 4
STYLES = {"error": "bold red", "warning": "yellow", "info": "cyan"}


def check(
    machine: Annotated[Path, typer.Argument(help="Machine configuration, Viam's JSON.")],
    flash_size: Annotated[str, typer.Option(help="Size of the board's capture log.")] = "1M",
    heap: Annotated[
        str, typer.Option(help="The board's heap with Wi-Fi up; 147K is a plain ESP32's.")
    ] = "147K",
    models: Annotated[Path | None, typer.Option(help="Folder with models of your own.")] = None,
    https: Annotated[
        bool, typer.Option("--https", help="It syncs over https on a plain ESP32: does it fit?")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Say what is wrong with a machine configuration, and what it will do to the flash.

    Exit code: 0, 1 when an entry is refused, 2 when the file is no configuration at all.
    """
    capacity = size(flash_size)
    if capacity % BLOCK or capacity < LEAST_SECTORS * BLOCK:
        raise typer.BadParameter(
            f"{flash_size} is not a whole number of 4096-byte sectors, {LEAST_SECTORS} at least"
        )
    try:
        judged = judge(machine.read_bytes(), str(machine), size(heap), models, https)
    except OSError as e:
        raise _unusable(f"{e.filename or machine}: {e.strerror or e}", as_json) from None
    except TextError as e:
        where = {"file": str(machine), "line": e.line, "column": e.column}
        raise _unusable(str(e), as_json, **where) from None
    plan, forecast, problems = judged
    flash = _flash(forecast, capacity)
    if as_json:
        report = {
            "problems": problems,
            "streams": forecast.streams,
            "ring_bytes": _rings(forecast),
            "flash": flash,
        }
        print(json.dumps(report, indent=2))
    else:
        _show(plan, problems, forecast, flash)
    if judged.errors:
        raise typer.Exit(1)


def _rings(forecast) -> int:
    """RAM that all rings take together."""
    return sum(s["ring_bytes"] for s in forecast.streams)


def _unusable(text, as_json, **where):
    if as_json:
        print(json.dumps({"error": text, **where}))
    else:
        print(text, file=sys.stderr)
    return typer.Exit(2)


def _flash(forecast, capacity):
    """Figures of the whole log, were every sector erased in its turn, ENDURANCE times."""
    rate = forecast.bytes_per_s
    return {
        "size": capacity,
        "bytes_per_day": rate * DAY_S,
        "seconds_until_full_offline": (capacity - RESERVE * BLOCK) / rate if rate else None,
        "lifetime_years": capacity * ENDURANCE / rate / YEAR_S if rate else None,
    }


def _show(plan, problems, forecast, flash):
    console = Console()
    for p in problems:
        line = Text.assemble(
            (f"{p['level']:8}", STYLES[p["level"]]),
            (where(p), "bold"),
            f": {p['message']}",
        )
        console.print(line, soft_wrap=True)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("stream", overflow="fold")
    for name in ("rate", "in ring", "lasts", "on flash", "a day"):
        table.add_column(name, justify="right")
    for s in forecast.streams:
        table.add_row(
            s["stream"],
            f"{s['frequency_hz']:g} Hz",
            f"{s['ring_readings']}",
            duration(s["ring_seconds"]),
            f"{s['flash_bytes_per_reading']:.1f} B",
            amount(s["flash_bytes_per_day"]),
        )
    if forecast.streams:
        console.print(table)
    if plan.service.capture_disabled or not forecast.streams:
        untried = plan.collectors and not plan.service.capture_disabled
        untried = untried and not any(p["level"] == "error" for p in problems)
        console.print(
            "No forecast: no stream has a reading on the simulated board."
            if untried
            else "Nothing is captured."
        )
        return
    console.print(f"Rings take {amount(_rings(forecast))} of RAM.")
    full = flash["seconds_until_full_offline"]
    years = flash["lifetime_years"]
    console.print(
        f"Flash takes {amount(flash['bytes_per_day'])} a day. Offline, its {flash['size']} bytes "
        f"are full after {full:.0f} s ({duration(full)}); then the oldest readings are given up.",
        soft_wrap=True,
    )
    short = years < SHORT_LIFE_YEARS
    console.print(
        f"Projected flash lifetime: {years:.1f} years at {ENDURANCE} erases a sector."
        + (" Capture less often, raise flush_interval_ms or give it more flash." if short else ""),
        style="yellow" if short else None,
        soft_wrap=True,
    )


def amount(n):
    """Bytes for people; KB are 1000 bytes, as in cache_size_kb."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("KB", 1e3)):
        if n >= scale:
            return f"{n / scale:.1f} {unit}"
    return f"{n:.0f} B"


def duration(seconds):
    """A time for people, in its two largest units."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    units = (("year", YEAR_S), ("day", DAY_S), ("h", 3600), ("min", 60), ("s", 1))
    for (unit, scale), (lower, part) in itertools.pairwise(units):
        if seconds >= scale:
            whole, rest = divmod(seconds, scale)
            plural = "s" if len(unit) > 3 or unit == "day" else ""
            head = f"{whole:.0f} {unit}{plural if whole != 1 else ''}"
            return f"{head} {rest // part:.0f} {lower}{'s' if lower == 'day' else ''}"
    return f"{seconds:.0f} s"
