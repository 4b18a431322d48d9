"""Time for devices: µs that do not wrap, from ticks that do."""

_TICKS = (1 << 30) - 1
_HALF = 1 << 29


class Clock:
    """To be asked more often than every nine minutes, or some are missing."""

    def __init__(self, ticks_us):
        self._ticks_us = ticks_us
        self._tick = ticks_us()
        self._us = 0

    def now(self):
        """µs since this clock was made."""
        tick = self._ticks_us()
        self._us += ((tick - self._tick + _HALF) & _TICKS) - _HALF
        self._tick = tick
        return self._us
