"""The chip's clock: what sets it, what is kept of it for the next power-on, and what lasts in its
memory through a restart; borrowed by esp32.py.

The RTC and its memory last until power goes. The clock is the time where its memory begins with
MARK. Else it is only no earlier than the time: it began at the value `clock` of the NVS.
"""

import time

import machine
from esp32 import NVS

MARK = b"utc"
# Seconds from 1970 to the runtime's epoch, 2000 on this port so far.
_EPOCH = 946684800 if time.gmtime(0)[0] == 2000 else 0
_HOUR = 3600
_EARLIEST = 1767225600  # 2026-01-01: Cistern is no older
# By so much the RTC and the NVS may differ where both are right.
_SLACK_US = 600000000


def floor_s():
    """Seconds since 1970 that were over when `clock` was written to the NVS, or 0."""
    try:
        return int(_setting("clock"))
    except ValueError:
        return 0


def _setting(key):
    buf = bytearray(512)
    try:
        return str(buf[: NVS("cistern").get_blob(key, buf)], "utf-8")
    except (OSError, ValueError):
        return ""


def at_least_us():
    """Microseconds since 1970 that are over, by the RTC."""
    return time.time_ns() // 1000 + _EPOCH * 1000000


def begin_clock():
    """At a start: certificates are checked against a clock, and some time in the past is better
    than 2000. One that is before it is none.
    """
    if floor_s() * 1000000 - _SLACK_US > at_least_us():
        forget_clock()


def set_clock(utc_us):
    """It is `utc_us`."""
    _set(utc_us)
    kept = machine.RTC().memory()
    if not kept.startswith(MARK):
        machine.RTC().memory(MARK + kept)


def forget_clock():
    """The clock is wrong: begin again at what is certain."""
    _set(max(floor_s(), _EARLIEST) * 1000000)
    machine.RTC().memory(machine.RTC().memory().replace(MARK, b""))


def keep_clock(utc_us):
    """The cloud says that it is `utc_us`: remember that for the next power-on, where TLS vouches
    for the cloud, once a day.
    """
    if abs(utc_us // 1000000 - floor_s()) > 24 * _HOUR and _is_proven():
        _keep(utc_us)


def raise_clock(utc_us):
    """It is later than `utc_us`, how much nobody knows. What is dated by it after the next
    power-on comes after what was dated by it before, to the hour.
    """
    if utc_us > at_least_us():
        _set(utc_us)
    if utc_us // 1000000 - floor_s() > _HOUR and _is_proven():
        _keep(utc_us)


def _is_proven():
    return _setting("cloud_url")[:5] == "https"


def _keep(utc_us):
    nvs = NVS("cistern")
    nvs.set_blob("clock", str(utc_us // 1000000))
    nvs.commit()


def _set(utc_us):
    t = time.gmtime(utc_us // 1000000 - _EPOCH)
    machine.RTC().datetime((t[0], t[1], t[2], t[6], t[3], t[4], t[5], utc_us % 1000000))
