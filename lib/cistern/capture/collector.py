"""A collector: one source read at one rate into one ring, with every deadline accounted for."""

from array import array

from cistern.capture.deadline import Deadline

const = int  # MicroPython's compiler knows const() by its name

# Why readings are lost, as the log and the status say it.
REASONS = ("late", "source_error", "source_slow", "stalled", "ring_full", "flash_full")
# Where Collector.lost has a reason: readings since the last drop record, ticks of the first and
# the last of them, readings since start.
_LATE = const(0)
_SOURCE_ERROR = const(4)
_RING_FULL = const(16)
# A distinct error is logged at most this often per collector.
_ERROR_LOG_US = const(60000000)


class Collector:
    """Reads `source` each `period`, (µs, remainder, denominator), and keeps it in `ring`.

    name: for people, such as "tmp36/Readings". phase: µs that its deadlines are put off by.
    captured, late, missed, dropped, durable: counts since start. A reading more than half a period
    late is counted late and kept with its true times; a deadline without a reading, because a
    later one was due before it was served or because the source failed, is counted missed and not
    made up for; a reading that the ring had to overwrite is counted dropped. lost: the missed and
    the dropped ones by their reasons. half: half a period, µs. entry: for who made it, to know it
    again.
    """

    entry = None
    waits = False
    phase = 0

    def __init__(self, name, source, ring, period, port):
        self.name = name
        self.source = source
        self.ring = ring
        self.captured = self.late = self.missed = self.dropped = self.durable = 0
        self.lost = array("i", [0] * 24)
        self._port = port
        self._ticks_us = port.ticks_us
        self._diff = port.ticks_diff
        self._values = [0] * len(source.fields) if source.fields else None
        self._period = period
        self._last_error = None
        self._last_error_us = 0
        # A period may be longer than ticks can tell; lateness is then told up to four minutes.
        self.half = min(period[0] // 2, 1 << 28)
        self.start(port.ticks_us())

    def start(self, tick):
        """Count deadlines from `tick` on, and the phase: the first comes a period after that."""
        self._deadline = Deadline(*self._period, tick + self.phase)

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
                    self.lose(_LATE, due)
                due = tick
        if due >= 0:
            if self._diff(now, due) > self.half:
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
        except Exception as e:  # a driver may raise anything; the other collectors go on
            self._fail(start, e)

    def _fail(self, tick, error):
        self.lose(_SOURCE_ERROR, tick)
        text = "%s: %s" % (type(error).__name__, error)
        file = getattr(self.source, "file", "")  # of a model of the user's own
        if file not in text:
            text = "%s: %s" % (file, text)
        self._log(text)

    def lose(self, reason, tick, count=1):
        """Count readings lost at `tick`."""
        if reason < _RING_FULL:
            self.missed += count
        else:
            self.dropped += count
        lost = self.lost
        if not lost[reason]:
            lost[reason + 1] = tick
        lost[reason + 2] = tick
        lost[reason] += count
        lost[reason + 3] += count

    def counts(self):
        """[captured, late, missed, dropped, durable, then lost by the reasons] since start."""
        counts = [self.captured, self.late, self.missed, self.dropped, self.durable]
        return counts + [self.lost[i] for i in range(3, 24, 4)]

    def held(self):
        """Readings in RAM."""
        return self.ring.readings

    def revive(self, now):
        """Called fifty times a second, for those that a timer calls."""

    def lock(self):
        """The engine works on the ring from here on, as it does with the collector itself."""

    unlock = lock  # the engine has done
    stop = lock  # no reading is taken from here on

    def _log(self, text):
        now = self._port.uptime_us()
        if text != self._last_error or now - self._last_error_us >= _ERROR_LOG_US:
            self._last_error = text
            self._last_error_us = now
            self._port.log(
                "error", "%s: no reading, will be tried again at its rate: %s" % (self.name, text)
            )


def stream_name(stream):
    """component/method, and the params where there are any: "board/Analogs(reader_name=A1)"."""
    params = ",".join(["%s=%s" % (k, stream.params[k]) for k in sorted(stream.params)])
    name = stream.component_name + "/" + stream.method
    return name + "(" + params + ")" if params else name
