"""time: as on the ESP32, the epoch is 2000, the clock starts there, and ticks wrap at 2**30.

It is the PC's time, or a clock that jumps: where all wait it goes on to when somebody need not.
"""
# ruff: noqa: A001 - the chip's names, and
# MicroPython's ways

import time as _time

EPOCH = 946684800
_WRAP = 1 << 30
_ASK_US = 20  # that a look at a jumping clock takes, so that it goes on while a program works
# µs since the start, and the PC's ticks then: asyncio's C code asks for these, so the clock is
# never behind them.
_jumped = [None, 0]
# What is added to the PC's time; a chip starts at its epoch.
_start_us = -(_time.time_ns() // 1000)
_shift_us = [_start_us]


def begin_jumping():
    """From here on time is what the program waits for."""
    _jumped[:] = 0, _time.ticks_us()


def jumps():
    """Whether it is."""
    return _jumped[0] is not None


def jump(us):
    """So long all wait."""
    _jumped[0] += us


def now_us():
    """µs since any moment."""
    if _jumped[0] is None:
        return _time.time_ns() // 1000
    _jumped[0] = max(_jumped[0], _time.ticks_us() - _jumped[1])
    return _jumped[0]


def asyncio_ms():
    """Ticks that go on from the PC's."""
    return (_jumped[1] + now_us()) // 1000


def now_ms():
    """Ticks of ms, for the stand-ins."""
    return now_us() // 1000


def time_ns():
    """ns since 2000."""
    if _jumped[0] is not None:
        return (_shift_us[0] - _start_us + now_us()) * 1000
    return _time.time_ns() + _shift_us[0] * 1000


def time():
    """Seconds since 2000."""
    return time_ns() // 1000000000


def set(seconds, us):
    """The clock of RTC."""
    _set(seconds * 1000000 + us)


def _set(us):
    _shift_us[0] = us - now_us() + (_start_us if jumps() else 0)


def shift(us=None):
    """What the chip's time has on top of the PC's, which goes on."""
    if us is not None:
        _shift_us[0] = us
    return _shift_us[0]


def resume(ns):
    """Go on where a reset was: no time has passed."""
    _set(ns // 1000)


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
    if _jumped[0] is None:
        return _time.ticks_us() & (_WRAP - 1)
    _jumped[0] += _ASK_US
    return now_us() & (_WRAP - 1)


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
