"""`cistern log dump`: what a flash image holds, without the device."""

import csv
import enum
import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from cistern_tools.flashlog import NotALogError, read_folder, read_image

log_app = typer.Typer(
    no_args_is_help=True, help="Flash logs: of a simulated board, or read back from a chip."
)
COLUMNS = (
    *("time_requested", "time_received", "component_type", "component_name", "method", "params"),
    *("tags", "data", "state", "parcel", "boot", "requested_uptime_us", "received_uptime_us"),
)
JSON_COLUMNS = ("params", "tags", "data")


class Format(enum.StrEnum):
    """How readings are written."""

    JSON = "json"
    CSV = "csv"
    PARQUET = "parquet"


@log_app.command()
def dump(
    image: Annotated[
        Path,
        typer.Argument(
            help="Flash image, the capture partition as a whole; or a folder with a log "
            "(capture_dir)."
        ),
    ],
    form: Annotated[
        Format, typer.Option("--format", help="JSON is an object a line.")
    ] = Format.JSON,
    output: Annotated[Path | None, typer.Option("-o", help="File; needed for Parquet.")] = None,
    unsent: Annotated[bool, typer.Option("--unsent", help="Only what the cloud lacks.")] = False,
) -> None:
    """Write the readings of a flash image or folder; what is damaged, and where, goes to stderr.

    Exit status: 0, 1 where something is damaged, 2 where there is no log.
    """
    try:
        log = read_image(read_folder(image) if image.is_dir() else image.read_bytes())
    except OSError as e:
        typer.echo(f"cistern: {e.filename or image}: {e.strerror or e}", err=True)
        raise typer.Exit(2) from None
    except NotALogError as e:
        typer.echo(f"cistern: {image}: {e}", err=True)
        raise typer.Exit(2) from None
    if unsent:
        log.parcels = [p for p in log.parcels if p.state == "unsent"]
    if form is Format.PARQUET and output is None:
        typer.echo("cistern: Parquet is a binary file: give -o FILE", err=True)
        raise typer.Exit(2)
    if form is Format.PARQUET:
        _parquet(log, output)
    elif output:
        with open(output, "w", newline="", encoding="utf-8") as file:
            _text(log, form, file)
    else:
        _text(log, form, sys.stdout)
    _report(log)


def _text(log, form, file):
    if form is Format.JSON:
        for reading in log.readings():
            file.write(json.dumps(reading, default=str) + "\n")
        return
    writer = csv.DictWriter(file, COLUMNS, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    for reading in log.readings():
        writer.writerow(_flat(reading))


def _flat(reading):
    return {**reading, **{c: json.dumps(reading[c], default=str) for c in JSON_COLUMNS}}


def _parquet(log, output):
    import pyarrow
    import pyarrow.parquet

    rows = [_flat(reading) for reading in log.readings()]
    table = pyarrow.table({c: [row[c] for row in rows] for c in COLUMNS})
    pyarrow.parquet.write_table(table, output)


def _report(log):
    states = {}
    for parcel in log.parcels:
        states[parcel.state] = states.get(parcel.state, 0) + parcel.readings
    counts = ", ".join(f"{n} {state}" for state, n in sorted(states.items())) or "no readings"
    typer.echo(f"log {log.log_id}: {counts}", err=True)
    for loss in log.losses:
        stream = loss["stream"]
        typer.echo(f"lost: {loss['readings']} readings of {stream}, {loss['reason']}", err=True)
    for damage in log.damage:
        where = f"sector {damage['block']}"
        if damage["offset"] is not None:
            where += f", byte {damage['offset']}"
        typer.echo(f"damaged: {where}: {damage['what']}", err=True)
    if log.damage:
        raise typer.Exit(1)
