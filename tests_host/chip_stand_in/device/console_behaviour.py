"""Ctrl-C at the console of a chip: it interrupts the program between two steps of it.

On the PC a signal comes in the middle of anything, of an allocation too, and to any thread.
"""

import _thread
import select
import sys
import time as _time

import clock_behaviour as _clock

_CTRL_C = b"\x03"
_poll = select.poll()
_poll.register(sys.stdin, select.POLLIN)
_main = _thread.get_ident()
_listening = [False]
_until_us = [None]


def interrupt_at(us):
    """Ctrl-C comes at this time of a clock that jumps."""
    _until_us[0] = us


def listen(on):
    """Whether a program runs; else the console is the REPL's, or nobody's yet."""
    _listening[0] = on


def _step():
    """What the PC takes as a point between two steps of a program."""
    if _until_us[0] is not None and _clock.now_us() >= _until_us[0]:
        _until_us[0] = None
        raise KeyboardInterrupt
    if _listening[0] and _thread.get_ident() == _main and _poll.poll(0):
        said = sys.stdin.buffer.read(1)
        if said == _CTRL_C:
            raise KeyboardInterrupt
        if not said:
            _listening[0] = False  # there is no console


def ticks_ms():
    """asyncio asks for it in each turn."""
    _step()
    if _clock.jumps():
        _clock.jump(20)
        return _clock.asyncio_ms()
    return _time.ticks_ms()


def sleep_ms(ms):
    """Is interrupted at its end."""
    if _clock.jumps():
        _clock.jump(ms * 1000)
    else:
        _time.sleep_ms(ms)
    _step()


INSTEAD = {"ticks_ms": ticks_ms, "sleep_ms": sleep_ms}
