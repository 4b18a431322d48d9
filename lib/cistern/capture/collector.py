"""A collector: one source read at one rate into one ring, with every deadline accounted for."""

from cistern.capture.deadline import Deadline

# A distinct error is logged at most this often per collector.
ERROR_LOG_INTERVAL_US = 60000000

LATE = "late"
SOURCE_ERROR = "source_error"
RING_FULL = "ring_full"
STALLED = "stalled"
SOURCE_SLOW = "source_slow"


class Loss:
    """Readings that one reason cost since the last drop record."""

    __slots__ = ("count", "first", "last", "reason")

    def __init__(self, reason):
        self.reason = reason
        self.count = 0
        self.first = self.last = 0

    def add(self, tick, count=1):
        """Count readings lost at `tick`."""
        if not self.count:
            self.first = tick
        self.last = tick
        self.count += count


class Collector:
    """Reads `source` each `period`, (µs, remainder, denominator), and keeps it in `ring`.

    name: for people, such as "tmp36/Readings".
    captured, late, missed, dropped: counts since start. A reading more than half a period late is
    counted late and kept with its true times; a deadline without a reading, because a later one
    was due before it was served or because the source failed, is counted missed and not made up
    for; a reading that the ring had to overwrite is counted dropped.
    losses: what the drop records in the log do not say yet, by reason.
    """

    def __init__(self, name, source, ring, period, port):
        self.name = name
        self.source = source
        self.ring = ring
        self.captured = self.late = self.missed = self.dropped = self.durable = 0
        self.losses = [Loss(LATE), Loss(SOURCE_ERROR), Loss(RING_FULL), Loss(STALLED)]
        self._missed, self._failed, self._overwritten, self._stalled = self.losses
        self._port = port
        self._ticks_us = port.ticks_us
        self._diff = port.ticks_diff
        self._values = [0] * len(source.fields) if source.fields else None
        self._last_error = None
        self._last_error_us = 0
        self._deadline = Deadline(period[0], period[1], period[2], port.ticks_us())
        # A period may be longer than ticks can tell; lateness is then told up to four minutes.
        self._half = min(period[0] // 2, 1 << 28)

    @property
    def tick(self):
        """When this collector wants to be served next."""
        return self._deadline.tick

    def serve(self):
        """Take at most one reading, for the newest deadline that came; older ones were missed."""
        now = self._ticks_us()
        deadline = self._deadline
        due = -1
        while self._diff(now, deadline.tick) >= 0:
            tick = deadline.tick
            if deadline.passed():
                if due >= 0:
                    self.missed += 1
                    self._missed.add(due)
                due = tick
        if due < 0:
            return
        if self._diff(now, due) > self._half:
            self.late += 1
        self._read(now)

    def _read(self, start):
        try:
            values = self._values
            if values is None:
                payload = self.source.read()
                self.ring.put_payload(start, self._diff(self._ticks_us(), start), payload)
            else:
                self.source.read_into(values)
                self.ring.put(start, self._diff(self._ticks_us(), start), values)
            self.captured += 1
        except (
            Exception
        ) as e:  # a driver may raise anything; it must not stop the other collectors
            self._fail(start, e)

    def _fail(self, tick, error):
        self.missed += 1
        self._failed.add(tick)
        self._log("%s: %s" % (type(error).__name__, error))

    def lock(self):
        """The engine works on the ring from here on, as it does with the collector itself."""

    def unlock(self):
        """The engine has done."""

    def stop(self):
        """No reading is taken from here on."""

    def note_overwritten(self, tick):
        """Take over what the ring has overwritten since the last call."""
        count = self.ring.overwritten
        if count:
            self.ring.overwritten = 0
            self.dropped += count
            self._overwritten.add(tick, count)

    def losses_due(self, now, age_us):
        """Whether a loss has waited for its drop record for `age_us`."""
        return any(x.count and self._diff(now, x.first) >= age_us for x in self.losses)

    def _log(self, text):
        now = self._port.uptime_us()
        if text == self._last_error and now - self._last_error_us < ERROR_LOG_INTERVAL_US:
            return
        self._last_error = text
        self._last_error_us = now
        self._port.log(
            "error", "%s: no reading, will be tried again at its rate: %s" % (self.name, text)
        )
