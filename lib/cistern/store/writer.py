"""Where the log writes: records into a sector, one sector after the other."""

from array import array
from struct import pack

from cistern.borrow import borrow
from cistern.errors import StoreError
from cistern.store.sector import MAGIC, Walk, seal_record, sector_head

const = int  # MicroPython's compiler knows const() by its name

_SECTOR_HEAD = const(32)
_DONE_AT = const(24)
_HEAD = const(8)
_COUNT_SIZE = const(2)
_PAGE = const(256)
_DEFINITION = const(0xF0)
_BOOT = const(0xF1)
_STATE = const(0xF4)

# What `sequence` has for sectors that hold nothing needed.
_FREE = const(0)  # to be erased
_ERASED = const(-1)
_BAD = const(-2)  # failed in this boot

_TRIES = const(4)
_BOOT_SIZE = const(12)
_MAX_DEFINITIONS = const(239)


class Writer:
    """The sectors of a device, of which one is being written.

    sequence: of the sectors by block, or one of the above. left: parcels not sent in each, 0 also
    where that is not known. block, at: the sector being written and the offset of its next record.
    given_up: {sequence: code of the reason} of the sectors given up last. lost_of: definitions of
    readings that were given up or refused in this boot, the first of many.
    marks: {sequence << 12 | offset: state} of parcels whose state the device does not take.
    victims: sequences of the sectors that are to be thinned out, the next one last.
    recalled: {boot: anchor or None} of some that the state has forgotten.
    mount() sets log_id, boot, state, next (the sequence given last), seed and stated.
    """

    def __init__(self, device):
        self.device = device
        self.marks = {}
        self.walk = Walk(device, self.marks, {})
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
        self.given_up = {}
        self.lost_of = set()
        self.recalled = {}
        self.victims = ()
        self._head = bytearray(_HEAD)
        self._parcel_head = bytearray(_HEAD + _COUNT_SIZE)

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

    def append_record(self, kind, body, definition=None):
        """Make a record durable that is no parcel."""
        for _ in range(_TRIES):
            if self.append_once(kind, body, definition):
                return
        self._give_up()

    def append_once(self, kind, body, definition=None):
        """Try to: False if the sector failed."""
        return self.prepare(definition, len(body)) >= 0 and self._write(kind, self._head, body)

    def _give_up(self):
        raise StoreError("the flash cannot be written: it is worn out or write-protected")

    def _cost(self, definition):
        if definition is None or definition in self.definitions:
            return 0
        return self._padded(_HEAD + 1 + len(definition))

    def _padded(self, size):
        return size + self.walk.mask & ~self.walk.mask

    def prepare(self, definition, size):
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
            shared = self.walk.known
            if len(shared) > _MAX_DEFINITIONS:
                shared.clear()
            shared[definition] = definition
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
                from cistern.store.full import append_state

                append_state(self)
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
        view = memoryview(data)
        try:
            # Page by page: between two calls, which stop everything, timers have their turn.
            while view:
                n = len(view) if self.walk.mask else _PAGE - at % _PAGE
                self.device.writeblocks(block, view[:n], at)
                view = view[n:]
                at += n
        except OSError:
            return False
        return True

    def _open(self):
        """Begin the next sector."""
        old = self.block
        left = self.count  # sectors that are erased and fail all the same are tried again
        while True:
            b = self.ahead(_ERASED)
            if b < 0:
                self.forced_erases += 1
                b = self.ahead(_FREE)
                if b < 0:
                    # Power was cut again and again while the oldest sector was given up: it goes
                    # now.
                    self._spare(False)
                    b = max(self.ahead(_ERASED), self.ahead(_FREE))
                if b < 0 or left < 0:
                    self._give_up()
                left -= 1
                if self.sequence[b] != _ERASED and not self.erase(b):
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

    def erase(self, b):
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
        if self.marks:
            borrow("cistern.store.marks").forget(self, self.sequence[b])
        self.sequence[b] = _FREE
        self.program(b, b"\0", _DONE_AT)
