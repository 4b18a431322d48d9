"""Restarts of a board that has no memory to connect: its last resort. Borrowed.

The RTC's memory, which a restart leaves alone and a power cut does not, has behind the mark of the
clock (esp32.py) a byte with how many such restarts there were, one with how many of them no
connection followed, and when the last one was: ns of the RTC's clock, little-endian.
"""

import time

import machine

const = int  # MicroPython's compiler knows const() by its name

# The first one comes after an hour at the earliest; if it did not help, the next one after two,
# four, and so on up to a day. A board that cannot connect captures all the same.
FIRST_S = const(3600)
LONGEST_S = const(86400)
_MARK = const(3)
_MOST_US = const(600000000)  # no start takes as long
_STALLED = const(12)  # of collector.REASONS, times four


def look(port):
    """Learn from the start before this one. To be called before the clock is set."""
    kept = machine.RTC().memory()
    if len(kept) > _MARK:
        port.restarts = kept[_MARK]
        port.in_vain = kept[_MARK + 1]
        away = (time.time_ns() - int.from_bytes(kept[_MARK + 2 :], "little")) // 1000
        if 0 <= away < _MOST_US:
            port.away_us = away
        # Another reason may start it next.
        machine.RTC().memory(kept[: _MARK + 2] + b"\xff" * 8)


def wear(port):
    """Have the board start anew, unless it did lately. It has failed to connect for want of
    memory again and again.
    """
    wait = min(FIRST_S << min(port.in_vain, 5), LONGEST_S)
    if not port.worn and port.uptime_us() >= wait * 1000000:
        port.worn = bytes((min(port.restarts + 1, 255), min(port.in_vain + 1, 255)))
        port.log("error", "no memory to connect: the board makes all durable and restarts")


def count_restart(port, collectors):
    """Count what the restart cost: what should have been read since the last start ended."""
    if port.restarts:
        port.log("warning", "restarts for want of memory since power came: %d" % port.restarts)
    if port.away_us:
        away = port.away_us + port.uptime_us()
        for c in collectors:
            missed = away // (2 * c.half)
            if missed:
                c.lose(_STALLED, port.ticks_us(), missed)
        port.away_us = 0
