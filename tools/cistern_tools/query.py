"""`cistern query`: SQL on what a receiver has stored, reading only."""

import contextlib
import csv
import json
import shutil
import sqlite3
import sys
from itertools import chain, islice
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from .command import fail
from .receiver.commands import DATA_DIR, Data
from .receiver.store import StoreError, check_version, database_path

DEFAULT_SQL = "SELECT * FROM readings ORDER BY time DESC LIMIT 20"
TABLE_ROWS = 1000  # shown as a table; more is for --csv and --json, which hold one row at a time
# Columns of the views that hold JSON; --json shows what is in them instead of a string of it.
JSON_COLUMNS = frozenset(("payload", "tags", "params", "extra", "caller", "fields"))
PROGRESS_STEPS = 100_000  # of SQLite's machine, some ms: how often Ctrl-C is looked for

# SQLite declares these at their first use, by a statement that the authorizer would refuse.
TABLE_FUNCTIONS = ("json_each", "json_tree")

# What a statement may do. ATTACH would open, or make, other files; the rest would write.
_ALLOWED = frozenset(
    (
        sqlite3.SQLITE_SELECT,
        sqlite3.SQLITE_READ,
        sqlite3.SQLITE_FUNCTION,
        sqlite3.SQLITE_RECURSIVE,
    )
)
_PRAGMAS = frozenset(
    ("table_info", "table_xinfo", "table_list", "index_list", "index_info", "data_version")
)


class QueryError(Exception):
    """The statement cannot be run; str() says why and what is possible."""


def query(
    sql: Annotated[str, typer.Argument(help="A SELECT statement.")] = DEFAULT_SQL,
    data: Data = DATA_DIR,
    as_json: Annotated[
        bool, typer.Option("--json", help="A JSON array with an object a row.")
    ] = False,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="CSV with a line of column names.")
    ] = False,
):
    """Ask the receiver's data with SQL: views readings, streams, uploads, losses and logs."""
    if as_json and as_csv:
        fail("choose one of --json and --csv")
    try:
        with contextlib.closing(connect(data)) as db:
            columns, found = run(db, sql)
            with contextlib.closing(found) as rows:  # before the database is
                if as_json:
                    write_json(sys.stdout, columns, rows)
                elif as_csv:
                    write_csv(sys.stdout, columns, rows)
                else:
                    _show(columns, rows)
    except (QueryError, StoreError) as e:
        fail(e)
    except BrokenPipeError:  # `| head` has seen enough
        sys.stderr.close()
        raise typer.Exit(0) from None


def connect(data_dir):
    """Returns a connection that can only read; raises StoreError if there is nothing to read."""
    path = database_path(data_dir)
    if not path.is_file():
        raise StoreError(
            f"there is no data in {data_dir}: start a receiver there "
            f"(cistern cloud --data {data_dir}) or name another folder with --data"
        )
    uri = f"{Path(path).absolute().as_uri()}?mode=ro"
    try:
        db = sqlite3.connect(uri, uri=True, isolation_level=None)
    except sqlite3.Error as e:
        raise StoreError(f"{path} cannot be opened: {e}") from e
    try:
        check_version(db, path)
        db.execute("PRAGMA query_only = ON")
        db.execute("PRAGMA busy_timeout = 10000")
        for table in TABLE_FUNCTIONS:
            db.execute(f"SELECT 1 FROM {table}('[]')")
    except BaseException:
        db.close()
        raise
    db.set_authorizer(_authorize)
    # Without it SQLite would not let Python see Ctrl-C before the statement ends.
    db.set_progress_handler(lambda: 0, PROGRESS_STEPS)
    return db


def _authorize(action, first, second, _database, _trigger):
    if action in _ALLOWED or (
        action == sqlite3.SQLITE_PRAGMA and first in _PRAGMAS and not second
    ):
        return sqlite3.SQLITE_OK
    if action == sqlite3.SQLITE_PRAGMA and first in _PRAGMAS - {"data_version"}:
        return sqlite3.SQLITE_OK  # these have an argument: the name of a table or index
    return sqlite3.SQLITE_DENY


