"""time: as on the ESP32, the epoch is 2000, the clock starts there, and ticks wrap at 2**30."""
# ruff: noqa: A001 - the chip's names, and
# MicroPython's ways

import time as _time

EPOCH = 946684800
_WRAP = 1 << 30
# What is added to the PC's time; a chip starts at its epoch.
_shift_us = [-(_time.time_ns() // 1000)]


def time_ns():
    """ns since 2000."""
    return _time.time_ns() + _shift_us[0] * 1000


def time():
    """Seconds since 2000."""
    return time_ns() // 1000000000


def set(seconds, us):
    """The clock of RTC."""
    _shift_us[0] = seconds * 1000000 + us - _time.time_ns() // 1000


def resume(ns):
    """Go on where a reset was: no time has passed."""
    _shift_us[0] = ns // 1000 - _time.time_ns() // 1000


def gmtime(seconds=None):
    """Of the chip's epoch."""
    return _time.gmtime((time() if seconds is None else seconds) + EPOCH)[:8]


def mktime(t):
    """Of the chip's epoch; there are no time zones."""
    days = _days(t[0]) + sum(_MONTHS[: t[1] - 1]) + t[2] - 1
    if t[1] > 2 and _leap(t[0]):
        days += 1
    return days * 86400 + t[3] * 3600 + t[4] * 60 + t[5]


_MONTHS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def _leap(year):
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def _days(year):
    return sum(366 if _leap(y) else 365 for y in range(2000, year))


def ticks_us():
    """Wraps."""
    return _time.ticks_us() & (_WRAP - 1)


def ticks_diff(a, b):
    """a - b."""
    return ((a - b + _WRAP // 2) & (_WRAP - 1)) - _WRAP // 2


INSTEAD = {
    "time": time,
    "time_ns": time_ns,
    "gmtime": gmtime,
    "localtime": gmtime,
    "mktime": mktime,
    "ticks_us": ticks_us,
    "ticks_diff": ticks_diff,
}
