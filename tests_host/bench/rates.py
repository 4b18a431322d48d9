"""Capture on the real runtime: MicroPython on this machine, 4 collectors at 500 Hz, with a sync
over TLS to a real receiver all the while.

    python tests_host/bench/rates.py [--seconds 60]

Judged by what arrived: each reading's time against its absolute deadline. The deadlines' origin is
not sent; it is where the readings that were most nearly on time say it is.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench_support import Bench, running

HZ = 500
PERIOD_NS = 1000000000 // HZ
READERS = ("a", "b", "c", "d")


def machine():
    """Four readers of a fake board, and a sync every 0.6 s."""
    methods = [
        {
            "method": "Analogs",
            "capture_frequency_hz": HZ,
            "cache_size_kb": 6,
            "additional_params": {"reader_name": name},
        }
        for name in READERS
    ]
    config = {"type": "data_manager", "attributes": {"capture_methods": methods}}
    board = {"name": "b", "type": "board", "model": "fake", "attributes": {}}
    board["service_configs"] = [config]
    service = {"name": "dm", "type": "data_manager", "attributes": {"sync_interval_mins": 0.01}}
    return {"components": [board], "services": [service]}


def lateness(times):
    """µs behind the deadline, of each; times: ns, in order."""
    start = times[0]
    # The last reading at or after the nth deadline belongs to it.
    offsets = [(t - start) % PERIOD_NS for t in times]
    offsets = [o - PERIOD_NS if o > PERIOD_NS * 3 // 4 else o for o in offsets]
    first = min(offsets)
    return sorted((o - first) // 1000 for o in offsets)


def main():
    """Print a line for each collector; 1 if one lost readings without counting them."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=int, default=60)
    seconds = parser.parse_args().seconds
    bad = 0
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        bench.machine.write_text(json.dumps(machine()))
        bench.start_receiver()
        try:
            with running(bench.board("--for", str(seconds))) as board:
                board.wait(seconds + 60)
                status = board.statuses()[-1]["streams"]
        finally:
            bench.stop_receiver()
        print(f"{HZ} Hz for {seconds} s, MicroPython here, sync over TLS meanwhile")
        print("reader  arrived  a second  p50 us  p99 us   max us  missed  late  dropped")
        sql = """SELECT time_ns FROM readings WHERE component = 'b'
            AND params->>'$.reader_name' = ? ORDER BY time_ns"""
        for name in READERS:
            times = [row[0] for row in bench.rows(sql, name)]
            late = lateness(times)
            row = status[f"b/Analogs(reader_name={name})"]
            rate = (len(times) - 1) / ((times[-1] - times[0]) / 1e9)
            p50, p99 = late[len(late) // 2], late[len(late) * 99 // 100]
            lost = row["missed"], row["late"], row["dropped"]
            print(
                f"{name:6} {len(times):>8} {rate:>9.1f} {p50:>7} {p99:>7} {late[-1]:>8} "
                f"{lost[0]:>7} {lost[1]:>5} {lost[2]:>8}"
            )
            bad |= len(times) + row["dropped"] + row["pending"] != row["captured"]
    return int(bad)


if __name__ == "__main__":
    sys.exit(main())
