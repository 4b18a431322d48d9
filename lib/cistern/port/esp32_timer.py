"""Hardware timers of the chip."""

import machine

_taken = []
_TIMERS = 4


def timer(period_us, callback):
    """Call callback(timer) each `period_us`, between two bytecodes; an object with restart(),
    which begins the period anew, and stop().
    """
    for number in range(_TIMERS):
        if number not in _taken:
            return Timer(number, period_us, callback)
    raise ValueError("all %d timers are taken: one is needed for each rate above 100 Hz" % _TIMERS)


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