def run(db, sql, parameters=()):
    """Runs a statement; returns (column names, iterator over rows). Both raise QueryError."""
    with _errors(db):
        cursor = db.execute(sql, parameters)
    if cursor.description is None:
        raise QueryError("the statement gives no rows: cistern query only reads, write SELECT ...")
    return [column[0] for column in cursor.description], _rows(db, cursor)


def _rows(db, cursor):
    with _errors(db):
        yield from cursor


@contextlib.contextmanager
def _errors(db):
    try:
        yield
    except (sqlite3.Error, sqlite3.Warning) as e:
        raise QueryError(_sentence(db, str(e))) from e


def _sentence(db, message):
    if "authoriz" in message or "readonly" in message or "prohibited" in message:
        return f"{message}: cistern query only reads; write SELECT ..."
    if "one statement at a time" in message:
        return "only one statement at a time"
    if "no such table" in message:
        views = [
            name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'view'")
        ]
        return f"{message}; there are {', '.join(sorted(views))}"
    if "no such column" in message:
        columns = [row[1] for row in db.execute("PRAGMA table_info(readings)")]
        return f"{message}; readings has {', '.join(columns)}"
    if "interrupted" in message:
        raise KeyboardInterrupt
    return message


def unpacked(columns, row, names=None):
    """Returns a row as a dict in which columns of JSON text have become what they say.

    names: what the columns are called in it, see distinct().
    """
    return {
        name: _meant(value) if column in JSON_COLUMNS else _plain(value)
        for name, column, value in zip(names or columns, columns, row, strict=True)
    }


def distinct(columns):
    """Returns names for columns of which several may have one: the second "a" is "a_2"."""
    names = []
    for column in columns:
        name, n = column, 1
        while name in names or (n > 1 and name in columns):
            n += 1
            name = f"{column}_{n}"
        names.append(name)
    return names


def _meant(value):
    if isinstance(value, str) and value[:1] in ("{", "["):
        with contextlib.suppress(ValueError):  # any query may call anything a payload
            return json.loads(value)
    return _plain(value)


def _plain(value):
    if isinstance(value, bytes):
        return value.hex()
    if (
        isinstance(value, float) and value - value != 0
    ):  # JSON has no infinity; NaN is NULL in SQLite
        return "Infinity" if value > 0 else "-Infinity"
    return value


def write_json(file, columns, rows):
    """Writes rows as a JSON array, one object a line."""
    names = distinct(columns)
    file.write("[")
    for i, row in enumerate(rows):
        file.write(",\n" if i else "\n")
        file.write(json.dumps(unpacked(columns, row, names), ensure_ascii=False))
    file.write("\n]\n")
    file.flush()


def write_csv(file, columns, rows):
    """Writes rows as CSV (RFC 4180, lines end with LF); NULL is an empty field."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([value.hex() if isinstance(value, bytes) else value for value in row])
    file.flush()


def _show(columns, rows):
    """Shows rows as a table, or one below the other where the table would be too wide."""
    shown = [[_cell(value) for value in row] for row in islice(rows, TABLE_ROWS)]
    more = next(chain(rows), None) is not None
    console = Console()
    if not sys.stdout.isatty():
        console = Console(width=100_000, color_system=None)
    available = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    widths = [max(map(len, column), default=0) for column in zip(columns, *shown, strict=True)]
    if available and shown and sum(widths) + 2 * len(widths) > available:
        _show_records(console, columns, shown)
    else:
        headers = (Column(Text(name)) for name in columns)
        table = Table(*headers, box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for row in shown:
            table.add_row(*map(Text, row))
        console.print(table)
    if more:
        print(
            f"cistern: only the first {TABLE_ROWS} rows; use --csv or --json for all",
            file=sys.stderr,
        )
    elif not shown:
        print("cistern: no rows", file=sys.stderr)


def _show_records(console, columns, shown):
    width = max(map(len, columns))
    for i, row in enumerate(shown):
        console.rule(str(i + 1), align="left", style="dim")
        for name, value in zip(columns, row, strict=True):
            line = Text.assemble((f"{name:<{width}}  ", "dim"), value)
            console.print(line, soft_wrap=True)


def _cell(value):
    if value is None:
        return ""
    return value.hex() if isinstance(value, bytes) else str(value)
