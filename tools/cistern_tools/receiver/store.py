"""What devices uploaded, in SQLite.

One transaction an upload, and no answer before it is on the disk: WAL with synchronous=FULL syncs
the log at every commit. A parcel is stored once, however often and in whatever company it arrives.
"""

import logging
import os
import sqlite3
import time
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

from . import schema
from .parcels import Parcels

FILE_NAME = "readings.db"
# Pages kept in memory: the tail of the time index of some 10 million readings.
CACHE_KIB = 16 * 1024
WAL_BYTES = 64 * 2**20  # the WAL file is cut back to this after a checkpoint
MAX_LOSSES = 100_000  # rows of a part: some 20 MB; of a board one for each stream and reason
LOG_ROWS = 1_000_000  # device log lines kept: about 200 MB
MAX_CACHED_IDS = 100_000  # streams, tag sets and logs remembered: some 50 MB
DIGEST_BYTES = 8  # one collision in 2^64 is acceptable: a digest only decides about a warning

log = logging.getLogger(__name__)


class StoreError(Exception):
    """The database cannot be used; str() says what to do."""


class Reading(NamedTuple):
    """One reading, ready to be stored. Times are ns since 1970; see `schema` for `missing`."""

    time_ns: int
    latency_ns: int
    missing: int
    payload: str


class Upload(NamedTuple):
    """One request's readings and what is known about all of them. `params`, `tags`: JSON texts."""

    entity: str
    part: str
    component_type: str
    component: str
    method: str
    params: str
    tags: str
    size: int
    file_name: str | None
    extra: str | None
    parcels: Parcels | None
    readings: list[Reading]


class Stored(NamedTuple):
    """What became of an upload: its number, readings stored now, and readings here before."""

    upload: int
    stored: int
    repeated: int


def database_path(data_dir):
    """Returns where the database of a receiver's data folder is."""
    return Path(data_dir) / FILE_NAME


def check_version(db, path):
    """Raises StoreError unless `db` is a receiver's database of a version known here."""
    try:
        (application,) = db.execute("PRAGMA application_id").fetchone()
        (version,) = db.execute("PRAGMA user_version").fetchone()
    except sqlite3.DatabaseError as e:
        raise StoreError(f"{path} cannot be read: {e}; restore it from a backup") from e
    if application != schema.APPLICATION_ID:
        raise StoreError(f"{path} is not a receiver's database; choose another --data folder")
    if version > schema.VERSION:
        raise StoreError(
            f"{path} has version {version}, this cistern knows up to {schema.VERSION}: "
            "upgrade cistern"
        )


