"""`cistern log dump`: a flash image decoded without its device."""

import csv
import io
import itertools
import json
import subprocess
import sys

import pyarrow.parquet
import pytest

from cistern.port.nor import NorFile
from cistern.record import Reader, Ring, Shape, Stream, read_definition
from cistern.store import Log

UTC = 1795365111000000


@pytest.fixture
def image(tmp_path):
    """A flash with two parcels of three readings each, the first of them sent."""
    path = tmp_path / "flash.bin"
    log = Log.mount(NorFile(str(path), 64 * 1024), lambda n: bytes(range(n)))
    ring = Ring(
        Stream("rdk:component:board", "b", "Analogs", {"reader_name": "A1"}, ("t",)),
        1000,
        10000,
        Shape(((("value",), "u16"),)),
    )
    buf = bytearray(2048)
    for first in (1, 4):
        for n in range(first, first + 3):
            ring.put(n * 10000, 15, [n])
        sealed = ring.seal(buf, first * 10000 + 20000, first * 10000 + 20000)
        log.append(sealed.definition, sealed.payload, sealed.readings)
        ring.release()
    log.append_anchor(0, UTC, 1000)
    log.mark_sent(log.unsent().next())
    return path


def _dump(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "cistern_tools", "log", "dump", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_every_reading_comes_out_with_its_time_and_state(image):
    done = _dump(image)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["data"]["value"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert [row["state"] for row in rows] == ["sent"] * 3 + ["unsent"] * 3
    assert rows[0]["params"] == {"reader_name": "A1"} and rows[0]["tags"] == ["t"]
    assert rows[0]["time_requested"] == "2026-11-22T16:31:51.010000+00:00"
    assert rows[0]["received_uptime_us"] == 10015
    assert "3 sent" in done.stderr and "3 unsent" in done.stderr


def test_only_what_the_cloud_lacks(image):
    rows = _dump(image, "--unsent").stdout.splitlines()
    assert [json.loads(row)["data"]["value"] for row in rows] == [4, 5, 6]


def test_csv_and_parquet_hold_the_same(image, tmp_path):
    rows = list(csv.DictReader(io.StringIO(_dump(image, "--format", "csv").stdout)))
    out = tmp_path / "x.parquet"
    assert _dump(image, "--format", "parquet", "-o", out).returncode == 0
    table = pyarrow.parquet.read_table(out).to_pylist()
    assert [r["data"] for r in rows] == [r["data"] for r in table]
    assert [json.loads(r["data"])["value"] for r in table] == [1, 2, 3, 4, 5, 6]


def test_damage_is_named_with_its_place_and_the_rest_comes_out(image):
    data = bytearray(image.read_bytes())
    at = data.index(b"\x05\x00", data.index(b"\x03\x00"))  # a value in the second parcel
    data[at] ^= 0x40
    image.write_bytes(data)
    done = _dump(image)
    assert done.returncode == 1
    assert "damaged: sector " in done.stderr and "byte" in done.stderr
    values = [json.loads(line)["data"]["value"] for line in done.stdout.splitlines()]
    assert values == [1, 2, 3]


def test_what_is_no_log_is_refused_with_a_sentence(tmp_path):
    other = tmp_path / "other.bin"
    other.write_bytes(b"hello" * 10000)
    done = _dump(other)
    assert done.returncode == 2 and str(other) in done.stderr
    assert _dump(tmp_path / "nothing.bin").returncode == 2


def _erase(*arguments, answer=""):
    return subprocess.run(
        [sys.executable, "-m", "cistern_tools", "log", "erase", *map(str, arguments)],
        capture_output=True,
        text=True,
        input=answer,
        timeout=60,
    )


def test_erasing_a_flash_file_asks_first(image):
    before = image.read_bytes()
    done = _erase(image, answer="n\n")
    assert done.returncode == 1 and image.read_bytes() == before
    assert "6 readings, 3 of them not synced" in done.stdout
    done = _erase(image, answer="y\n")
    assert done.returncode == 0, done.stderr
    assert image.read_bytes() == b"\xff" * len(before)
    Log.mount(NorFile(str(image), len(before)), bytes)


def test_erasing_a_folder_takes_the_log_only(tmp_path):
    (tmp_path / "0000.log").write_bytes(b"x")
    (tmp_path / "0001.LOG").write_bytes(b"x")
    (tmp_path / "notes.log").write_bytes(b"x")
    assert _erase(tmp_path, "--yes").returncode == 0
    assert [p.name for p in tmp_path.iterdir()] == ["notes.log"]
    done = _erase(tmp_path, "--yes")
    assert done.returncode != 0 and "has no log" in done.stderr


@pytest.mark.parametrize("content", [b"", b"x" * 5000])
def test_what_is_no_flash_is_not_erased(tmp_path, content):
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    done = _erase(path, "--yes")
    assert done.returncode != 0 and "no flash file" in done.stderr
    assert path.read_bytes() == content
    assert "name one of" in _erase("--yes").stderr


def _states(path):
    done = _dump(path)
    assert done.returncode == 0, done.stderr
    found = {}
    for line in done.stdout.splitlines():
        row = json.loads(line)
        found.setdefault(row["state"], []).append(row["data"]["n"])
    return found, done.stderr


def _filling(path, sectors, nth):
    """Fill a log with numbers, of which some are sent and some refused; yield it and what was sent
    after each.
    """
    log = Log.mount(NorFile(str(path), sectors * 4096), lambda n: bytes(range(n)))
    log.delete_every_nth = nth
    ring = Ring(Stream("rdk:component:sensor", "s", "Readings"), 4000, 10000)
    buf = bytearray(2048)
    sent = set()
    for n in itertools.count():
        ring.put_payload(n * 10000, 0, {"n": n, "text": "x" * 100})
        sealed = ring.seal(buf, n * 10000, n * 10000)
        log.append(sealed.definition, sealed.payload, sealed.readings)
        ring.release()
        if n % 50 == 49:
            cursor = log.unsent()
            for _ in range(2 + 3 * (n % 100 == 99)):
                ref = cursor.next()
                shape = read_definition(ref.definition)[1]
                for _, _, values in Reader(shape, log.read(ref, buf)):
                    sent.add(shape.payload(values)["n"])
                assert log.mark_sent(ref)
            log.set_aside(cursor.next())
        yield log, sent
        while log.maintain(10**6, lambda: 0):
            pass


@pytest.mark.parametrize("nth", [0, 5])
def test_what_was_given_up_is_not_called_sent(tmp_path, nth):
    path = tmp_path / "flash.bin"
    gone = "thinned" if nth else "log_full"
    filling = _filling(path, 24, nth)
    while True:
        log, sent = next(filling)
        # A sector that is given up is erased soon.
        if gone in {reason for _, reason in log.stats().lost} and 0 in log.sequence:
            seen, said = _states(path)
            if "set aside" in seen:
                break
    losses = {reason: n for (_, reason), n in log.stats().lost.items()}
    assert seen.keys() <= {"given up", "thinned", "sent", "unsent", "set aside"}
    assert len(seen["unsent"]) == sum(log.stats().unsent_readings.values())
    assert not set(seen["unsent"]) & set(seen["thinned" if nth else "given up"])
    assert set(seen["sent"]) <= sent
    assert f"{losses['refused']} readings of s/Readings, refused" in said
    assert f"{losses[gone]} readings of s/Readings, {gone}" in said
    given_up = len(seen.get("given up", ())) + len(seen.get("thinned", ()))
    assert 0 < given_up <= losses.get("log_full", 0) + losses.get("thinned", 0)
