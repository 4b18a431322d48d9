"""`cistern query`: what people see, that it only reads, and what it says when it cannot."""

import contextlib
import csv
import io
import json
import os
import re
import signal
import sqlite3
import stat
import subprocess
import sys
import time

import pytest
import typer
from typer.testing import CliRunner

from cistern_tools import query as module
from cistern_tools.paths import ROOT
from cistern_tools.query import query
from cistern_tools.receiver.store import Reading, Store, Upload, database_path
from receiver_support import PART, T0, reading, run, running, upload

app = typer.Typer()
app.command()(query)
RUN = CliRunner()


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A data folder with 30 readings of three components, as a device would have uploaded them."""
    path = tmp_path_factory.mktemp("cloud")

    async def main():
        async with running(path) as (_, client):
            for i, component in enumerate(("a", "b", "c")):
                readings = [reading(10 * i + n, text='x, "y"\nü', f=0.5) for n in range(10)]
                await client.upload(upload(readings, component=component, tags=[component]))

    run(main())
    return path


def ask(data, *arguments):
    return RUN.invoke(app, [*arguments, "--data", str(data)])


def test_the_latest_readings_as_a_table_json_and_csv(data):
    latest = "SELECT * FROM readings ORDER BY time DESC LIMIT 5"
    table = ask(data, latest).stdout.splitlines()
    assert table[0].split()[:5] == ["time", "part", "component", "method", "payload"]
    assert len(table) == 6
    rows = json.loads(ask(data, latest, "--json").stdout)
    assert [row["payload"]["readings"]["n"] for row in rows] == [29, 28, 27, 26, 25]
    assert rows[0]["tags"] == ["c"]
    assert rows[0]["params"] == {}
    assert rows[0]["time"] == "2023-11-14T22:13:20.290000Z"
    assert rows[0]["time_ns"] == T0 + 290_000_000
    found = list(csv.DictReader(io.StringIO(ask(data, latest, "--csv").stdout)))
    assert json.loads(found[0]["payload"]) == {
        "readings": {"f": 0.5, "n": 29, "text": 'x, "y"\nü'}
    }
    assert len(found) == 5


def test_values_inside_payloads_can_be_asked_for(data):
    value = "json_extract(payload, '$.readings.n')"
    sql = f"SELECT component, max({value}) AS n FROM readings GROUP BY component"
    assert json.loads(ask(data, sql, "--json").stdout) == [
        {"component": "a", "n": 9},
        {"component": "b", "n": 19},
        {"component": "c", "n": 29},
    ]
    assert json.loads(
        ask(data, "SELECT component, readings, parcels FROM streams", "--json").stdout
    ) == [{"component": c, "readings": 10, "parcels": 0} for c in "abc"]


def test_odd_values_stay_valid_json(data):
    sql = "SELECT 9e999 AS a, -9e999 AS b, NULL AS c, x'00ff' AS d, '[no' AS payload, 1.5 AS e"
    assert json.loads(ask(data, sql, "--json").stdout) == [
        {"a": "Infinity", "b": "-Infinity", "c": None, "d": "00ff", "payload": "[no", "e": 1.5}
    ]
    assert json.loads(ask(data, "SELECT 1 WHERE 0", "--json").stdout) == []
    empty = ask(data, "SELECT 1 AS one WHERE 0")
    assert (empty.stdout.strip(), "no rows" in empty.stderr) == ("one", True)


@pytest.mark.parametrize(
    "sql, words",
    [
        ("DELETE FROM reading", "only reads"),
        ("INSERT INTO tagset VALUES (9, '')", "only reads"),
        ("DROP VIEW readings", "only reads"),
        ("CREATE TABLE x (y)", "only reads"),
        ("CREATE TEMP TABLE x (y)", "only reads"),
        ("PRAGMA journal_mode = DELETE", "only reads"),
        ("PRAGMA user_version = 7", "only reads"),
        ("PRAGMA query_only = OFF", "only reads"),
        ("ATTACH '{data}/accounts.db' AS other", "only reads"),
        ("VACUUM INTO '{data}/copy'", "only reads"),
        ("BEGIN", "only reads"),
        ("SELECT load_extension('x')", "only reads"),
        ("SELECT 1; DELETE FROM reading", "one statement"),
        ("", "SELECT"),
        ("SELEC", "syntax error"),
        ("SELECT * FROM reading_s", "there are logs, losses, readings, streams, uploads"),
        ("SELECT temperature FROM readings", "readings has time, part, component"),
    ],
)
def test_what_cannot_be_asked_is_refused_with_a_hint_and_changes_nothing(data, sql, words):
    before = {path: path.read_bytes() for path in data.glob("*.db")}
    answer = ask(data, sql.format(data=data))
    assert answer.exit_code == 1
    assert words in answer.stderr, answer.stderr
    assert answer.stderr.startswith("cistern: ")
    assert before == {path: path.read_bytes() for path in data.glob("*.db")}
    assert not (data / "copy").exists()


def test_lists_in_payloads_can_be_unfolded(data):
    sql = (
        "SELECT DISTINCT j.key AS key FROM readings, json_each(payload, '$.readings') j ORDER BY 1"
    )
    assert [row["key"] for row in json.loads(ask(data, sql, "--json").stdout)] == [
        "f",
        "n",
        "text",
    ]
    assert ask(data, "SELECT count(*) FROM readings, json_tree(payload)").exit_code == 0


def test_table_shapes_may_be_looked_at(data):
    assert "time_ns" in ask(data, "PRAGMA table_info(readings)").stdout
    assert "readings" in ask(data, "PRAGMA table_list").stdout


def test_a_folder_without_data_a_newer_and_a_broken_file_are_explained(tmp_path):
    assert "start a receiver there" in ask(tmp_path).stderr
    Store(database_path(tmp_path)).close()
    with contextlib.closing(sqlite3.connect(database_path(tmp_path))) as db:
        db.execute("PRAGMA user_version = 99")
    assert "upgrade cistern" in ask(tmp_path).stderr
    database_path(tmp_path).write_bytes(b"x" * 5000)
    assert "backup" in ask(tmp_path).stderr


def test_the_data_is_readable_while_a_receiver_writes_and_without_write_permission(tmp_path):
    async def main():
        async with running(tmp_path) as (_, client):
            await client.upload(upload([reading(1)]))
            with contextlib.closing(module.connect(tmp_path)) as db:
                _, rows = module.run(db, "SELECT payload FROM readings")
                assert len(list(rows)) == 1
                await client.upload(upload([reading(2)]))
                _, rows = module.run(db, "SELECT payload FROM readings")
                assert len(list(rows)) == 2

    run(main())
    if os.geteuid() == 0:
        return  # root may write everywhere
    for path in (tmp_path, database_path(tmp_path)):
        path.chmod(stat.S_IREAD | (stat.S_IEXEC if path.is_dir() else 0))
    assert ask(tmp_path).exit_code == 0


def fill(data, batches, size=1000):
    """Stores batches of readings by the store itself, which is what uploads do."""
    store = Store(database_path(data))
    for b in range(batches):
        readings = [
            Reading(T0 + (b * size + n) * 10**7, 1000, 0, f'{{"readings":{{"n":{b * size + n}}}}}')
            for n in range(size)
        ]
        store.add_upload(
            Upload(
                PART, PART, "t", f"c{b % 5}", "Readings", "{}", "[]", 0, None, None, None, readings
            )
        )
    store.close()


def test_the_latest_of_many_readings_come_at_once(tmp_path):
    """The view uses the time index: no sort of everything."""
    fill(tmp_path, 100)
    with contextlib.closing(module.connect(tmp_path)) as db:
        for where in ("", "WHERE component = 'c3'", "WHERE time > '2023-11-14T22:20'"):
            sql = f"EXPLAIN QUERY PLAN SELECT * FROM readings {where} ORDER BY time DESC LIMIT 5"
            plan = " ".join(row[3] for row in db.execute(sql))
            assert "USING INDEX reading_time" in plan, plan
            assert "TEMP B-TREE" not in plan, plan
        began = time.perf_counter()
        _, rows = module.run(db, "SELECT * FROM readings ORDER BY time DESC LIMIT 5")
        assert len(list(rows)) == 5
        assert time.perf_counter() - began < 0.1
        per_reading = database_path(tmp_path).stat().st_size / 100_000
        assert per_reading < 130, "10 million readings should stay near one gigabyte"


def test_a_table_that_is_cut_off_says_so_and_nothing_else(tmp_path):
    fill(tmp_path, 2)
    words = "query", "SELECT time FROM readings", "--data", str(tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "cistern_tools", *words], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0 and "only the first 1000 rows" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr, done.stderr


ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
COMMAND = "import typer; from cistern_tools.query import query; typer.run(query)"
# A shell's background job, as CI may be, starts with Ctrl-C ignored.
LISTEN = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"


def test_ctrl_c_ends_a_long_query(data):
    asking = subprocess.Popen(
        [
            sys.executable,
            "-c",
            f"{LISTEN}; print('go', flush=True); {COMMAND}",
            ENDLESS,
            "--data",
            str(data),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert asking.stdout.readline() == "go\n"
        deadline = time.monotonic() + 30
        while asking.poll() is None and time.monotonic() < deadline:
            time.sleep(0.5)  # it may come while modules are imported
            asking.send_signal(signal.SIGINT)
        out, err = asking.communicate(timeout=30)
    finally:
        asking.kill()
    assert asking.returncode not in (0, -signal.SIGKILL)
    assert out == ""
    assert "sqlite3" not in err


def test_a_closed_pipe_is_no_error(tmp_path):
    fill(tmp_path, 50)
    done = subprocess.run(
        [
            "bash",
            "-c",
            f'set -o pipefail; "{sys.executable}" -c "{COMMAND}" "SELECT * FROM readings" '
            f'--json --data "{tmp_path}" | head -2',
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.count("\n") == 2
    assert done.stderr == ""
    assert done.returncode == 0


def test_wide_rows_on_a_terminal_are_shown_one_below_the_other(data, monkeypatch, capsys):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("TERM", "dumb")
    module._show(["time", "payload"], iter([("2023", "x" * 200), (None, "[bold]")]))
    shown = capsys.readouterr().out
    assert "payload  " + "x" * 50 in shown
    assert "[bold]" in shown
    module._show(["n"], iter([(i,) for i in range(module.TABLE_ROWS + 1)]))
    printed = capsys.readouterr()
    assert printed.out.count("\n") == module.TABLE_ROWS + 1
    assert "only the first" in printed.err


def test_each_query_in_the_docs_gives_values(tmp_path):
    """Of readings as the example greenhouse takes them."""
    page = (ROOT / "docs" / "CLOUD.md").read_text()
    queries = [
        re.sub(r"^--.*\n", "", one.strip())
        for block in re.findall(r"```sql\n(.*?)```", page, re.S)
        for one in block.split(";\n")
        if one.strip()
    ]
    # That of losses has a test of its own, those of Parquet are for other programs.
    queries = [one for one in queries if "FROM losses" not in one and ".parquet" not in one]
    assert len(queries) == 5
    start = 1_780_000_000 * 10**9  # after the time that a query names

    async def main():
        async with running(tmp_path) as (_, client):
            readings = [reading(n, start + n * 10**9, celsius=21.5) for n in range(3)]
            request = upload(readings, component="tmp36", tags=[])
            for _ in range(2):  # the second as after a lost answer
                await client.upload(request)

    run(main())
    for sql in queries:
        rows = json.loads(ask(tmp_path, sql, "--json").stdout)
        assert rows, sql
        for row in rows:
            assert None not in row.values(), (sql, row)
    keys = re.findall(r"\$\.readings\.(\w+)", page)
    assert keys and set(keys) == {"celsius"}
