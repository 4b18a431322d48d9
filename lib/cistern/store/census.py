"""Figures of a log, kept from when they are first asked for."""

from cistern.store.sector import Walk
from cistern.store.state import REASONS

const = int  # MicroPython's compiler knows const() by its name

_DEFINITION = const(0xF0)


class Stats:
    """What a log holds and has done.

    capacity, used: bytes of all sectors, and of those that hold something needed. unsent: bytes of
    unsent payloads; unsent_readings: {definition: readings}; set_aside: readings; uncounted:
    sectors that these three do not count yet. lost: {(CRC32 of the definition, reason): readings},
    since the log was initialised. cycles: erases of a sector so far, on average. Since mounting:
    erases, forced_erases (that an append had to wait for), failures (programs and erases that did
    not work), programmed (bytes).
    """


class Census:
    """What is unsent. readings: {definition: how many}."""

    def __init__(self, log):
        self._log = log
        self._walk = Walk(log.device, log.marks)
        self._counted = bytearray(log.count)
        self.readings = {}
        self._bytes = 0
        self._aside = 0
        self._at = 0  # the sectors before it are counted

    def opened(self, block):
        """A sector begins."""
        self._counted[block] = 1

    def note(self, block, definition, readings, size):
        """Unsent readings come or go."""
        if self._counted[block]:
            self.readings[definition] = self.readings.get(definition, 0) + readings
            self._bytes += size

    def put_aside(self, block, readings):
        """Readings are set aside."""
        if self._counted[block]:
            self._aside += readings

    def forget(self, block):
        """A sector is given up."""
        if self._counted[block]:
            self._count(block, -1)

    def _count(self, block, sign):
        walk = self._walk
        if not walk.enter(block):
            return
        while walk.step(self._log.end_of(block)):
            if walk.kind < _DEFINITION and walk.pending():
                if walk.unsent():
                    size = walk.size - 2
                    self.note(
                        block, walk.definitions[walk.kind], sign * walk.readings, sign * size
                    )
                else:
                    self.put_aside(block, sign * walk.readings)

    def left(self):
        """Sectors that are not counted yet."""
        log = self._log
        rest = range(self._at, log.count)
        return sum([log.sequence[b] > 0 and not self._counted[b] for b in rest])

    def look(self, sectors):
        """Count so many more sectors; True if there are still more."""
        log = self._log
        while self._at < log.count:
            b = self._at
            if log.sequence[b] > 0 and not self._counted[b]:
                if not sectors:
                    return True
                sectors -= 1
                self._counted[b] = 1
                self._count(b, 1)
            self._at += 1
        return False

    def stats(self, sectors):
        """The Stats, after counting so many more sectors."""
        log = self._log
        s = Stats()
        self.look(sectors)
        s.uncounted = self.left()
        s.capacity = log.count * log.sector_size
        s.used = log.used() * log.sector_size
        s.unsent = self._bytes
        s.set_aside = self._aside
        s.unsent_readings = {d: n for d, n in self.readings.items() if n}
        s.lost = {(key[0], REASONS[key[1]]): n for key, n in log.state.losses.items()}
        s.cycles = log.next / log.count
        s.erases = log.erases
        s.forced_erases = log.forced_erases
        s.failures = log.failures
        s.programmed = log.programmed
        return s
