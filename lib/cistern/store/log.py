"""The flash log: append, read oldest unsent first, acknowledge, reclaim."""

from struct import pack

from cistern.borrow import borrow
from cistern.store.cursor import Cursor
from cistern.store.state import REASONS, loss_key
from cistern.store.writer import Writer

const = int  # MicroPython's compiler knows const() by its name

_SECTOR_HEAD = const(32)
_HEAD = const(8)
_COUNT_SIZE = const(2)
_PAGE = const(256)
_BOOT_SIZE = const(12)
_SENT = const(0xF0)
_ANCHOR = const(0xF2)
_DROP = const(0xF3)
_FREE = const(0)
_ERASED = const(-1)

# Viam's disk_usage_deletion_threshold, in percent.
_THIN_AT = const(90)
_AHEAD = const(2)  # erased sectors to keep ready
# 45 ms are typical for 4 KB (W25Q64JV datasheet); an erase is begun only where the budget has that
# left.
_ERASE_US = const(45000)
_TRIES = const(4)
# Below this room a sector is left rather than filled: a parcel's overhead of 16 bytes would be a
# third.
_MIN_ROOM = const(48)


class Log(Writer):
    """A log over a block device with MicroPython's extended protocol. Open one with Log.mount().

    log_id: 8 bytes, drawn when the log was initialised. boot: greater than that of everything in
    the log. delete_every_nth: when the log is nearly full, every nth sector is thinned out of it;
    0 for never. tell: None, or called with (level, text) for what its owner should know.
    """

    delete_every_nth = 0
    tell = None

    @staticmethod
    def mount(device, urandom):
        """Open the log on `device`, after whatever power cut; initialises a blank one.

        urandom(n) -> n random bytes. Raises StoreError where the device holds something else.
        """
        info = getattr(device, "info", None)  # of esp32.Partition: (…, label, encrypted)
        if info and info()[5]:
            device = borrow("cistern.store.encrypted").EncryptedDevice(device)
        return borrow("cistern.store.mount").mount(Log(device), urandom)

    # Appending.

    def append(self, definition, payload, readings):
        """Make a parcel durable. Raises StoreError when that is impossible."""
        head = self._parcel_head
        for _ in range(_TRIES):
            number = self.prepare(definition, _COUNT_SIZE + len(payload))
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

    def append_anchor(self, uptime_us, utc_us, uncertainty_us, boot=None):
        """At `uptime_us` of this boot it was `utc_us`, give or take `uncertainty_us`. boot: an
        earlier one, of anchors().
        """
        boot = boot or self.boot
        self.state.anchor(boot, uptime_us, utc_us, min(uncertainty_us, 0xFFFFFFFF))
        self.append_record(_ANCHOR, pack("<IQQI", boot, *self.state.anchors[boot]))

    def anchors(self):
        """{boot: (uptime_us, utc_us, uncertainty_us)}, the best one of each boot that still
        matters, of the newest such boots.
        """
        return self.state.anchors

    def recall(self, boot):
        """Iterate over the steps of finding an older boot's anchor: what comes last is that
        anchor or None.
        """
        if not self.state.forgot(boot):
            return ()
        return borrow("cistern.store.recall").recall(self, boot)

    def append_drop(self, definition, reason, count, first_uptime_us, last_uptime_us):
        """Count readings that are lost; reason: one of REASONS; the times: of the first and the
        last one.
        """
        key = loss_key(definition, REASONS.index(reason) if reason in REASONS else 0)
        times = max(first_uptime_us, 0), max(last_uptime_us, 0)
        self.append_record(_DROP, pack("<IBIQQ", key[0], key[1], count, *times), definition)
        self.state.lose(key, count)

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
        """The cloud has the parcel. False if the log has neither it nor a count of its loss.

        Raises MemoryError where that can neither be written nor remembered until the next start.
        """
        return self.mark(ref, _SENT)

    def set_aside(self, ref):
        """The cloud refuses the parcel for good: it is counted as lost (refused), kept while there
        is room, and never offered again. False if the log has it no more.
        """
        return borrow("cistern.store.aside").set_aside(self, ref)

    def mark(self, ref, state):
        """Clear the bits of a parcel's state that `state` has cleared; see mark_sent()."""
        b = ref.block
        if self.sequence[b] != ref.sector:
            if state == _SENT and ref.sector in self.given_up:
                from cistern.store.full import arrived

                return arrived(self, ref)
            return False
        self.device.readblocks(b, self._head, ref.index)
        now = self._head[0] & self.marks.get(ref.sector << 12 | ref.index, 255)
        # Even if it reads as marked: a power cut may have left the mark half made.
        done = self.program(b, bytes((state,)), ref.index)
        self.device.readblocks(b, self._head, ref.index)
        if not done or self._head[0] & ~state:
            borrow("cistern.store.marks").remember(self, ref, state)
        if now & 0x0F and now & 0xF0:
            self._note(b, ref.definition, -ref.readings, -ref.size)
            if state != _SENT and self.census:
                self.census.put_aside(b, ref.readings)
        if state == _SENT:
            self.left[b] = max(self.left[b] - 1, 0)
            self._settle(b)
        return True

    def _note(self, block, definition, readings, size):
        if self.census:
            self.census.note(block, definition, readings, size)

    # Maintenance.

    def maintain(self, budget_us, ticks_us):
        """Erase ahead, thin, and count for stats(), for about `budget_us`; True if there is more
        to do.
        """
        start = ticks_us()
        while self._work():
            if (ticks_us() - start & 0x3FFFFFFF) + _ERASE_US > budget_us:
                return True
        return False

    def _work(self):
        erased = needed = 0
        for s in self.sequence:  # without a list of them, which would be a KB of heap
            if s > 0:
                needed += 1
            elif s == _ERASED:
                erased += 1
        b = self.ahead(_FREE)
        if b >= 0 and erased < _AHEAD:
            self.erase(b)
            return True
        full = self.victims or needed * 100 >= _THIN_AT * self.count
        if self.delete_every_nth and full:
            from cistern.store.full import thin

            thin(self)
            return True
        return bool(self.census) and self.census.look(1)

    def used(self):
        """Sectors that hold something needed."""
        used = 0
        for s in self.sequence:
            used += s > 0
        return used

    def stats(self, sectors=0xFFFF):
        """Figures of the log; to spread the work, what earlier boots left is counted `sectors` at
        a time, and from the first call on by maintain().
        """
        if not self.census:
            self.census = borrow("cistern.store.census").Census(self)
        return self.census.stats(sectors)
