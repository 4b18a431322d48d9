"""Absolute deadlines of one rate: the n-th is start + n/f to the microsecond, for ever."""

_TICKS = (1 << 30) - 1
# A tick is unambiguous for 2**29 µs; longer periods are waited for in equal parts of at most this.
MAX_PART_US = 1 << 28


class Deadline:
    """The next deadline of a collector.

    The period is period_us + rem / den microseconds, as config.Collector has it; only small ints
    are added on the way. start: the tick from which the first period runs.
    """

    __slots__ = ("_carry", "_den", "_left", "_num", "_parts", "_step", "tick")

    def __init__(self, period_us, rem, den, start):
        self._parts = period_us // MAX_PART_US + 1
        # Bresenham: each part is `step` µs, and one more as often as the remainder asks for it.
        self._den = den * self._parts
        self._step = period_us // self._parts
        self._num = period_us % self._parts * den + rem
        self._carry = 0
        self._left = self._parts
        self.tick = start
        self._advance()

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
