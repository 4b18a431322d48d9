"""A board's clock, set from this PC over the serial line, and a sync that is asked for."""

import re
import time

from cistern_tools.board import BoardError
from cistern_tools.image.nvs import NAMESPACE

# A PC whose clock was lost says something before.
_EARLIEST_S = 1767225600  # 2026-01-01
# As lib/cistern/port/esp32_clock.py does it: what follows the mark in the RTC's memory stays.
_SET = """
import esp32, machine, time
us = {us}
t = time.gmtime(us // 1000000 - (946684800 if time.gmtime(0)[0] == 2000 else 0))
rtc = machine.RTC()
rtc.datetime((t[0], t[1], t[2], t[6], t[3], t[4], t[5], us % 1000000))
kept = rtc.memory()
if not kept.startswith(b"utc"):
    rtc.memory(b"utc" + kept)
nvs = esp32.NVS({namespace!r})
nvs.set_blob("clock", str(us // 1000000))
nvs.commit()
"""
# The state `sync` of the board (lib/cistern/uplink.py).
_ASK = """
import esp32, json
def text(key):
    buf = bytearray(512)
    try:
        return str(buf[: esp32.NVS({namespace!r}).get_blob(key, buf)], "utf-8")
    except OSError:
        return ""
lacking = [k for k in ("ssid", "cloud_url", "part_id", "secret") if not text(k)]
if not lacking:
    with open("/last_sync", "w") as f:
        f.write("now")
print(json.dumps(lacking))
"""
_OUTCOME = re.compile(rb"(info|warning) +sync now: ([^\r\n]*)\r?\n")
_SAID = 300  # of what a board said, in an error


def set_from_pc(board):
    """Set the clock of a board, whose program is stopped: at its next start it knows the time.

    board: a Link. Raises BoardError.
    """
    us = time.time_ns() // 1000
    if us < _EARLIEST_S * 1000000:
        raise BoardError(f"this PC's clock says {time.strftime('%Y-%m-%d')}: set it first")
    board.run(_SET.format(us=us, namespace=NAMESPACE))


def ask_sync(board):
    """Have the next start of a board sync at once. Raises BoardError where it cannot."""
    lacking = board.ask(_ASK.format(namespace=NAMESPACE))
    if lacking:
        raise BoardError(
            f"the board has no {', '.join(lacking)}, so it never syncs: cistern config push gives "
            "it what it needs"
        )


def outcome(board, seconds):
    """(whether a sync that was asked for succeeded, what became of it), when the board says so.

    Raises BoardError where it does not within so many seconds.
    """
    said = bytearray()
    end = time.monotonic() + seconds
    board.follow(said.extend, lambda: _OUTCOME.search(said) or time.monotonic() > end)
    found = _OUTCOME.search(said)
    if not found:
        last = said[-_SAID:].decode(errors="replace").strip() or "nothing"
        raise BoardError(
            f"the sync was not over within {seconds:g} s; the board goes on with it, and its last "
            f"words were:\n{last}"
        )
    return found[1] == b"info", found[2].decode(errors="replace")