class Store:
    """The open database, for writing. All calls must come from one thread at a time."""

    def __init__(self, path):
        self.path = Path(path)
        fresh = not self.path.exists()
        if fresh:  # SQLite gives the WAL the permissions of the database
            os.close(os.open(self.path, os.O_CREAT | os.O_WRONLY, 0o600))
        self._ids = {}  # (table, values) -> id of rows that never change
        try:
            self._db = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
        except sqlite3.Error as e:
            raise StoreError(f"{self.path} cannot be opened: {e}") from e
        try:
            self._prepare()
        except BaseException:
            self._db.close()
            raise

    def _prepare(self):
        db = self._db
        try:
            empty = not db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
            if empty:
                db.execute("PRAGMA journal_mode = WAL")
                db.executescript(
                    f"BEGIN; {schema.SQL}; {schema.LOSSES};"
                    f"PRAGMA application_id = {schema.APPLICATION_ID};"
                    f"PRAGMA user_version = {schema.VERSION}; COMMIT;"
                )
            check_version(db, self.path)
            self._upgrade()
            (mode,) = db.execute("PRAGMA journal_mode = WAL").fetchone()
            if mode != "wal":
                raise StoreError(
                    f"{self.path}: this file system cannot hold a WAL; use a local disk"
                )
            db.execute("PRAGMA synchronous = FULL")
            db.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
            db.execute(f"PRAGMA journal_size_limit = {WAL_BYTES}")
            db.execute("PRAGMA busy_timeout = 10000")
        except sqlite3.DatabaseError as e:
            raise StoreError(f"{self.path} cannot be used: {e}") from e

    def _upgrade(self):
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        for old in range(version, schema.VERSION):
            self._db.executescript(
                f"BEGIN; {schema.UPGRADES[old]}; PRAGMA user_version = {old + 1}; COMMIT;"
            )
            log.info("%s is of version %d now", self.path, old + 1)

    def close(self):
        """Closes the database; SQLite then moves the WAL into it."""
        self._db.close()

    def add_upload(self, upload):
        """Stores what is new of an Upload and returns Stored once that is on the disk."""
        now = time.time_ns()
        found = {}
        with _Transaction(self._db) as db:
            stream = self._id(
                found,
                "stream",
                part=upload.part,
                component_type=upload.component_type,
                component=upload.component,
                method=upload.method,
                params=upload.params,
            )
            tagset = self._id(found, "tagset", tags=upload.tags)
            number = db.execute(
                "INSERT INTO upload"
                " (time_ns, entity, part, bytes, stored, repeated, file_name, extra)"
                " VALUES (?, ?, ?, ?, 0, 0, ?, ?)",
                (now, upload.entity, upload.part, upload.size, upload.file_name, upload.extra),
            ).lastrowid
            run = (stream, tagset, number)
            if upload.parcels is None:
                self._add_batch(run, None, upload.readings)
                stored = len(upload.readings)
            else:
                stored = self._add_parcels(found, run, upload)
            repeated = len(upload.readings) - stored
            db.execute(
                "UPDATE upload SET stored = ?, repeated = ? WHERE id = ?",
                (stored, repeated, number),
            )
        if len(self._ids) > MAX_CACHED_IDS:
            self._ids.clear()
        self._ids.update(found)
        return Stored(number, stored, repeated)

    def _add_parcels(self, found, run, upload):
        """Stores the upload's parcels that are not here yet; returns how many readings."""
        flash_log = self._id(found, "flash_log", part=upload.part, log_id=upload.parcels.log_id)
        start = stored = 0
        for parcel in upload.parcels.parcels:
            readings = upload.readings[start : start + parcel.readings]
            start += parcel.readings
            place = (flash_log, parcel.sector, parcel.index)
            if self._repeated(place, readings, upload):
                continue
            self._add_batch(run, place, readings)
            stored += parcel.readings
        return stored

    def _repeated(self, place, readings, upload):
        """Returns whether the parcel at `place` is stored already.

        A name is never reused, so equal names mean equal readings. If they differ, two logs wrote
        under one id (a flash image was copied or put back): counted and said, since readings are
        lost.
        """
        row = self._db.execute(
            "SELECT id, digest FROM batch WHERE log = ? AND sector = ? AND place = ?", place
        ).fetchone()
        if row is None:
            return False
        if row[1] != _digest(readings):
            self._db.execute("UPDATE batch SET conflicts = conflicts + 1 WHERE id = ?", row[:1])
            log.warning(
                "part %s: parcel %s:%d.%d came with other readings than those stored under its "
                "name; the new ones were dropped. Was the board's flash copied or restored? Then "
                "erase its log.",
                upload.part,
                upload.parcels.log_id.hex(),
                place[1],
                place[2],
            )
        return True

    def _add_batch(self, run, place, readings):
        times = [reading.time_ns for reading in readings]
        batch = self._db.execute(
            "INSERT INTO batch"
            " (stream, tagset, upload, log, sector, place, readings, first_ns, last_ns, digest)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *run,
                *(place or (None, None, None)),
                len(readings),
                min(times),
                max(times),
                place and _digest(readings),
            ),
        ).lastrowid
        self._db.executemany(
            "INSERT INTO reading (batch, n, time_ns, latency_ns, missing, payload)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            ((batch, n, *reading) for n, reading in enumerate(readings)),
        )

    def _id(self, found, table, **columns):
        """Returns the id of the row with these values, adding it if there is none.

        What was looked up goes to `found`, and to the cache only when the transaction has
        succeeded.
        """
        key = (table, *columns.values())
        known = self._ids.get(key) or found.get(key)
        if known:
            return known
        where = " AND ".join(f"{name} = ?" for name in columns)
        row = self._db.execute(f"SELECT id FROM {table} WHERE {where}", key[1:]).fetchone()
        if row is None:
            places = ", ".join("?" * len(columns))
            row = (
                self._db.execute(
                    f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places})", key[1:]
                ).lastrowid,
            )
        found[key] = row[0]
        return row[0]

    def add_logs(self, rows, part="", losses=()):
        """Stores a device's log lines: rows of the table `log` without its id; and what they say
        that the part lost.
        """
        with _Transaction(self._db) as db:
            db.executemany(
                "INSERT INTO log"
                " (part, time_ns, host, level, logger, message, caller, stack, fields)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                rows,
            )
            db.execute("DELETE FROM log WHERE id <= (SELECT max(id) FROM log) - ?", (LOG_ROWS,))
            for loss in losses:
                self._add_loss(part, loss)

    def _add_loss(self, part, loss):
        """Takes a total, unless a later one is here: what is told again adds nothing."""
        db = self._db
        key = (part, loss.log_id, loss.definition, loss.reason)
        known = db.execute(f"SELECT 1 FROM loss WHERE {_LOSS_KEY}", key).fetchone()
        if not known:
            (rows,) = db.execute("SELECT count(*) FROM loss WHERE part = ?", (part,)).fetchone()
            if rows >= MAX_LOSSES:
                log.warning("part %s told of %d kinds of losses; more are not stored", part, rows)
                return
        db.execute(
            "INSERT INTO loss (part, log_id, definition, reason, count, component_type, component,"
            " method, params, first_ns, last_ns, boot, uptime_ms)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (part, log_id, definition, reason) DO UPDATE SET"
            " first_ns = min(first_ns, excluded.first_ns),"
            " last_ns = iif(excluded.count > count, max(last_ns, excluded.last_ns), last_ns),"
            " count = excluded.count, boot = excluded.boot, uptime_ms = excluded.uptime_ms"
            " WHERE (excluded.boot, excluded.uptime_ms) >= (boot, uptime_ms)",
            (
                *key,
                loss.count,
                *loss.stream,
                *(loss.first_ns, loss.last_ns, loss.boot, loss.uptime_ms),
            ),
        )
        # What a definition's stream is called the board may know at one time only.
        named = db.execute(
            "SELECT component_type, component, method, params FROM loss"
            " WHERE part = ? AND definition = ? AND component IS NOT NULL LIMIT 1",
            (part, loss.definition),
        ).fetchone()
        db.execute(
            "UPDATE loss SET component_type = ?, component = ?, method = ?, params = ?"
            " WHERE part = ? AND definition = ? AND component IS NULL",
            (*(loss.stream if loss.stream[1] else named or loss.stream), part, loss.definition),
        )


_LOSS_KEY = "part = ? AND log_id = ? AND definition = ? AND reason = ?"


class _Transaction:
    """BEGIN IMMEDIATE ... COMMIT, or ROLLBACK when anything fails, the COMMIT included."""

    def __init__(self, db):
        self._db = db

    def __enter__(self):
        self._db.execute("BEGIN IMMEDIATE")
        return self._db

    def __exit__(self, kind, value, trace):
        try:
            if kind is None:
                self._db.execute("COMMIT")
        finally:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")


def _digest(readings):
    """Returns a short hash of the payloads, not of times: a better clock may change those."""
    sums = blake2b(digest_size=DIGEST_BYTES)
    for reading in readings:
        sums.update(reading.payload.encode())
        sums.update(b"\n")
    return sums.digest()
