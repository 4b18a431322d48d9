"""The flash log: append, read oldest unsent first, acknowledge, reclaim."""

from array import array
from struct import pack

from cistern.errors import StoreError
from cistern.store.sector import MAGIC, Walk, seal_record, sector_head
from cistern.store.state import REASONS, loss_key

const = int  # MicroPython's compiler knows const() by its name

_SECTOR_HEAD = const(32)
_DONE_AT = const(24)
_HEAD = const(8)
_COUNT_SIZE = const(2)
_PAGE = const(256)
_SENT = const(0xF0)
_ASIDE = const(0x0F)
_DEFINITION = const(0xF0)
_BOOT = const(0xF1)
_ANCHOR = const(0xF2)
_DROP = const(0xF3)
_STATE = const(0xF4)

# What `sequence` has for sectors that hold nothing needed.
_FREE = const(0)  # to be erased
_ERASED = const(-1)
_BAD = const(-2)  # failed in this boot

_AHEAD = const(2)  # erased sectors to keep ready
# 45 ms are typical for 4 KB (W25Q64JV datasheet); an erase is begun only where the budget has that
# left.
_ERASE_US = const(45000)
_TRIES = const(4)
_BOOT_SIZE = const(12)
_MAX_DEFINITIONS = const(239)
# Below this room a sector is left rather than filled: a parcel's overhead of 16 bytes would be a
# third.
_MIN_ROOM = const(48)


class Ref:
    """A parcel in the log. sector and index are its name for ever, whatever becomes of the parcel.

    definition: bytes; boot: the one it was written in; readings: how many; size: bytes of its
    payload.
    """

    def __init__(self, walk):
        self.sector = walk.sequence
        self.index = walk.at
        self.block = walk.block
        self.definition = walk.definitions[walk.kind]
        self.boot = walk.boot
        self.readings = walk.readings
        self.size = walk.size - _COUNT_SIZE


class Cursor:
    """Goes once over the unsent parcels of a log that may grow, lose sectors and be marked
    meanwhile.
    """

    def __init__(self, log):
        self._log = log
        self._walk = Walk(log.device)
        self._sequence = 0  # of the sector it is in, or was

    def next(self, definition=None):
        """The Ref of the next unsent parcel, or None; with `definition`, the next one that has it.

        After None, calling again finds what was appended since. What it passes over, another
        cursor finds.
        """
        log, walk = self._log, self._walk
        while True:
            if self._sequence and log.sequence[walk.block] == self._sequence:
                while walk.step(log.end_of(walk.block)):
                    if (
                        walk.kind < _DEFINITION
                        and walk.unsent()
                        and definition in (None, walk.definitions[walk.kind])
                    ):
                        return Ref(walk)
                if walk.block == log.block:
                    return None
            block = log.after(self._sequence)
            if block < 0:
                return None
            self._sequence = log.sequence[block]
            if not walk.enter(block):
                walk.next = log.sector_size


