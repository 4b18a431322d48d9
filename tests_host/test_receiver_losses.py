"""What boards say they lost, and what the receiver makes of it: the view `losses`."""

import contextlib
import json
import sqlite3

import pytest
from viam.gen.app.v1.robot_pb2 import LogRequest
from viam.gen.common.v1.common_pb2 import LogEntry

from cistern_tools.receiver import schema, store
from cistern_tools.receiver.accounts import API_KEY, Accounts
from receiver_support import PART, T0, reading, run, running, select, upload

STREAM = ["rdk:component:sensor", "s1", "Readings", {"k": 5.0, "a": "ü"}]
ALL = "SELECT component, method, params, reason, count, first, last FROM losses"


def said(count=7, boot=1, uptime_ms=1000, logger="cistern-losses", **changes):
    """A line of a board."""
    loss = {
        "log": "0011223344556677",
        "boot": boot,
        "uptime_ms": uptime_ms,
        "definition": "1a2b3c4d",
        "stream": STREAM,
        "reason": "log_full",
        "count": count,
        "first": 1_700_000_010,
        "last": 1_700_000_020,
        **changes,
    }
    return line("readings lost: " + json.dumps(loss), logger)


def line(message, logger="cistern-losses"):
    entry = LogEntry(host="esp32", level="warning", logger_name=logger, message=message)
    entry.time.FromNanoseconds(T0)
    return entry


def told(data, *lines, key=False):
    """Has a board, or a program with an API key, say these lines, one a request."""

    async def main():
        async with running(data) as (_, client):
            if key:
                with contextlib.closing(Accounts(data)) as accounts:
                    name, secret = accounts.add_key(PART)
                await client.login(name, secret, API_KEY)
            for entry in lines:
                await client.robot.Log(
                    LogRequest(id=PART, logs=[entry]), metadata=client.metadata
                )

    run(main())
    return select(data, ALL)


FIRST, LAST = "2023-11-14T22:13:30Z", "2023-11-14T22:13:40Z"
ROW = ("s1", "Readings", '{"a":"ü","k":5}', "log_full", 7, FIRST, LAST)


def test_a_total_that_is_told_again_is_not_counted_again(tmp_path):
    assert told(tmp_path, said(), said(), said(uptime_ms=90000)) == [ROW]
    # After restarts of the board and the receiver, too; the time of the last stays as it was.
    assert told(tmp_path, said(boot=2, uptime_ms=5, first=None, last=None)) == [
        (*ROW[:5], "2023-11-14T22:13:20Z", LAST)
    ]
    assert select(tmp_path, "SELECT count(*) FROM logs") == [(4,)]


def test_the_latest_total_of_a_log_counts_and_those_of_other_logs_are_added(tmp_path):
    later = {"first": 1_700_000_030, "last": 1_700_000_040}
    rows = told(
        tmp_path,
        said(100, 2, 5000, **later),
        said(93, 2, 6000, **later),  # some arrived after all
        said(50, 1, 9000),  # late, of a boot before
        said(4, 1, 10, log="ffffffffffffffff"),
        said(3, reason="thinned", stream=None),
        said(2, definition="00000001", stream=None, reason="other"),
    )
    assert {(r[0], r[3]): r[4] for r in rows} == {
        ("s1", "log_full"): 97,
        ("s1", "thinned"): 3,
        ("#00000001", "other"): 2,
    }
    # A name that comes later is that of all before.
    rows = told(tmp_path, said(5, definition="00000001", stream=["t", "s2", "Position", {}]))
    assert {(r[0], r[3]): r[4] for r in rows if r[0] != "s1"} == {
        ("s2", "log_full"): 5,
        ("s2", "other"): 2,
    }


def test_a_loss_that_was_taken_back_is_none(tmp_path):
    assert told(tmp_path, said(), said(0, uptime_ms=2000)) == []


def test_only_the_part_itself_says_what_it_lost(tmp_path):
    assert told(tmp_path, said(), key=True) == []
    assert select(tmp_path, "SELECT count(*) FROM logs") == [(1,)]


@pytest.mark.parametrize(
    "entry",
    [
        line("readings lost: {"),
        line("readings lost: " + "[" * 4000),
        line("readings lost: 5"),
        said(logger="cistern"),
        line(said().message[1:]),
        said(-1),
        said(2**32),
        said(True),
        said(1.5),
        said("7"),
        said(boot=2**32),
        said(uptime_ms=-1),
        said(log="0011"),
        said(log=5),
        said(definition="1A2B3C4D"),
        said(definition="1a2b3c4d\n"),
        said(reason="'; DROP TABLE loss"),
        said(reason="x" * 33),
        said(stream=STREAM[:3]),
        said(stream=["t", "s", 5, {}]),
        said(stream=["t", "s", "m", []]),
        said(stream=["t", "s" * 1025, "m", {}]),
        said(stream=["t", "\ud800", "m", {}]),
        said(stream=["t", "s", "m", {"k": "\udfff"}]),
        said(stream=["t", "s", "m", {"k": "x" * 4000}]),
        said(first=-1),
        said(last=2**40),
        said(last=float("nan")),
    ],
)
def test_a_line_that_has_not_the_form_is_a_line_like_any_other(tmp_path, entry):
    assert told(tmp_path, entry, said()) == [ROW]
    assert select(tmp_path, "SELECT count(*) FROM logs") == [(2,)]


def test_what_a_part_can_have_stored_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "MAX_LOSSES", 3)
    rows = told(tmp_path, *(said(definition=f"{n:08x}", stream=None) for n in range(5)), said(9))
    assert len(rows) == 3
    # What is known already goes on.
    rows = told(tmp_path, said(9, 2, definition="00000000", stream=None))
    assert [r[4] for r in rows if r[0] == "#00000000"] == [9]


def test_an_older_database_becomes_a_newer_one_with_all_that_it_has(tmp_path):
    async def store_one():
        async with running(tmp_path) as (_, client):
            await client.upload(upload([reading(1)]))

    run(store_one())
    with contextlib.closing(sqlite3.connect(tmp_path / "readings.db")) as db:
        db.executescript("DROP VIEW losses; DROP TABLE loss; PRAGMA user_version = 1")
    assert told(tmp_path, said()) == [ROW]
    assert select(tmp_path, "SELECT count(*) FROM readings") == [(1,)]
    assert select(tmp_path, "PRAGMA user_version") == [(schema.VERSION,)]
