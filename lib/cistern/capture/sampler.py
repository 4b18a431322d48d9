"""A collector above what a task can keep up with: a hardware timer calls it at its own rate.

The timer's callback may come between any two bytecodes, also in the middle of the engine's work on
the ring. While the engine holds the ring, readings wait in a stash and go in when it lets go.
"""

from cistern.capture.collector import Collector

const = int  # MicroPython's compiler knows const() by its name

# Sealing and releasing a parcel of 100 readings takes some 7 ms of bytecode: as many at 1 kHz.
STASH = 8
_STASHES = const(15)
# A timer whose steps are a whole number of µs runs ahead of a rate that is not; this much is let
# be until it is started again, which costs a callback's latency and so sets it back.
_AHEAD_US = const(50)
# A timer that has not called for so long has stopped, as in an emulator; it is started again.
_DEAD_US = const(1000000)
_TICKS = const(0x3FFFFFFF)
# See collector.py.
_LATE = const(0)
_STALLED = const(12)


class Sampler(Collector):
    """A Collector of a source with fields, driven by port.timer(period_us, callback).

    hold: True while the engine works on the ring.
    """

    def __init__(self, name, source, ring, period, port):
        super().__init__(name, source, ring, period, port)
        self.hold = False
        self._read_into = source.read_into
        self._put = ring.put
        self._due = self._deadline.tick
        self._step, self._rem, self._den = period
        self._carry = 0
        # How many went into the stash and out of it, modulo 2 * STASH; each is set on one side
        # only, since a callback comes between any two bytecodes of drain(), too.
        self._in = self._out = 0
        self._stash = [[0] * len(source.fields) for _ in range(STASH)]
        self._stash_at = [0] * STASH
        self._stash_latency = [0] * STASH
        self._timer = port.timer(period[0], self.sample)

    def sample(self, _timer=None):
        """Take the reading that is due now; allocates nothing unless the source does."""
        at = self._ticks_us()
        late = self._diff(at, self._due)
        if late < -2 * _AHEAD_US:
            return  # one of several callbacks that a stall has kept back
        if self.hold:
            self._keep(at)
        else:
            if self._in != self._out:
                self.drain()
            values = self._values
            try:
                self._read_into(values)
                self._put(at, self._diff(self._ticks_us(), at), values)
                self.captured += 1
            except Exception as e:  # a driver may raise anything
                self._fail(at, e)
        self._next()
        if late > self.half or late < -_AHEAD_US:
            self._off(late)

    def _next(self):
        due = self._due + self._step
        if self._rem:
            self._carry += self._rem
            if self._carry >= self._den:
                self._carry -= self._den
                due += 1
        self._due = due & _TICKS

    def _keep(self, at):
        """Read into the stash; the engine has the ring."""
        k = self._in & STASH - 1
        if (self._in - self._out) & _STASHES == STASH:
            self.lose(_STALLED, at)
            return
        try:
            self._read_into(self._stash[k])
            self._stash_at[k] = at
            self._stash_latency[k] = self._diff(self._ticks_us(), at)
            self._in = self._in + 1 & _STASHES
            self.captured += 1
        except Exception as e:  # a driver may raise anything
            self._fail(at, e)

    def drain(self):
        """Put what waits in the stash into the ring."""
        while self._in != self._out:
            k = self._out & STASH - 1
            self._put(self._stash_at[k], self._stash_latency[k], self._stash[k])
            self._out = self._out + 1 & _STASHES

    def _off(self, late):
        """The callback came far from its deadline."""
        if late < 0:
            self._timer.restart()
            return
        self.late += 1
        # The reading stands for the newest of the deadlines that have passed.
        while self._diff(self._ticks_us(), self._due) >= 0:
            self.lose(_LATE, self._due)
            self._next()

    def held(self):
        """Readings in RAM, those in the stash included."""
        return self.ring.readings + ((self._in - self._out) & _STASHES)

    def revive(self, now):
        """Start the timer again if it has stopped; its next callback counts what was missed."""
        if self._diff(now, self._due) > _DEAD_US:
            self._timer.restart()

    def lock(self):
        """The engine works on the ring from here on."""
        self.hold = True

    def unlock(self):
        """The engine has done."""
        self.drain()
        # A callback that comes in between stashes once more; the next one drains it first.
        self.hold = False

    def stop(self):
        """No more callbacks."""
        self._timer.stop()
        self.drain()
