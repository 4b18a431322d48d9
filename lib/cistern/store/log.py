"""The flash log: append, read oldest unsent first, acknowledge, reclaim."""

import struct

from cistern.errors import StoreError
from cistern.store.cursor import Cursor
from cistern.store.layout import (
    ANCHOR,
    ASIDE,
    BOOT,
    COUNT_SIZE,
    DEFINITION,
    DROP,
    HEAD,
    LEAST,
    PAGE,
    SECTOR_HEAD,
    SENT,
    TOTALS,
    const,
    pack_record,
    pack_sector,
)
from cistern.store.losses import LOG_FULL, REASONS, Losses
from cistern.store.sectors import Sectors
from cistern.store.stats import Stats
from cistern.store.walk import Walk

AHEAD = const(2)  # erased sectors to keep ready
# 45 ms are typical for 4 KB (W25Q64JV datasheet); an erase is begun only where the budget has that left.
ERASE_US = const(45000)
_TRIES = const(4)
_MAX_DEFINITIONS = const(239)
_BOOT_SIZE = const(12)
# Below this room a sector is left rather than filled: a parcel's overhead of 16 bytes would be a third.
_MIN_ROOM = const(48)
_ANCHOR = "<IQQI"


class Log:
    """A log over a block device with MicroPython's extended protocol. Open one with Log.mount().

    log_id: 8 bytes, drawn when the log was initialised. boot: greater than that of everything in the log.
    """

    def __init__(self, device, urandom):
        self.device = device
        self.sector_size = device.ioctl(5, 0)
        self._walk = Walk(device, self.sector_size)
        self.sectors = sectors = Sectors(device, self._walk)
        self.forced_erases = 0
        self.unsent_readings = {}
        self.unsent_bytes = 0
        self._head = bytearray(HEAD + COUNT_SIZE)
        self._short_head = memoryview(self._head)[:HEAD]
        self.losses = Losses(self.sector_size // 64)
        self._anchors = None
        self._own_anchor = None
        self._block = -1
        self._at = self.sector_size
        self._definitions = {}
        self._booted = False  # whether the sector says that what follows is of this boot
        self._next = sectors.newest + 1
        self.log_id = sectors.log_id or urandom(8)
        self.boot = sectors.boot + 1
        self._resume()
        if not sectors.log_id:
            self._open()

    @staticmethod
    def mount(device, urandom):
        """Open the log on `device`, after whatever power cut; initialises a blank one.

        urandom(n) -> n random bytes. Raises StoreError where the device holds something else.
        """
        return Log(device, urandom)

    def _resume(self):
        """Take up the newest sector where it ends."""
        sectors, walk = self.sectors, self._walk
        while True:
            self.losses.totals = {}
            newest = max(sectors.sequence)
            if not newest:
                return
            block = sectors.find(newest)
            # Totals are at the start of the newest sector, or in the one before if that was cut short.
            older = [s for s in sectors.sequence if 0 < s < newest]
            if older:
                self._load(sectors.find(max(older)))
            self._totalled = False
            if self._load(block):
                break
            # Power may have gone while its header was written, which would then be weak.
            sectors.forget(block)
        self.boot = max(self.boot, walk.boot + 1)
        self._block = block
        self._seed = walk.seed
        if newest == sectors.newest and sectors.holds(block, newest):
            for number in walk.definitions:
                self._definitions[walk.definitions[number]] = number
            # Behind the last intact record there may be a torn one.
            end = self.sector_size
            while end > walk.next:
                start = max(walk.next, (end - 1) // PAGE * PAGE)
                if not walk.blank(block, start, end):
                    break
                end = start
            self._at = end
        self._count(block)

    def _load(self, block):
        walk = self._walk
        walk.enter(block)
        any_ = False
        while walk.step(self.sector_size):
            any_ = True
            if walk.kind == TOTALS:
                self._totalled = True
                victim = self.sectors.find(self.losses.load(walk.body()))
                # A power cut came between counting its readings as lost and giving it up.
                if victim >= 0 and self.sectors.holds(victim, self.sectors.sequence[victim]):
                    self.sectors.done(victim)
            elif walk.kind == DROP:
                number, code, count = struct.unpack_from("<BBI", walk.body())
                if number in walk.definitions:
                    self.losses.add(walk.definitions[number], code, count)
        return any_

    # What a cursor asks.

    def is_open(self, block):
        """Whether this is the sector being written."""
        return block == self._block

    def end_of(self, block):
        """The offset before which the records of a sector end."""
        return self._at if block == self._block else self.sector_size

    # Appending.

    def append(self, definition, payload, readings):
        """Make a parcel durable. Raises StoreError when that is impossible."""
        head = self._head
        for _ in range(_TRIES):
            number = self._prepare(definition, COUNT_SIZE + len(payload))
            head[HEAD] = readings & 255
            head[HEAD + 1] = readings >> 8
            if number >= 0 and self._write(number, head, payload):
                self.sectors.left[self._block] += 1
                self._note(definition, readings, len(payload))
                return
        self._give_up()

    def room(self, definition):
        """Bytes of payload that the sector being written takes, or the next one if that is nearly full.

        A parcel sealed into so many bytes leaves no space unused.
        """
        room = self.sector_size - self._start() - self._cost(definition) - HEAD - COUNT_SIZE
        if room < _MIN_ROOM:
            room = self.sector_size - SECTOR_HEAD - 2 * HEAD - 1 - len(definition) - COUNT_SIZE
        return room

    def append_anchor(self, uptime_us, utc_us, uncertainty_us):
        """At `uptime_us` of this boot it was `utc_us`, give or take `uncertainty_us`."""
        anchor = (uptime_us, utc_us, min(uncertainty_us, 0xFFFFFFFF))
        if self._anchors is not None:
            self._take_anchor(self.boot, anchor)
        if self._own_anchor is None or anchor[2] <= self._own_anchor[2]:
            self._own_anchor = anchor
        self._append(ANCHOR, None, struct.pack(_ANCHOR, self.boot, *anchor))

    def append_drop(self, definition, reason, count, first_uptime_us, last_uptime_us):
        """Count readings that are lost; reason: one of REASONS; the times: of the first and the last one."""
        code = REASONS.index(reason) if reason in REASONS else 0
        body = struct.pack("<BIQQ", code, count, max(first_uptime_us, 0), max(last_uptime_us, 0))
        self._append(DROP, definition, body)
        self.losses.add(definition, code, count)

    def _append(self, kind, definition, body):
        for _ in range(_TRIES):
            number = self._prepare(definition, 1 + len(body))
            named = body if definition is None else bytes((max(number, 0),)) + body
            if number >= 0 and self._write(kind, self._short_head, named):
                return
        self._give_up()

    def _give_up(self):
        raise StoreError(
            "%d sectors in turn could not be written: the flash is worn out or write-protected" % _TRIES
        )

    def _start(self):
        """Where the next record goes."""
        if self._booted:
            return self._at
        return (self._at // PAGE + 1) * PAGE + _BOOT_SIZE

    def _cost(self, definition):
        if definition is None or definition in self._definitions:
            return 0
        return HEAD + 1 + len(definition)

    def _prepare(self, definition, size):
        """Have room for a record of `size` bytes where the definition is known; its number, or -1 to try again."""
        if not self._booted and not self._begin():
            return -1
        size += HEAD
        cost = self._cost(definition)
        if self._at + cost + size > self.sector_size or (
            cost and len(self._definitions) > _MAX_DEFINITIONS
        ):
            self._open()
            if self._at + self._cost(definition) + size > self.sector_size:
                raise StoreError("a parcel of %d bytes does not fit a sector: seal fewer readings" % size)
        if definition is None:
            return 0
        if definition not in self._definitions:
            number = 1 + max(self._definitions.values()) if self._definitions else 0
            if not self._write(DEFINITION, self._short_head, bytes((number,)) + definition):
                return -1
            self._definitions[definition] = number
        return self._definitions[definition]

    def _begin(self):
        """Say in the sector that what follows is of this boot; False if that failed."""
        self._at = self._start() - _BOOT_SIZE
        if self._at + _BOOT_SIZE > self.sector_size:
            self._open()
            return True
        if not self._write(BOOT, self._short_head, struct.pack("<I", self.boot)):
            return False
        self._booted = True
        if self.losses.totals and not self._totalled:
            self._append(TOTALS, None, self.losses.pack(0))
        self._spare()
        return True

    def _write(self, kind, head, body):
        """Program a record and read it back; where that fails the sector is left, and the result False."""
        block, at, sectors = self._block, self._at, self.sectors
        pack_record(head, kind, body, self._seed)
        self._at = at + len(head) + len(body)
        if (
            sectors.program(block, head, at)
            and sectors.program(block, body, at + len(head))
            and self._walk.whole(block, self._seed, at, len(head) - HEAD + len(body))
        ):
            return True
        sectors.failed(block)
        self._at = self.sector_size
        return False

    def _open(self):
        """Begin the next sector."""
        sectors, old = self.sectors, self._block
        while True:
            b = sectors.erased(old)
            if b < 0:
                self.forced_erases += 1
                b = sectors.erasable(old)
                if b < 0:
                    raise StoreError("no sector can be erased: the flash is worn out or write-protected")
                if not sectors.erase(b):
                    continue
            sequence = self._next
            self._next += 1
            if (
                sectors.program(b, pack_sector(self.log_id, sequence, self.boot), 0)
                and self._walk.enter(b)
                and self._walk.sequence == sequence
            ):
                break
            sectors.failed(b)
        sectors.opened(b, sequence)
        self._block = b
        self._seed = self._walk.seed
        self._at = SECTOR_HEAD
        self._definitions = {}
        self._booted = True
        if self.losses.totals:
            self._write(TOTALS, self._short_head, self.losses.pack(0))
        if self._own_anchor:
            self._write(ANCHOR, self._short_head, struct.pack(_ANCHOR, self.boot, *self._own_anchor))
        if old >= 0:
            self._finish(old)
        self._spare()

    def _spare(self):
        """See that another sector can be begun after this one, by giving up the oldest if need be."""
        sectors, b = self.sectors, self._block
        oldest = sectors.after(0)
        if oldest != b and sectors.erased(b) < 0 and sectors.erasable(b) < 0:
            self._give_up_sector(oldest, LOG_FULL)

    def _give_up_sector(self, b, code):
        """Count what is unsent in a sector as lost, then forget the sector; a cut in between loses no count."""
        walk = self._walk
        self._count(b)
        if walk.enter(b):
            while walk.step(self.sector_size):
                if walk.kind < DEFINITION and walk.pending():
                    definition = walk.definitions[walk.kind]
                    self.losses.add(definition, code, walk.readings)
                    if walk.unsent():
                        self._note(definition, -walk.readings, COUNT_SIZE - walk.size)
        self._append(TOTALS, None, self.losses.pack(self.sectors.sequence[b]))
        self.sectors.done(b)

    # Reading and acknowledging.

    def unsent(self):
        """A cursor at the oldest parcel that is neither sent nor set aside."""
        return Cursor(self)

    def read(self, ref, buf):
        """The payload of a parcel, in `buf`; None if it is gone or no longer whole."""
        walk = self._walk
        if not self.sectors.holds(ref.block, ref.sector) or not walk.enter(ref.block):
            return None
        view = memoryview(buf)[: ref.size]
        return view if walk.load(ref.index, view) else None

    def mark_sent(self, ref):
        """The cloud has the parcel. False if the log has it no more."""
        return self._mark(ref, SENT)

    def set_aside(self, ref):
        """The cloud refuses the parcel for good: keep it while there is room, but never offer it again."""
        return self._mark(ref, ASIDE)

    def _mark(self, ref, state):
        b, sectors = ref.block, self.sectors
        if not sectors.holds(b, ref.sector):
            return False
        self._count(b)
        now = bytearray(1)
        self.device.readblocks(b, now, ref.index)
        # Even if it reads as marked: a power cut may have left the mark half made.
        sectors.program(b, bytes((state,)), ref.index)
        if now[0] & 0x0F and now[0] & 0xF0:
            self._note(ref.definition, -ref.readings, -ref.size)
            if state == SENT:
                sectors.left[b] = max(sectors.left[b] - 1, 0)
                if b != self._block:
                    self._finish(b)
        return True

    def _note(self, definition, readings, size):
        by = self.unsent_readings
        by[definition] = by.get(definition, 0) + readings
        self.unsent_bytes += size

    def _count(self, b):
        """Learn what an earlier boot left unsent in a sector."""
        if not self.sectors.counted(b):
            self.sectors.set_left(b, self._pending(b, self._note))

    def _pending(self, b, note=None):
        walk = self._walk
        # A header that cannot be read now keeps its sector: it may be read another time.
        left = 1
        if walk.enter(b):
            left = 0
            while walk.step(self.end_of(b)):
                if walk.kind < DEFINITION and walk.pending():
                    left += 1
                    if note and walk.unsent():
                        note(walk.definitions[walk.kind], walk.readings, walk.size - COUNT_SIZE)
        return left

    def _finish(self, b):
        """Let a sector go that is written no more and holds nothing unsent."""
        sectors = self.sectors
        if sectors.counted(b) and not sectors.left[b] and sectors.holds(b, sectors.sequence[b]):
            # Marks that a power cut left half made may have been counted twice.
            sectors.left[b] = self._pending(b)
            if not sectors.left[b]:
                sectors.done(b)

    # Maintenance.

    def maintain(self, budget_us, ticks_us):
        """Erase ahead and count, for about `budget_us`; True if there is more to do."""
        start = ticks_us()
        while self._work():
            if ((ticks_us() - start) & 0x3FFFFFFF) + ERASE_US > budget_us:
                return True
        return False

    def _work(self):
        sectors = self.sectors
        if sectors.ready(AHEAD) < AHEAD:
            b = sectors.erasable(self._block)
            if b >= 0:
                sectors.erase(b)
                return True
        b = sectors.uncounted()
        if b >= 0:
            self._count(b)
            if b != self._block:
                self._finish(b)
        return b >= 0

    def stats(self):
        """Figures of the log as it is now."""
        while True:
            b = self.sectors.uncounted()
            if b < 0:
                return Stats(self)
            self._count(b)

    # Time.

    def anchors(self):
        """{boot: (uptime_us, utc_us, uncertainty_us)}, the best one of each boot."""
        if self._anchors is None:
            self._anchors = {}
            walk = self._walk
            for b in range(self.sectors.count):
                if self.sectors.sequence[b] and walk.enter(b):
                    while walk.step(self.end_of(b)):
                        if walk.kind == ANCHOR:
                            anchor = struct.unpack(_ANCHOR, walk.body())
                            self._take_anchor(anchor[0], anchor[1:])
        return self._anchors

    def _take_anchor(self, boot, anchor):
        old = self._anchors.get(boot)
        if not old or anchor[2] <= old[2]:
            self._anchors[boot] = anchor
