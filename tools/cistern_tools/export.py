"""`cistern export`: any number of readings as CSV, JSON or Parquet, a row or batch at a time."""

import contextlib
import datetime
import enum
import json
import os
import re
import sys
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from .command import fail
from .query import QueryError, connect, run, write_csv, write_json
from .receiver.commands import DATA_DIR, Data
from .receiver.store import StoreError

COLUMNS = (
    "time",
    "time_requested",
    "time_received",
    "part",
    "component_type",
    "component",
    "method",
    "params",
    "tags",
    "payload",
)
BATCH_ROWS = 20_000  # of a Parquet row group: some 20 MB while it is made
_AGO = re.compile(r"([0-9]+)([smhdw])", re.ASCII)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class Format(enum.StrEnum):
    """What an export can be."""

    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"


def export(
    output: Annotated[
        Path, typer.Option("-o", "--output", help="File to write; - for standard output.")
    ],
    form: Annotated[Format, typer.Option("--format", help="What to write.")] = Format.CSV,
    data: Data = DATA_DIR,
    since: Annotated[
        str | None, typer.Option(help="From this time: ISO 8601 (UTC), or 30m, 12h, 7d.")
    ] = None,
    until: Annotated[str | None, typer.Option(help="Up to, not including, this time.")] = None,
    part: Annotated[
        list[str] | None, typer.Option(help="Only this part (can be repeated).")
    ] = None,
    component: Annotated[list[str] | None, typer.Option(help="Only this component.")] = None,
    method: Annotated[list[str] | None, typer.Option(help="Only this method.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="Only readings with this tag.")] = None,
):
    """Write readings to a file, oldest first."""
    to_stdout = str(output) == "-"
    if not to_stdout and (output.is_dir() or not output.name):
        fail(f"{output} is a folder: give the name of a file, such as -o readings.{form.value}")
    if to_stdout and form is Format.PARQUET:
        fail("Parquet needs a file: -o readings.parquet")
    try:
        where, values = conditions(
            since=since, until=until, part=part, component=component, method=method, tag=tag
        )
        with contextlib.closing(connect(data)) as db:
            if to_stdout:
                count = _write(form, sys.stdout, db, where, values)
            else:
                with _replacing(output, form) as file:
                    count = _write(form, file, db, where, values)
    except (QueryError, StoreError, ValueError) as e:
        fail(e)
    except BrokenPipeError:
        sys.stderr.close()
        raise typer.Exit(0) from None
    except OSError as e:
        fail(f"{output}: {e.strerror}")
    print(f"{count} readings" + ("" if to_stdout else f" in {output}"), file=sys.stderr)


def conditions(since=None, until=None, tag=None, **among):
    """Returns (a WHERE clause or "", its values); raises ValueError for a time that is none."""
    terms, values = [], []
    for operator, text in ((">=", since), ("<", until)):
        if text is not None:
            terms.append(f"time {operator} ?")
            values.append(parse_time(text))
    for column, wanted in among.items():
        if wanted:
            terms.append(f"{column} IN ({', '.join('?' * len(wanted))})")
            values += wanted
    for wanted in tag or ():
        terms.append("EXISTS (SELECT 1 FROM json_each(tags) WHERE value = ?)")
        values.append(wanted)
    return (" WHERE " + " AND ".join(terms) if terms else ""), values


def parse_time(text):
    """Returns a time as the database writes it, from ISO 8601 (else UTC) or 12h (ago)."""
    ago = _AGO.fullmatch(text)
    try:
        if ago:
            age = datetime.timedelta(**{_UNITS[ago[2]]: int(ago[1])})
            moment = datetime.datetime.now(datetime.UTC) - age
        else:
            moment = datetime.datetime.fromisoformat(text)
            if moment.tzinfo is None:
                moment = moment.replace(tzinfo=datetime.UTC)
        moment = moment.astimezone(datetime.UTC)
    except (ValueError, OverflowError):
        raise ValueError(
            f"{text!r} is not a time: write 2026-01-31, 2026-01-31T12:00:00+01:00, "
            "or 12h for 12 hours ago"
        ) from None
    # Not strftime: it writes the year 900 with three digits, and these are compared as text.
    return moment.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


@contextlib.contextmanager
def _replacing(output, form):
    """A new file that takes the place of `output` when it is complete; a device or pipe is
    written to, and of a link what it leads to is replaced.
    """
    mode = {"mode": "wb"} if form is Format.PARQUET else {"mode": "w", "encoding": "utf-8"}
    output = output.resolve()
    if output.exists() and not output.is_file():
        with output.open(**mode) as file:
            yield file
        return
    fresh = output.with_name(f".{output.name}.{os.getpid()}")
    try:
        with fresh.open(**mode) as file:
            yield file
        os.replace(fresh, output)
    finally:
        fresh.unlink(missing_ok=True)


def _write(form, file, db, where, values):
    """Writes the readings that match; returns how many."""
    if form is Format.PARQUET:
        return _write_parquet(file, db, where, values)
    columns, rows = run(
        db, f"SELECT {', '.join(COLUMNS)} FROM readings{where} ORDER BY time", values
    )
    counted = _Counted(rows)
    (write_csv if form is Format.CSV else write_json)(file, columns, counted)
    return counted.count


class _Counted:
    """An iterator that counts."""

    def __init__(self, rows):
        self._rows = rows
        self.count = 0

    def __iter__(self):
        for row in self._rows:
            self.count += 1
            yield row


def _write_parquet(file, db, where, values):
    """Writes Parquet: times as UTC timestamps in ns, tags as list, params and payload as JSON."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    stamp = pa.timestamp("ns", "UTC")
    often = pa.dictionary(pa.int32(), pa.string())  # columns with few different values
    schema = pa.schema(
        [
            ("time", stamp),
            ("time_requested", stamp),
            ("time_received", stamp),
            ("part", often),
            ("component_type", often),
            ("component", often),
            ("method", often),
            ("params", often),
            ("tags", pa.list_(pa.string())),
            ("payload", pa.string()),
        ]
    )
    numbers = (
        "time_ns, CASE WHEN time_requested IS NULL THEN NULL ELSE time_ns END, time_received_ns"
    )
    _, rows = run(
        db,
        f"SELECT {numbers}, {', '.join(COLUMNS[3:])} FROM readings{where} ORDER BY time",
        values,
    )
    count = 0
    with pq.ParquetWriter(file, schema, compression="zstd") as writer:
        while batch := list(islice(rows, BATCH_ROWS)):
            columns = list(zip(*batch, strict=True))
            columns[8] = [json.loads(tags) for tags in columns[8]]
            arrays = [
                pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)
            ]
            writer.write_batch(pa.record_batch(arrays, schema))
            count += len(batch)
    return count
