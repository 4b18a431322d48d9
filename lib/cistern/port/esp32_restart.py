"""Restarts of a board that has no memory to connect: its last resort. Borrowed.

The RTC's memory, which a restart leaves alone and a power cut does not, has for it, between what
esp32_clock.py keeps there: "m", how many such restarts there were and how many of the last ones no
connection followed, each as one byte from "@" on, and when the last one was: ns of the RTC's
clock, little-endian.
"""

import time

import machine

const = int  # MicroPython's compiler knows const() by its name

# The first one comes after an hour at the earliest; if it did not help, the next one after two,
# four, and so on up to a day. A board that cannot connect captures all the same.
FIRST_S = const(3600)
LONGEST_S = const(86400)
# With less, what is held included, no handshake comes to its end: packets are lost for it.
_ENOUGH = const(40000)
_TAG = b"m"
_ZERO = const(64)
_MOST = const(60)
_MOST_US = const(600000000)  # no start takes as long
_STALLED = const(12)  # of collector.REASONS, times four


def look_back(port):
    """Learn from the start before this one. To be called before the clock is set."""
    before, _, kept = machine.RTC().memory().partition(_TAG)
    if len(kept) < 10:
        return
    port.restarts = kept[0] - _ZERO
    port.in_vain = kept[1] - _ZERO
    away = (time.time_ns() - int.from_bytes(kept[2:10], "little")) // 1000
    if 0 <= away < _MOST_US:
        port.away_us = away
    # Another reason may start it next.
    machine.RTC().memory(before + _TAG + kept[:2] + b"\xff" * 8 + kept[10:])


def note_restart(port):
    """The chip is reset now: have the next start know when and why."""
    before, _, kept = machine.RTC().memory().partition(_TAG)
    counts = [_ZERO + min(n + 1, _MOST) for n in (port.restarts, port.in_vain)]
    now = time.time_ns().to_bytes(8, "little")
    machine.RTC().memory(before + _TAG + bytes(counts) + now + kept[10:])


def failed(net, port, stream, newest):
    """Note why a connection is over that had an error or no end of its handshake.

    net: esp32_net.Net. newest: whether it was the newest.
    """
    error = stream.error
    if error and "clock" in str(error):  # link_why.py: a certificate is not valid now
        net.doubted = True
    if not stream.unproven:
        net.failed = port.in_vain = 0
        return
    room = net.tls.held + net.wifi.held + port.system()[0]
    if (newest and room < _ENOUGH) or (error and error.memory):
        net.lacked()


def wear(port):
    """Have the board start anew, unless it did lately. It has failed to connect for want of
    memory again and again.
    """
    wait = min(FIRST_S << min(port.in_vain, 5), LONGEST_S)
    if not port.worn and port.uptime_us() >= wait * 1000000:
        port.worn = True
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
