"""Absolute deadlines of one rate, in ticks: the n-th is start + n/f to the microsecond, for ever.
"""

_TICKS = (1 << 30) - 1
# A tick is unambiguous for 2**29 µs; longer periods are waited for in equal parts of at most this.
MAX_PART_US = 1 << 28


class Deadline:
    """The next deadline of a collector.

    frequency_hz: 1/3600 to 2000; exact to a thousandth of a hertz from 1 Hz up, to a millionth
    below, so that only small ints are added on the way (a 32-bit float has no more digits either).
    start: the tick from which the first period runs.
    """

    __slots__ = ("_carry", "_den", "_left", "_num", "_parts", "_step", "tick")

    def __init__(self, frequency_hz, start):
        scale = 1000 if frequency_hz >= 1 else 1000000
        den = max(1, int(frequency_hz * scale + 0.5))
        total = 1000000 * scale
        period = total // den
        self._parts = period // MAX_PART_US + 1
        # Bresenham: each part is `step` µs, and one more as often as the remainder asks for it.
        self._den = den * self._parts
        self._step = total // self._den
        self._num = total % self._den
        self._carry = 0
        self._left = self._parts
        self.tick = start
        self._advance()

    @property
    def period_us(self):
        """The period, rounded down."""
        return self._step * self._parts + self._num * self._parts // self._den

    def _advance(self):
        step = self._step
        self._carry += self._num
        if self._carry >= self._den:
            self._carry -= self._den
            step += 1
        self.tick = (self.tick + step) & _TICKS

    def passed(self):
        """Move on from `tick`, which has come. True when it was a deadline, False when a part of a
        wait.
        """
        self._left -= 1
        due = self._left == 0
        if due:
            self._left = self._parts
        self._advance()
        return due
