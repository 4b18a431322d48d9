"""The engine: serves collectors when they are due, seals what they gathered into the log, and has
the log erase ahead where nothing is due.
"""

from cistern.capture.collector import REASONS
from cistern.errors import StoreError
from cistern.record import MAX_READING

const = int  # MicroPython's compiler knows const() by its name

# A second of 100 Hz with 12 bytes a reading, and more than one reading may take. The log adds 15
# bytes to it, and both the engine and the uploader hold one.
MAX_PARCEL = 1280
# From 100 Hz on a timer serves a collector, where the port has one and the source allows it:
# waking a task for each reading (125 µs on the chip) would cost over a percent of the CPU, and the
# task comes after whatever runs. Or the source does, by blocks.
FAST_US = 10000
# Where half a period is less than this, the chip's sleep is too coarse: it ends up to 10 ms late.
_NAP_US = const(20000)
# Longest time asleep: what is to be sealed or stopped waits at most this long.
_MAX_SLEEP_US = const(50000)
# Sealing takes 3 ms, and 4 µs of flash and checks for each byte; do it where the next deadline
# leaves room, a part of a KB at least, or when it is overdue.
_SEAL_ROOM_US = const(4000)
_SEAL_US = const(3000)
# What others do in one step, such as a frame of an upload, takes 2 to 7 ms.
_QUIET_US = const(5000)
_QUIET_TRIES = const(20)
# One erase takes 45 ms (W25Q64JV datasheet). Whether one is to be done is asked four times a
# second; it waits up to a second for room, since two sectors are erased ahead.
_ERASE_ROOM_US = const(50000)
_ERASE_EVERY_US = const(250000)
_ERASE_PATIENCE_US = const(1000000)
# A log that is full or broken is tried again after this time, not in every turn.
_STORE_RETRY_US = const(1000000)
# Looking at every ring takes 80 µs each: not in every turn.
_LOOK_EVERY_US = const(20000)
# So many turns others have after a collector was served; sources that wait begin in tasks of their
# own.
_PAUSE = const(4)
_SETTLE_MS = const(10)
_SETTLE_TRIES = const(100)
# Streams that left whose counts are kept: configurations may come for ever.
_MOST_PAST = const(32)
# See collector.py.
_RING_FULL = const(16)
_FLASH_FULL = const(20)
_TICKS = const(0x3FFFFFFF)
_MANY = const(0x3FFFFFFF)
_FAR = const(0x10000000)


