"""The engine: serves collectors when they are due, and seals what they gathered into the log."""

from cistern.errors import StoreError

# Half a sector: a second of 100 Hz with 20 bytes a reading, and twice what one reading may take.
MAX_PARCEL = 2048
# Above 100 Hz a timer serves a collector, where the port has one: waking a task for each reading
# (125 µs on the chip) would cost over a percent of the CPU.
FAST_US = 10000
# Longest time asleep: what is to be sealed or stopped waits at most this long.
MAX_SLEEP_US = 50000
# Sealing takes some ms of flash; do it where the next deadline leaves room, or when it is overdue.
SEAL_ROOM_US = 4000
# A ring this full is sealed before its age asks for it.
SEAL_FILL = 2  # a half
# A log that is full or broken is tried again after this time, not in every turn.
STORE_RETRY_US = 1000000


class Engine:
    """Runs collectors over one log.

    flush_us: age at which the oldest reading in RAM is made durable.
    """

    def __init__(self, port, log, flush_us):
        self.collectors = []
        self._polled = []
        self._port = port
        self._log = log
        self._flush_us = flush_us
        self._scratch = bytearray(MAX_PARCEL)
        self._running = False
        self._store_error = None
        self._store_error_us = 0

    def add(self, collector, timed=False):
        """Serve one more collector; timed: a timer does, only its ring is the engine's."""
        self.collectors.append(collector)
        if not timed:
            self._polled.append(collector)

    async def run(self):
        """Serve until stop(); the collectors' counts are the result."""
        ticks_us, diff = self._port.ticks_us, self._port.ticks_diff
        self._running = True
        while self._running:
            wait = MAX_SLEEP_US
            for c in self._polled:
                left = diff(c.tick, ticks_us())
                if left <= 0:
                    c.serve()
                    left = diff(c.tick, ticks_us())
                wait = min(wait, left)
            if self._seal_due(wait):
                wait = 0
            # Under a millisecond left, other tasks get their turn but no sleep is short enough.
            await self._port.sleep_ms(max(0, wait // 1000))

    def stop(self):
        """No reading is taken after the turn that is under way."""
        self._running = False
        for c in self.collectors:
            c.stop()

    def _seal_due(self, room_us):
        """Seal at most one collector, so that the next deadline is looked at in between."""
        now = self._port.ticks_us()
        # A quarter past its age a parcel is written even where a deadline will have to wait.
        flush_us = self._flush_us if room_us >= SEAL_ROOM_US else self._flush_us * 5 // 4
        for c in self.collectors:
            c.note_overwritten(now)
            oldest = c.ring.oldest_tick
            if oldest is None:
                due = c.losses_due(now, flush_us)
            else:
                age = self._port.ticks_diff(now, oldest)
                # Where the log took nothing for nine minutes, ticks make the age look negative.
                due = age >= flush_us or age < 0 or c.ring.used * SEAL_FILL > c.ring.size
            if due and self.seal(c):
                return True
        return False

    def seal(self, collector):
        """Make all that the collector holds durable. False: the log took not all of it."""
        now_us = self._port.uptime_us()
        if self._store_error and now_us - self._store_error_us < STORE_RETRY_US:
            return False
        ring = collector.ring
        try:
            # What is captured meanwhile waits for the next time, or this might never end.
            left = ring.readings
            while left > 0:
                collector.lock()
                sealed = self._next_parcel(ring)
                collector.unlock()
                if sealed is None:
                    break
                self._log.append(sealed.definition, sealed.payload, sealed.readings)
                collector.lock()
                ring.release()
                collector.unlock()
                collector.durable += sealed.readings
                left -= sealed.readings
            self._record_losses(collector)
        except StoreError as e:
            if str(e) != self._store_error:
                self._port.log("error", "flash log: %s" % e)
            self._store_error = str(e)
            self._store_error_us = now_us
            collector.note_overwritten(self._port.ticks_us())
            return False
        self._store_error = None
        return True

    def _next_parcel(self, ring):
        """The ring's oldest readings, as many as the sector that is being written has room for."""
        tick, uptime = self._port.ticks_us(), self._port.uptime_us()
        room = self._log.room(ring.definition)
        if room < MAX_PARCEL:
            sealed = ring.seal(memoryview(self._scratch)[: max(room, 0)], tick, uptime)
            if sealed:
                return sealed
        return ring.seal(self._scratch, tick, uptime)

    def _record_losses(self, collector):
        """Write what the collector lost since the last drop records."""
        now, now_us = self._port.ticks_us(), self._port.uptime_us()
        diff = self._port.ticks_diff
        collector.note_overwritten(now)
        for loss in collector.losses:
            if loss.count:
                first, last = now_us - diff(now, loss.first), now_us - diff(now, loss.last)
                definition = collector.ring.definition
                self._log.append_drop(definition, loss.reason, loss.count, first, last)
                loss.count = 0

    def flush(self):
        """Seal everything, whatever its age. True when nothing is left in RAM."""
        done = True
        for c in self.collectors:
            done = self.seal(c) and done
        return done
