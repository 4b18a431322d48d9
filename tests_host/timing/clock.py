"""Virtual time: a clock that work moves on, hardware timers, and an asyncio event loop on it."""

import asyncio
import collections.abc

from timing.costs import GC_NS, TIMER_NS, WAKE_NS

FAR = 1 << 62
# MICROPY_SCHEDULER_DEPTH: callbacks that can wait; a timer that fires beyond that is not served.
DEPTH = 8
# Of the 149 KB of heap: what is free while code, rings and TLS are there. Full: a collection.
GARBAGE = 30000


class Clock:
    """t: [now in ns, when something is due, bytes of heap until the next collection, a profile].

    spent: {what for: ns} of what is no bytecode: flash, hardware, tls, gc, idle. stalls: [(kind,
    begin, end in ns)] of what stops everything. tick_ns: what a wait is rounded up to.
    """

    def __init__(self, tick_us=1000, profile=None):
        self.t = [0, FAR, GARBAGE, profile]
        self.tick_ns = tick_us * 1000
        self.spent = collections.Counter()
        self.stalls = []
        self._timers = []
        self._pending = []
        self._busy = False
        self.callback_ns = 0  # spent in callbacks
        self.garbage = GARBAGE

    @property
    def now_us(self):
        """µs since the start."""
        return self.t[0] // 1000

    def charge(self, us, what="hardware"):
        """Time in which the processor waits for hardware; no callback comes meanwhile."""
        ns = int(us * 1000)
        self.spent[what] += ns
        self.t[0] += ns

    def stall(self, us, what):
        """The same, and note when it was."""
        begin = self.t[0]
        self.charge(us, what)
        self.stalls.append((what, begin, self.t[0]))

    def forget(self):
        """What happened before, at boot, is not part of the run."""
        self.stalls.clear()
        self.spent.clear()
        self.callback_ns = 0

    def due(self):
        """Serve the timers whose time has come, and collect garbage; between two bytecodes."""
        if self._busy:
            return
        t = self.t
        self._busy = True
        t[1] = FAR
        begin = t[0]
        for timer in self._timers:
            timer.queue(t[0], self._pending)
        # What falls due meanwhile comes after the next bytecodes.
        for timer in self._pending[:]:
            if timer.on:
                t[0] += TIMER_NS
                timer.callback(timer)
        self._pending.clear()
        self.callback_ns += t[0] - begin
        self._busy = False
        self.rearm()

    def rearm(self):
        """Know again when the next timer is due."""
        if not self._busy:
            self.t[1] = min([timer.next for timer in self._timers if timer.on], default=FAR)

    def timer(self, period_us, callback):
        """The port's timer()."""
        timer = Timer(self, period_us, callback)
        self._timers.append(timer)
        self.rearm()
        return timer

    def sleep_until(self, end):
        """Nothing to do until `end`, but for callbacks."""
        t = self.t
        # asyncio counts in seconds, as a float: what is a tick by that is one.
        end = -(-(end - 200) // self.tick_ns) * self.tick_ns
        while t[0] < end:
            self._collect()
            to = min(max(t[1], t[0]), end)
            if to > t[0]:
                self.spent["idle"] += to - t[0]
                t[0] = to
            if t[0] >= t[1]:
                self.due()

    def _collect(self):
        """A collection, if the heap is used up; where it falls is not worth more precision."""
        if self.t[2] <= 0:
            self.t[2] += self.garbage
            self.charge(GC_NS / 1000, "gc")

    def work(self):
        """Between two tasks."""
        self._collect()
        if self.t[0] >= self.t[1]:
            self.due()


class Timer:
    """A hardware timer; its callbacks are scheduled between bytecodes."""

    def __init__(self, clock, period_us, callback):
        self.callback = callback
        self.on = True
        self.dropped = 0
        self._clock = clock
        self._period = period_us * 1000
        self.next = clock.t[0] + self._period

    def queue(self, now, pending):
        """Put what has fallen due in the scheduler's queue."""
        while self.on and self.next <= now:
            self.next += self._period
            if len(pending) < DEPTH:
                pending.append(self)
            else:
                self.dropped += 1

    def restart(self):
        """A period from now."""
        self.next = self._clock.t[0] + self._period
        self._clock.rearm()

    def stop(self):
        """For good."""
        self.on = False
        self._clock.rearm()


class _Step(collections.abc.Coroutine):
    """A coroutine each of whose steps costs a wake of a task."""

    __slots__ = ("_clock", "_coroutine")

    def __init__(self, clock, coroutine):
        self._clock = clock
        self._coroutine = coroutine

    def send(self, value):
        clock = self._clock
        clock.work()
        clock.charge(WAKE_NS / 1000, "wakes")
        return self._coroutine.send(value)

    def throw(self, *args):
        return self._coroutine.throw(*args)

    def close(self):
        self._coroutine.close()

    def __await__(self):
        return self


class Loop(asyncio.BaseEventLoop):
    """asyncio on a Clock: when all tasks wait, time goes on to the first that need not."""

    def __init__(self, clock):
        super().__init__()
        self.clock = clock
        self._selector = self
        self._clock_resolution = 1e-6
        self.set_task_factory(
            lambda loop, coroutine, **kw: asyncio.Task(_Step(clock, coroutine), loop=loop, **kw)
        )

    def time(self):
        """Of asyncio: seconds."""
        return self.clock.t[0] / 1e9

    def select(self, timeout):
        """Of asyncio's selector: wait."""
        if timeout is None:
            raise RuntimeError("every task waits for something that will not come")
        if timeout > 0:
            self.clock.sleep_until(self.clock.t[0] + int(timeout * 1e9))
        return ()

    def _process_events(self, events):
        pass

    def _write_to_self(self):
        pass