class Log:
    """A log over a block device with MicroPython's extended protocol. Open one with Log.mount().

    log_id: 8 bytes, drawn when the log was initialised. boot: greater than that of everything in
    the log. delete_every_nth: when the log is nearly full, every nth sector is thinned out of it;
    0 for never.
    """

    delete_every_nth = 0

    def __init__(self, device):
        self.device = device
        self.walk = Walk(device)
        self.sector_size = self.walk.sector_size
        self.count = n = device.ioctl(4, 0)
        self.sequence = array("i", [_FREE] * n)
        # Parcels not sent, by sector; 0 also where that is not known.
        self.left = array("H", [0] * n)
        self.census = None
        self.erases = self.forced_erases = self.failures = self.programmed = 0
        # The sector being written, where its next record goes, and what it knows.
        self.block = -1
        self.at = self.sector_size
        self.definitions = {}
        self.booted = False
        self._head = bytearray(_HEAD)
        self._parcel_head = bytearray(_HEAD + _COUNT_SIZE)

    @staticmethod
    def mount(device, urandom):
        """Open the log on `device`, after whatever power cut; initialises a blank one.

        urandom(n) -> n random bytes. Raises StoreError where the device holds something else.
        """
        info = getattr(device, "info", None)  # of esp32.Partition: (…, label, encrypted)
        if info and info()[5]:
            from cistern.store.encrypted import EncryptedDevice

            device = EncryptedDevice(device)
        from cistern.store.mount import mount

        return mount(Log(device), urandom)

    def end_of(self, block):
        """The offset before which the records of a sector end."""
        return self.at if block == self.block else self.sector_size

    def after(self, sequence):
        """The block of the oldest needed sector that is newer than `sequence`; -1 if there is
        none.
        """
        best = block = -1
        for b in range(self.count):
            s = self.sequence[b]
            if s > sequence and (best < 0 or s < best):
                best = s
                block = b
        return block

    # Appending.

    def append(self, definition, payload, readings):
        """Make a parcel durable. Raises StoreError when that is impossible."""
        head = self._parcel_head
        for _ in range(_TRIES):
            number = self._prepare(definition, _COUNT_SIZE + len(payload))
            head[_HEAD] = readings & 255
            head[_HEAD + 1] = readings >> 8
            if number >= 0 and self._write(number, head, payload):
                self.left[self.block] += 1
                self._note(self.block, definition, readings, len(payload))
                return
        self._give_up()

    def room(self, definition):
        """Bytes of payload that the sector being written takes, or the next one if that is nearly
        full.

        A parcel sealed into so many bytes leaves no space unused.
        """
        room = self.sector_size - self.at - self._cost(definition)
        if not self.booted:
            room -= _HEAD + _COUNT_SIZE + _PAGE + _BOOT_SIZE
        if room < _MIN_ROOM:
            room = self.sector_size - _SECTOR_HEAD - _HEAD - len(self.state.pack(0))
            room -= self._padded(_HEAD + 1 + len(definition)) + self.walk.mask
        return room - self.walk.mask - _HEAD - _COUNT_SIZE

    def append_anchor(self, uptime_us, utc_us, uncertainty_us):
        """At `uptime_us` of this boot it was `utc_us`, give or take `uncertainty_us`."""
        self.state.anchor(self.boot, uptime_us, utc_us, min(uncertainty_us, 0xFFFFFFFF))
        self.append_record(_ANCHOR, pack("<IQQI", self.boot, *self.state.anchors[self.boot]))

    def anchors(self):
        """{boot: (uptime_us, utc_us, uncertainty_us)}, the best one of each boot that still
        matters.
        """
        return self.state.anchors

    def append_drop(self, definition, reason, count, first_uptime_us, last_uptime_us):
        """Count readings that are lost; reason: one of REASONS; the times: of the first and the
        last one.
        """
        key = loss_key(definition, REASONS.index(reason) if reason in REASONS else 0)
        times = max(first_uptime_us, 0), max(last_uptime_us, 0)
        self.append_record(_DROP, pack("<IBIQQ", key[0], key[1], count, *times), definition)
        self.state.lose(key, count)

    def append_record(self, kind, body, definition=None):
        """Make a record durable that is no parcel."""
        for _ in range(_TRIES):
            if self._prepare(definition, len(body)) >= 0 and self._write(kind, self._head, body):
                return
        self._give_up()

    def _give_up(self):
        raise StoreError("the flash cannot be written: it is worn out or write-protected")

    def _cost(self, definition):
        if definition is None or definition in self.definitions:
            return 0
        return self._padded(_HEAD + 1 + len(definition))

    def _padded(self, size):
        return size + self.walk.mask & ~self.walk.mask

    def _prepare(self, definition, size):
        """Have room for a record of `size` bytes where the definition is known; its number, or -1
        to try again.
        """
        if not self.booted and not self._begin():
            return -1
        size = self._padded(size + _HEAD)
        known = self.definitions
        if (
            self.at + self._cost(definition) + size > self.sector_size
            or len(known) > _MAX_DEFINITIONS
        ):
            self._open()
            known = self.definitions
            if self.at + self._cost(definition) + size > self.sector_size:
                raise StoreError(
                    "a parcel of %d bytes does not fit a sector: seal fewer readings" % size
                )
        if definition is None:
            return 0
        if definition not in known:
            number = 1 + max(known.values()) if known else 0
            if not self._write(_DEFINITION, self._head, bytes((number,)) + definition):
                return -1
            known[definition] = number
        return known[definition]

    def _begin(self):
        """Say in the sector that what follows is of this boot; False if that failed."""
        # Power may have been cut in the page of the next record's head, and left no other trace.
        self.at = ((self.at + _HEAD + _COUNT_SIZE) // _PAGE + 1) * _PAGE
        if self.at + _BOOT_SIZE > self.sector_size:
            self._open()
            return True
        if self.walk.enter(self.block) and self._write(_BOOT, self._head, pack("<I", self.boot)):
            self.booted = True
            if not self.stated:
                self.append_record(_STATE, self.state.pack(0))
            self._spare()
        return self.booted

    def _write(self, kind, head, body):
        """Program a record and read it back; where that fails the sector is left, and the result
        False.
        """
        block, at, walk = self.block, self.at, self.walk
        walk.block = block
        walk.seed = self.seed
        seal_record(head, kind, body, self.seed)
        self.at = at + self._padded(len(head) + len(body))
        if (
            self.program(block, head, at)
            and self.program(block, body, at + len(head))
            and walk.whole(at, len(head) - _HEAD + len(body))
        ):
            return True
        self.failures += 1
        self.at = self.sector_size
        return False

    def program(self, block, data, at):
        """Program; False if the device says that it failed."""
        self.programmed += len(data)
        try:
            self.device.writeblocks(block, data, at)
        except OSError:
            return False
        return True

    def _open(self):
        """Begin the next sector."""
        old = self.block
        while True:
            b = self.ahead(_ERASED)
            if b < 0:
                self.forced_erases += 1
                b = self.ahead(_FREE)
                if b < 0:
                    # Power was cut again and again while the oldest sector was given up: it goes
                    # now.
                    self._spare(False)
                    b = self.ahead(_FREE)
                if b < 0:
                    self._give_up()
                if not self._erase(b):
                    continue
            self.next += 1
            if (
                self.program(b, sector_head(self.log_id, self.next, self.boot), 0)
                and self.walk.enter(b)
                and self.walk.sequence == self.next
            ):
                break
            self.failures += 1
            self.sequence[b] = _BAD
        self.sequence[b] = self.next
        self.left[b] = 0
        self.block = b
        self.at = _SECTOR_HEAD
        self.seed = self.walk.seed
        self.definitions = {}
        self.booted = self.stated = True
        if self.census:
            self.census.opened(b)
        # Anchors of boots that left nothing unsent are not needed any more.
        anchors = self.state.anchors
        if self.walk.enter(self.after(0)):
            for boot in [k for k in anchors if k < self.walk.boot]:
                del anchors[boot]
        if anchors or self.state.losses:
            self._write(_STATE, self._head, self.state.pack(0))
        self._settle(old)
        self._spare()

    def ahead(self, what):
        """The next block after the one being written whose `sequence` is `what`; -1 if there is
        none.
        """
        for i in range(1, self.count + 1):
            b = (self.block + i) % self.count
            if self.sequence[b] == what:
                return b
        return -1

    def _spare(self, record=True):
        """See that another sector can be begun after this one: give up the oldest if need be."""
        if self.ahead(_ERASED) < 0 and self.ahead(_FREE) < 0:
            from cistern.store.full import give_up_oldest

            give_up_oldest(self, record)

    def _erase(self, b):
        """Erase and mark as erased; False if that failed."""
        self.erases += 1
        self.sequence[b] = _BAD
        try:
            if not self.device.ioctl(6, b) and self.walk.blank(b, 0, self.sector_size):
                # Without this mark the next boot could not trust that the erase was complete.
                self.program(b, MAGIC, 0)
                self.device.readblocks(b, self._head, 0)
                if self._head == MAGIC + b"\xff\xff\xff\xff":
                    self.sequence[b] = _ERASED
                    return True
        except OSError:
            pass
        self.failures += 1
        return False

    # Reading and acknowledging.

    def unsent(self):
        """A cursor at the oldest parcel that is neither sent nor set aside."""
        return Cursor(self)

    def read(self, ref, buf):
        """The payload of a parcel, in `buf`; None if it is gone or no longer whole."""
        if self.sequence[ref.block] != ref.sector or not self.walk.enter(ref.block):
            return None
        view = memoryview(buf)[: ref.size]
        return view if self.walk.load(ref.index, view) else None

    def mark_sent(self, ref):
        """The cloud has the parcel. False if the log has it no more."""
        return self._mark(ref, _SENT)

    def set_aside(self, ref):
        """The cloud refuses the parcel for good: keep it while there is room, but never offer it
        again.
        """
        return self._mark(ref, _ASIDE)

    def _mark(self, ref, state):
        b = ref.block
        if self.sequence[b] != ref.sector:
            return False
        self.device.readblocks(b, self._head, ref.index)
        now = self._head[0]
        # Even if it reads as marked: a power cut may have left the mark half made.
        self.program(b, bytes((state,)), ref.index)
        if now & 0x0F and now & 0xF0:
            self._note(b, ref.definition, -ref.readings, -ref.size)
            if state == _ASIDE and self.census:
                self.census.put_aside(b, ref.readings)
        if state == _SENT:
            self.left[b] = max(self.left[b] - 1, 0)
            self._settle(b)
        return True

    def _note(self, block, definition, readings, size):
        if self.census:
            self.census.note(block, definition, readings, size)

    def _settle(self, b):
        """Let a sector go that is written no more and holds nothing unsent."""
        walk = self.walk
        # The count may be off after a power cut, so when it says none, look.
        idle = 0 <= b != self.block and self.sequence[b] > 0
        if idle and not self.left[b] and walk.enter(b):
            while walk.step(self.sector_size):
                if walk.kind < _DEFINITION and walk.pending():
                    self.left[b] += 1
            if not self.left[b]:
                self.done(b)

    def done(self, b):
        """Nothing in a sector is needed any more."""
        self.sequence[b] = _FREE
        self.program(b, b"\0", _DONE_AT)

    # Maintenance.

    def maintain(self, budget_us, ticks_us):
        """Erase ahead, for about `budget_us`; True if there is more to do."""
        start = ticks_us()
        while self._work():
            if (ticks_us() - start & 0x3FFFFFFF) + _ERASE_US > budget_us:
                return True
        return False

    def _work(self):
        b = self.ahead(_FREE)
        if b >= 0 and sum([s == _ERASED for s in self.sequence]) < _AHEAD:
            self._erase(b)
            return True
        if self.delete_every_nth:
            from cistern.store.full import thin

            return thin(self)
        return False

    def stats(self, sectors=0xFFFF):
        """Figures of the log; to spread the work, those left by earlier boots are counted
        `sectors` at a time.
        """
        if not self.census:
            from cistern.store.census import Census

            self.census = Census(self)
        return self.census.stats(sectors)
