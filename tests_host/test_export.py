"""`cistern export`: what goes out is what came in, in all formats, however much it is."""

import csv
import datetime
import json
import os
import stat
import subprocess
import sys

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer
from typer.testing import CliRunner

from cistern_tools.export import export, parse_time
from receiver_support import PART, T0, reading, run, running, upload
from test_query import fill

app = typer.Typer()
app.command()(export)
FORMATS = ("csv", "json", "parquet")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A data folder with readings of two components, one without a received time."""
    path = tmp_path_factory.mktemp("cloud")

    async def main():
        async with running(path) as (_, client):
            await client.upload(
                upload([reading(n, text='a,"b"\nü') for n in range(5)], component="a")
            )
            late = [reading(n, v=[1.5, None, {"x": True}]) for n in (7, 6, 5)]
            late[1].metadata.ClearField("time_received")
            await client.upload(upload(late, component="b", tags=["t1", "t2"]))

    run(main())
    return path


def write(data, output, *arguments, fails=False):
    done = CliRunner().invoke(app, ["--data", str(data), "-o", str(output), *map(str, arguments)])
    assert done.exit_code == (1 if fails else 0), done.stderr
    return done


def read_back(path):
    """The rows of an export as dicts with what the text columns mean."""
    if path.suffix == ".json":
        return json.loads(path.read_text())
    if path.suffix == ".csv":
        with path.open(newline="") as file:
            return [
                {
                    k: json.loads(v) if k in ("payload", "params", "tags") else v or None
                    for k, v in row.items()
                }
                for row in csv.DictReader(file)
            ]
    table = pq.read_table(path)
    for name in ("time", "time_requested", "time_received"):  # Python's datetime knows no ns
        cut = table[name].cast(pa.timestamp("us", "UTC"), safe=False)
        table = table.set_column(table.schema.get_field_index(name), name, cut)
    rows = table.to_pylist()
    for row in rows:
        for name in ("time", "time_requested", "time_received"):
            if row[name] is not None:
                row[name] = row[name].strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        row["payload"], row["params"] = json.loads(row["payload"]), json.loads(row["params"])
    return rows


def test_all_formats_hold_the_same_readings_oldest_first(data, tmp_path):
    for name in FORMATS:
        assert "8 readings" in write(data, tmp_path / f"r.{name}", "--format", name).stderr
    as_csv, as_json, as_parquet = (read_back(tmp_path / f"r.{name}") for name in FORMATS)
    assert as_csv == as_json == as_parquet
    assert [row["payload"]["readings"]["n"] for row in as_json] == list(range(8))
    assert as_json[0]["payload"]["readings"]["text"] == 'a,"b"\nü'
    assert as_json[6] == {
        "time": "2023-11-14T22:13:20.060000Z",
        "time_requested": "2023-11-14T22:13:20.060000Z",
        "time_received": None,
        "part": PART,
        "component_type": "rdk:component:sensor",
        "component": "b",
        "method": "Readings",
        "params": {},
        "tags": ["t1", "t2"],
        "payload": {"readings": {"n": 6, "v": [1.5, None, {"x": True}]}},
    }
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        f"r.{name}" for name in FORMATS
    )


def test_parquet_has_exact_times_and_types_that_duckdb_understands(data, tmp_path):
    write(data, tmp_path / "r.parquet", "--format", "parquet")
    file = tmp_path / "r.parquet"
    assert pq.read_table(file)["time"].cast("int64").to_pylist() == [
        T0 + n * 10**7 for n in range(8)
    ]
    found = duckdb.sql(
        f"SELECT component, count(*), sum((payload->>'$.readings.n')::int) FROM '{file}' "
        "WHERE list_contains(tags, 't1') OR component = 'a' GROUP BY component ORDER BY component"
    ).fetchall()
    assert found == [("a", 5, 10), ("b", 3, 18)]


def numbers(data, tmp_path, *filters):
    write(data, tmp_path / "f.json", "--format", "json", *filters)
    return [
        row["payload"]["readings"]["n"] for row in json.loads((tmp_path / "f.json").read_text())
    ]


def test_filters(data, tmp_path):
    for filters, expected in (
        (["--component", "b"], [5, 6, 7]),
        (["--component", "a", "--component", "b"], list(range(8))),
        (["--component", "c"], []),
        (["--part", PART, "--method", "Readings", "--tag", "t2"], [5, 6, 7]),
        (["--tag", "t1", "--tag", "none"], []),
        (["--since", "2023-11-14T22:13:20.03", "--until", "2023-11-14T22:13:20.06"], [3, 4, 5]),
        (["--since", "2023-11-14T23:13:20.070+01:00"], [7]),
        (["--until", "2023-11-14"], []),
        (["--since", "1h"], []),
        (["--since", "5000w"], list(range(8))),
        (["--component", "x' OR '1'='1"], []),
    ):
        assert numbers(data, tmp_path, *filters) == expected, filters


def test_empty_exports_are_valid(data, tmp_path):
    for name in FORMATS:
        write(data, tmp_path / f"e.{name}", "--format", name, "--until", "2000-01-01")
        assert read_back(tmp_path / f"e.{name}") == []


def test_standard_output(data):
    assert len(json.loads(write(data, "-", "--format", "json").stdout)) == 8
    assert write(data, "-").stdout.startswith("time,time_requested,")
    assert "needs a file" in write(data, "-", "--format", "parquet", fails=True).stderr


def test_what_cannot_be_exported_is_explained_and_leaves_no_file(data, tmp_path):
    out = tmp_path / "x" / "r.csv"
    assert "No such file" in write(data, out, fails=True).stderr
    out = tmp_path / "r.csv"
    assert "is not a time" in write(data, out, "--since", "yesterday", fails=True).stderr
    assert "start a receiver" in write(tmp_path, out, fails=True).stderr
    out.write_text("precious")
    assert "is not a time" in write(data, out, "--until", "99999999999w", fails=True).stderr
    assert out.read_text() == "precious"
    assert [path.name for path in tmp_path.iterdir()] == ["r.csv"]


def test_a_link_and_a_pipe_stay_what_they_are(data, tmp_path):
    (tmp_path / "target.csv").write_text("old")
    (tmp_path / "link.csv").symlink_to("target.csv")
    write(data, tmp_path / "link.csv")
    assert (tmp_path / "link.csv").is_symlink()
    assert (tmp_path / "target.csv").read_text().startswith("time,")
    os.mkfifo(tmp_path / "pipe.csv")
    reader = subprocess.Popen(
        ["cat", str(tmp_path / "pipe.csv")], stdout=subprocess.PIPE, text=True
    )
    write(data, tmp_path / "pipe.csv")
    out, _ = reader.communicate(timeout=60)
    assert out == (tmp_path / "target.csv").read_text()
    assert stat.S_ISFIFO((tmp_path / "pipe.csv").stat().st_mode)


def test_times_are_understood():
    assert parse_time("2026-01-31") == "2026-01-31T00:00:00.000000Z"
    assert parse_time("2026-01-31T12:00:00.5+02:00") == "2026-01-31T10:00:00.500000Z"
    now = datetime.datetime.now(datetime.UTC)
    ago = now - datetime.datetime.fromisoformat(parse_time("90m"))
    assert abs(ago.total_seconds() - 5400) < 60


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """200 thousand readings, which are 40 MB as objects."""
    path = tmp_path_factory.mktemp("many")
    fill(path, 200)
    return path


@pytest.mark.parametrize("name", FORMATS)
def test_many_readings_do_not_need_much_memory(many, tmp_path, name):
    """An export holds one row, or a Parquet row group."""
    command = "import typer; from cistern_tools.export import export; typer.run(export)"
    base = peak(command, "--help")
    most = peak(command, "--data", many, "-o", tmp_path / "out", "--format", name)
    # pyarrow takes 60 MB for itself. All rows at once would be 290 MB for Parquet.
    assert most - base < {"parquet": 180}.get(name, 20) * 1024
    assert (tmp_path / "out").stat().st_size > 10**6


def peak(command, *arguments):
    """The most memory, in KiB, that a Python command takes."""
    # Not getrusage: its maximum is that of the process that started this one, if greater.
    code = f"""
import re, sys
try:
    {command}
finally:
    text = open("/proc/self/status").read()
    print(re.search("VmHWM:\\\\s+([0-9]+) kB", text)[1], file=sys.stderr)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return int(done.stderr.splitlines()[-1])
