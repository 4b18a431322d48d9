"""Watches from outside: when each source was really read, held against its absolute deadlines.

Nothing here believes what the firmware counts; that is compared with what was seen.
"""

import bisect
from array import array

# A hardware timer may be ahead of a rate that is no whole number of µs by so much.
EARLY_NS = 150000
# After an erase those come first that it has kept back.
KEPT_NS = 2000000
# Readings that a sensor keeps before they are fetched.
BLOCK = 32


class Row:
    """One stream. first: its first deadline, ns; at: of each reading that succeeded, the number of
    its deadline and its lateness in µs; ns: spent in it; failed: reads that raised; served: when
    the firmware last began to serve it, which decides whose deadline a reading is; 0 for programs
    that know no deadlines. blocks: readings that the sensor took itself, at its own times, and
    gave in blocks; it has no lateness.
    """

    def __init__(self, name, hz):
        self.name = name
        self.hz = hz
        self.period = 1e9 / hz
        self.first = None
        self.served = 0
        self.numbers = array("q")
        self.lateness = array("q")
        self.failed = self.ns = self.blocks = 0

    def saw(self, begin):
        """A reading that was begun at `begin` ns has succeeded."""
        if self.first is None:
            return  # before the run
        number = int(((self.served or begin) + EARLY_NS - self.first) // self.period)
        self.numbers.append(number)
        self.lateness.append(int(begin - self.first - number * self.period) // 1000)

    def due(self, number):
        """When that deadline is, ns."""
        return self.first + number * self.period

    def next_after(self, ns):
        """How long it is from `ns` to the next deadline."""
        if ns < self.first:
            return self.first - ns
        return self.period - (ns - self.first) % self.period

    def expected(self, end):
        """Deadlines whose period was over by `end`; what came after them is not looked at."""
        return max(int((end - self.first) // self.period), 0)


class Steps:
    """A coroutine whose steps are timed into a row."""

    def __init__(self, clock, coroutine, row):
        self._clock = clock
        self._coroutine = coroutine
        self._row = row

    def __await__(self):
        t, row, step, given = self._clock.t, self._row, self._coroutine.send, None
        while True:
            begin = t[0]
            try:
                out = step(given)
            except StopIteration as e:
                return e.value
            finally:
                row.ns += t[0] - begin
            try:
                given = yield out
                step = self._coroutine.send
            except BaseException as e:
                given, step = e, self._coroutine.throw


def watch(source, row, clock):
    """Have `row` see every read of a source."""
    t = clock.t
    if source.block:
        read_block = source.read_block

        def fetched(times, values):
            n = read_block(times, values)
            row.blocks += n
            return n

        source.read_block = fetched
    name = "read_into" if source.fields else "read"
    read = getattr(source, name)

    async def waited(*args):
        begin = t[0]
        try:
            value = await Steps(clock, read(*args), row)
        except Exception:
            row.failed += 1
            raise
        # It begins in a task of its own; the time that the reading has is that of its deadline's
        # service.
        row.saw(row.served or begin)
        return value

    def called(*args):
        begin = t[0]
        try:
            value = read(*args)
        except Exception:
            row.failed += 1
            raise
        row.saw(begin)
        return value

    setattr(source, name, waited if source.waits else called)


def percentile(values, share):
    """Of a sorted sequence; None of an empty one."""
    return values[min(int(len(values) * share), len(values) - 1)] if values else None


def summary(row, end, erases):
    """What became of a stream's deadlines; erases: [(begin, end)] in ns, in order."""
    expected = row.expected(end)
    if row.blocks:
        # What it holds when the run ends was taken, too.
        row.numbers = array("q", range(row.blocks + BLOCK))
        row.lateness = array("q", [0]) * (row.blocks + BLOCK)
    late = sorted(abs(us) for n, us in zip(row.numbers, row.lateness, strict=True) if n < expected)
    missing, last = [], -1
    for number in row.numbers:
        # Where a deadline passes while one is served, the firmware may take it for the next.
        n = max(number, last + 1)
        missing += range(last + 1, min(n, expected))
        last = n
    missing += range(last + 1, expected)
    return {
        "name": row.name,
        "hz": row.hz,
        "blocks": row.blocks,
        "expected": expected,
        "captured": expected - len(missing),
        "missed": len(missing),
        "outside": _outside(row, missing, erases),
        "failed": row.failed,
        "p50_us": percentile(late, 0.5),
        "p99_us": percentile(late, 0.99),
        "max_us": late[-1] if late else None,
    }


def pooled(rows, end, share, erases):
    """A percentile of the lateness in µs over all streams that have one, for readings whose
    deadlines fell into no erase.
    """
    late = []
    begins = [a for a, _ in erases]
    for row in rows:
        if not row.blocks:
            expected = row.expected(end)
            both = zip(row.numbers, row.lateness, strict=True)
            late += [
                abs(us) for n, us in both if n < expected and not _in(row.due(n), begins, erases)
            ]
    late.sort()
    return percentile(late, share)


def _in(ns, begins, erases):
    k = bisect.bisect_right(begins, ns) - 1
    return k >= 0 and ns <= erases[k][1] + KEPT_NS


def _outside(row, missing, erases):
    """How many deadlines were missed though no erase touched their period."""
    count = k = 0
    for n in missing:
        begin, end = row.due(n), row.due(n + 1)
        while k < len(erases) and erases[k][1] + KEPT_NS < begin:
            k += 1
        count += k == len(erases) or erases[k][0] > end
    return count


def windows(rows, erases, typical_ns):
    """How many erases began where no collector was due for `typical_ns`."""
    return sum(
        all(row.next_after(begin) >= typical_ns for row in rows) for begin, _ in erases
    )