class Engine:
    """Runs collectors over one log.

    flush_us: age at which the oldest reading in RAM is made durable. alive: set in each turn.
    running: cleared it ends run(), which may be called again. scratch: what rings share (Ring).
    parcel: a buffer for one, whose content nobody keeps.
    past: {name: counts} of the collectors that left, as Collector.counts() has them.
    memory: makes a bytearray of a size.
    """

    alive = False

    def __init__(self, port, log, flush_us=1000000, memory=bytearray):
        self.collectors = []
        self.flush_us = flush_us
        self._polled = []
        self._leaving = []
        self.past = {}
        self._nap = self._doze
        self._tries = _QUIET_TRIES
        self._port = port
        self._log = log
        self.parcel = memory(MAX_PARCEL)
        self.scratch = memoryview(memory(MAX_READING + 16))
        self.running = self._started = False
        self._settle = None
        self._look_at = self._erase_at = self._next = port.ticks_us()
        self._store_error = None
        self._store_error_us = 0

    def add(self, collector, timed=False):
        """Serve one more collector; timed: a timer does, only its ring is the engine's."""
        self.collectors.append(collector)
        if not timed:
            self._polled.append(collector)
            if collector.half < _QUIET_US:
                self._tries = 1  # it leaves no gap to wait for
            if collector.half < _NAP_US and hasattr(self._port, "nap_us"):
                self._nap = self._port.nap_us

    def _doze(self, us):
        return self._port.sleep_ms(us // 1000)

    def remove(self, collector):
        """Serve a collector no more; what it holds is made durable as soon as the log takes it."""
        collector.stop()
        collector.entry = None
        if collector in self._polled:
            self._polled.remove(collector)
        self._leaving.append(collector)
        self._left(self.seal(collector), collector)

    def _left(self, sealed, collector):
        # Not borrowed: want of memory must not end run().
        if sealed and collector in self._leaving and not collector.ring.readings:
            self._leaving.remove(collector)
            self.collectors.remove(collector)
            past = self.past.get(collector.name)
            if past or len(self.past) < _MOST_PAST:
                past = past or [0] * 11
                self.past[collector.name] = [n + past[i] for i, n in enumerate(collector.counts())]
            spare = getattr(self._port, "spare", None)
            if spare:
                spare.give(collector.ring.buffer)

    async def run(self):
        """Serve until stop(); the collectors' counts are the result."""
        ticks_us, diff = self._port.ticks_us, self._port.ticks_diff
        if not self._started:
            # What was loaded since they were made is no reason to miss their first deadlines.
            self._started = True
            now = ticks_us()
            for c in self._polled:
                c.start(now)
        self.running = True
        pause = 0
        while self.running:
            self.alive = True
            soonest = ticks_us() + _FAR & _TICKS
            for c in self._polled:
                tick = c.tick
                if diff(tick, ticks_us()) <= 0:
                    c.serve()
                    pause = _PAUSE if c.waits else pause or 1
                    tick = c.tick
                if diff(tick, soonest) < 0:
                    soonest = tick
            self._next = soonest
            now = ticks_us()
            room = diff(soonest, now)
            look = diff(now, self._look_at)
            if pause and look < _LOOK_EVERY_US:
                pause -= 1
                soonest = now
            elif (
                room >= _ERASE_ROOM_US
                or (room >= _SEAL_ROOM_US and look >= 0)
                or look >= _LOOK_EVERY_US
            ):
                if self._seal_due(room) or self._erase_due(room):
                    soonest = now
                else:
                    self._look_at = now + _LOOK_EVERY_US & _TICKS
            # Under a millisecond left, other tasks get their turn but no sleep is short enough.
            room = diff(soonest, ticks_us())
            await self._nap(max(0, min(room, _MAX_SLEEP_US)))

    async def quiet(self):
        """Let others run, and return where nothing is due for a while, if that comes soon."""
        port = self._port
        tries = self._tries
        left = 0
        while tries and left < _QUIET_US:
            tries -= 1
            await port.sleep_ms((max(left, 0) + 999) // 1000)
            left = port.ticks_diff(self._next, port.ticks_us()) if self.running else _FAR

    def stop(self):
        """No reading is taken after the turn that is under way."""
        self.running = False
        for c in self.collectors:
            c.stop()

    async def settle(self):
        """Wait until all readings taken by now are durable, a second at most."""
        self._settle = self._port.ticks_us()
        tries = _SETTLE_TRIES
        while self.running and self._settle is not None and tries:
            tries -= 1
            await self._port.sleep_ms(_SETTLE_MS)

    def _seal_due(self, room):
        """Seal at most one parcel, so that the next deadline is looked at in between."""
        now = self._port.ticks_us()
        diff = self._port.ticks_diff
        age_us = self.flush_us
        quarters = 2
        if room < _SEAL_ROOM_US:
            # A quarter past its age, or three quarters full, a ring is written even where a
            # deadline will have to wait.
            age_us = age_us * 5 // 4
            quarters = 3
        elif self._settle is not None:
            age_us = min(age_us, diff(now, self._settle))
        for c in self.collectors:
            if c not in self._leaving:  # else its timer is another's by now
                c.revive(now)
            self.note_overwritten(c)
            ring = c.ring
            due = c in self._leaving or ring.used * 4 > ring.size * quarters
            parcels = 1
            tick = ring.oldest_tick
            if tick is not None:
                age = diff(now, tick)
                # Where the log took nothing for nine minutes, ticks make the age look negative.
                due = due or age >= age_us or age < 0
            if not due:
                # What was lost is written in a step of its own, which takes as long as a parcel.
                parcels = -1
                i = 0
                while i < 24 and not due:
                    due = c.lost[i] and not 0 <= diff(now, c.lost[i + 1]) < age_us
                    i += 4
            if due:
                sealed = self.seal(c, parcels, max(room - _SEAL_US, 2000) // 4)
                self._left(sealed, c)
                if sealed:
                    return True
        if room >= _SEAL_ROOM_US:
            self._settle = None
        return False

    def _erase_due(self, room):
        now = self._port.ticks_us()
        late = self._port.ticks_diff(now, self._erase_at)
        if late < 0 or (room < _ERASE_ROOM_US and late < _ERASE_PATIENCE_US):
            return False
        more = self._log.maintain(_ERASE_ROOM_US, self._port.ticks_us)
        self._erase_at = now + (0 if more else _ERASE_EVERY_US) & _TICKS
        return more

    def note_overwritten(self, c):
        """Take over what the ring has overwritten since the last call."""
        if c.ring.overwritten:
            c.lock()
            count = c.ring.overwritten
            c.ring.overwritten = 0
            c.unlock()
            c.lose(_FLASH_FULL if self._store_error else _RING_FULL, self._port.ticks_us(), count)

    def seal(self, collector, parcels=_MANY, size=MAX_PARCEL):
        """Make what the collector holds durable, and then what it lost. False: the log took not
        all that it should.

        parcels: at most so many, of about `size` bytes at most; where that many are written, the
        losses wait for another time. -1: only the losses.
        """
        port, log, ring = self._port, self._log, collector.ring
        now_us = port.uptime_us()
        if self._store_error and now_us - self._store_error_us < _STORE_RETRY_US:
            return False
        try:
            # What is captured meanwhile waits for the next time, or this might never end.
            left = ring.readings
            while left > 0 and parcels > 0:
                parcels -= 1
                collector.lock()
                sealed = self._next_parcel(ring, size)
                collector.unlock()
                if sealed is None:
                    break
                log.append(sealed.definition, sealed.payload, sealed.readings)
                collector.lock()
                ring.release()
                collector.unlock()
                collector.durable += sealed.readings
                left -= sealed.readings
            self.note_overwritten(collector)
            now, now_us = port.ticks_us(), port.uptime_us()
            lost = collector.lost
            i = 0
            for reason in REASONS:
                count = lost[i]
                if count and parcels:
                    times = [now_us - max(port.ticks_diff(now, lost[i + k]), 0) for k in (1, 2)]
                    log.append_drop(ring.definition, reason, count, *times)
                    lost[i] -= count
                i += 4
            self._store_error = None
            return True
        except StoreError as e:
            if str(e) != self._store_error:
                port.log("error", "flash log: %s" % e)
            self._store_error = str(e)
            self._store_error_us = now_us
            self.note_overwritten(collector)
            return False

    def _next_parcel(self, ring, size):
        """The ring's oldest readings, as many as the sector that is being written has room for."""
        tick, uptime = self._port.ticks_us(), self._port.uptime_us()
        room = min(self._log.room(ring.definition), size)
        sealed = None
        if 0 < room < MAX_PARCEL:
            sealed = ring.seal(memoryview(self.parcel)[:room], tick, uptime)
        return sealed or ring.seal(self.parcel, tick, uptime)

    def flush(self):
        """Seal everything, whatever its age. True when nothing is left in RAM."""
        done = True
        for c in self.collectors:
            done = self.seal(c) and done
        return done
