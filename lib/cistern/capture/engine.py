"""The engine: serves collectors when they are due, and seals what they gathered into the log."""

import asyncio

from cistern.errors import StoreError

# A parcel must fit one sector beside its header and one definition: 4096 - 512 B for those.
MAX_PARCEL = 3584
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
        self._port = port
        self._log = log
        self._flush_us = flush_us
        self._scratch = bytearray(MAX_PARCEL)
        self._running = False
        self._store_error = None
        self._store_error_us = 0

    async def run(self):
        """Serve until stop(); the collectors' counts are the result."""
        ticks_us, diff = self._port.ticks_us, self._port.ticks_diff
        self._running = True
        while self._running:
            wait = MAX_SLEEP_US
            for c in self.collectors:
                left = diff(c.tick, ticks_us())
                if left <= 0:
                    c.serve()
                    left = diff(c.tick, ticks_us())
                wait = min(wait, left)
            if wait > 0:
                self._seal_due(wait)
                for c in self.collectors:
                    wait = min(wait, diff(c.tick, ticks_us()))
            # Under a millisecond left, other tasks get their turn but no sleep could be short
            # enough.
            await self._port.sleep_ms(max(0, wait // 1000))

    def stop(self):
        """No reading is taken after the turn that is under way."""
        self._running = False

    def _seal_due(self, room_us):
        now = self._port.ticks_us()
        for c in self.collectors:
            c.note_overwritten(now)
            oldest = c.ring.oldest_tick
            if oldest is None:
                continue
            age = self._port.ticks_diff(now, oldest)
            full = c.ring.used * SEAL_FILL > c.ring.size
            if (
                (age >= self._flush_us and room_us >= SEAL_ROOM_US)
                or age >= self._flush_us * 5 // 4
                or full
            ):
                self.seal(c)

    def seal(self, collector):
        """Make all that the collector holds durable. False when the log does not take it; it stays
        in RAM.
        """
        now_us = self._port.uptime_us()
        if self._store_error and now_us - self._store_error_us < STORE_RETRY_US:
            return False
        ring = collector.ring
        try:
            while True:
                sealed = ring.seal(self._scratch, self._port.ticks_us(), self._port.uptime_us())
                if sealed is None:
                    break
                self._log.append(sealed.definition, sealed.payload, sealed.readings)
                ring.release()
                collector.durable += sealed.readings
                self._record_losses(collector, sealed.definition)
        except StoreError as e:
            if str(e) != self._store_error:
                self._port.log("error", "flash log: %s" % e)
            self._store_error = str(e)
            self._store_error_us = now_us
            return False
        self._store_error = None
        return True

    def _record_losses(self, collector, definition):
        collector.note_overwritten(self._port.ticks_us())
        for loss in collector.losses:
            if loss.count:
                now, now_us = self._port.ticks_us(), self._port.uptime_us()
                self._log.append_drop(
                    definition,
                    loss.reason,
                    loss.count,
                    now_us - self._port.ticks_diff(now, loss.first),
                    now_us - self._port.ticks_diff(now, loss.last),
                )
                loss.count = 0

    def flush(self):
        """Seal everything, whatever its age. True when nothing is left in RAM."""
        done = True
        for c in self.collectors:
            done = self.seal(c) and done
        return done


async def keep_erased(log, port, budget_us, interval_ms):
    """Reclaim sectors and erase ahead for ever, a budget at a time."""
    while True:
        while log.maintain(budget_us, port.ticks_us):
            await asyncio.sleep(0)
        await port.sleep_ms(interval_ms)
