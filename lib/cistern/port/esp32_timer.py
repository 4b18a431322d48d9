"""Hardware timers of the chip."""

import asyncio
import sys

import machine

_taken = []
_TIMERS = 2 if "C3" in sys.implementation._machine else 4
_LAST = _TIMERS - 1
_alarm = machine.Timer(_LAST)


def timer(period_us, callback):
    """Call callback(timer) each `period_us`, between two bytecodes; an object with restart(),
    which begins the period anew, and stop().
    """
    for number in range(_TIMERS):
        if number not in _taken:
            return Timer(number, period_us, callback)
    raise ValueError("all %d timers are taken: one is needed for each rate above 100 Hz" % _TIMERS)


def nap_us(us):
    """Sleep for `us`: an awaitable that is 0.2 ms late where asyncio's is up to 10 ms.

    asyncio looks whether its time has come at each tick of FreeRTOS, which has 100 a second, and
    when an interrupt wakes its task: so a timer does, as long as no collector needs it. Nothing is
    allocated but what asyncio's own sleep does; a ThreadSafeFlag would take 130 bytes.
    """
    if us >= 1000 and _LAST not in _taken:
        _alarm.init(mode=machine.Timer.ONE_SHOT, period=us, tick_hz=1000000, callback=_ring)
    return asyncio.sleep_ms(us // 1000)


def _ring(timer):
    pass


class Timer:
    """machine.Timer."""

    def __init__(self, number, period_us, callback):
        self._timer = machine.Timer(number)
        self._number = number
        self._period_us = period_us
        self._callback = callback
        _taken.append(number)
        self.restart()

    def restart(self):
        """Begin the period anew."""
        self._timer.init(period=self._period_us, tick_hz=1000000, callback=self._callback)

    def stop(self):
        """No more callbacks; the timer is free for another."""
        self._timer.deinit()
        if self._number in _taken:
            _taken.remove(self._number)
