"""The table of sectors: which holds what, which can be erased, which comes next."""

import array

from cistern.errors import StoreError
from cistern.store.layout import DONE_AT, HEAD, MAGIC, SECTOR_HEAD, const, read_sector

_ERASED = const(1)  # can be written as it is
_DONE = const(2)  # nothing in it is needed any more
_BAD = const(4)  # failed in this boot: not used again before the next one
_COUNTED = const(8)  # `left` is right

# One to write, one erased ahead, one to give up, one for a sector that goes bad.
MIN_SECTORS = const(4)


class Sectors:
    """sequence: of the log's sectors by block, 0 where there is none; left: parcels not yet sent, where counted.

    newest, boot: the greatest found when mounting. log_id: None on a blank device.
    """

    def __init__(self, device, walk):
        self.device = device
        self.walk = walk
        self.count = n = device.ioctl(4, 0)
        if n < MIN_SECTORS:
            raise StoreError("the log needs %d sectors at least; its partition has %d" % (MIN_SECTORS, n))
        self.sequence = array.array("I", [0] * n)
        self.left = array.array("H", [0] * n)
        self.flags = bytearray(n)
        self.log_id = None
        self.newest = self.boot = 0
        self.erases = self.failures = self.programmed = 0
        self._scan()

    def _scan(self):
        head = bytearray(SECTOR_HEAD + HEAD)
        blank = b"\xff" * len(head)
        marked = MAGIC + blank[len(MAGIC) :]
        used = -1
        for b in range(self.count):
            self.device.readblocks(b, head, 0)
            if head == blank:
                continue
            used = b
            found = read_sector(head)
            if found:
                self._found(b, found, head)
            elif head == marked:
                self.flags[b] = _ERASED
        if not self.log_id:
            self._check_ours()
        # In the first lap nothing was ever erased, and what lies ahead was never written.
        if self.newest < self.count:
            for b in range(used + 1, self.count):
                self.flags[b] = _ERASED

    def _found(self, b, found, head):
        log_id, sequence, boot, _ = found
        if self.log_id and self.log_id != log_id:
            raise StoreError("the partition has sectors of two logs: erase it to start a new one")
        self.log_id = log_id
        self.newest = max(self.newest, sequence)
        self.boot = max(self.boot, boot)
        # A sector without a record may have a header that a power cut left weak; it is not used.
        if head[SECTOR_HEAD:] != b"\xff" * HEAD:
            self.sequence[b] = sequence
            if not head[DONE_AT]:
                self.flags[b] = _DONE

    def _check_ours(self):
        """Refuse what is neither blank nor begins as our sectors do."""
        walk, size = self.walk, self.walk.sector_size
        start = bytearray(4)
        for b in range(self.count):
            self.device.readblocks(b, start, 0)
            # A first header that was cut short leaves the rest of its sector blank.
            torn = all([start[i] & MAGIC[i] == MAGIC[i] for i in range(4)])
            if start == MAGIC or walk.blank(b, SECTOR_HEAD if torn else 0, size):
                continue
            if start[:3] == MAGIC[:3]:
                raise StoreError(
                    "the log has format %d and this firmware writes %d: update the firmware, or erase the partition"
                    % (start[3], MAGIC[3])
                )
            raise StoreError(
                "sector %d of the partition holds something that is no Cistern log: "
                "erase the partition if that can go, or give the log another one" % b
            )

    def program(self, block, data, at):
        """Program; False if the device says that it failed."""
        self.programmed += len(data)
        try:
            self.device.writeblocks(block, data, at)
        except OSError:
            return False
        return True

    def holds(self, block, sequence):
        """Whether this sector is still there and needed."""
        return self.sequence[block] == sequence and not self.flags[block] & _DONE

    def find(self, sequence):
        """The block of a sector, -1 if there is none."""
        for b in range(self.count):
            if self.sequence[b] == sequence and sequence:
                return b
        return -1

    def after(self, sequence):
        """The block of the oldest needed sector that is newer than `sequence`; -1 if there is none."""
        best, block = 0, -1
        for b in range(self.count):
            s = self.sequence[b]
            if s > sequence and (block < 0 or s < best) and not self.flags[b] & _DONE:
                best, block = s, b
        return block

    def opened(self, block, sequence):
        """A header has been written."""
        self.sequence[block] = sequence
        self.left[block] = 0
        self.flags[block] = _COUNTED

    def forget(self, block):
        """Nothing is in this sector."""
        self.sequence[block] = 0
        self.flags[block] = 0

    def failed(self, block):
        """Something could not be written or erased here."""
        self.failures += 1
        self.flags[block] = self.flags[block] & ~_ERASED | _BAD

    def counted(self, block):
        """Whether `left` is right."""
        return self.flags[block] & _COUNTED

    def set_left(self, block, n):
        """The parcels of a sector have been counted."""
        self.left[block] = n
        self.flags[block] |= _COUNTED

    def done(self, block):
        """Nothing in the sector is needed any more."""
        self.flags[block] |= _DONE
        self.program(block, b"\0", DONE_AT)

    def needed(self):
        """How many sectors hold something that is needed."""
        return sum([1 for b in range(self.count) if self.sequence[b] and not self.flags[b] & _DONE])

    def uncounted(self):
        """A needed sector whose parcels are not counted, or -1."""
        for b in range(self.count):
            if self.sequence[b] and not self.flags[b] & (_COUNTED | _DONE):
                return b
        return -1

    def ready(self, enough):
        """How many sectors are erased, counted up to `enough`."""
        n = 0
        for f in self.flags:
            if f & (_ERASED | _BAD) == _ERASED:
                n += 1
                if n >= enough:
                    break
        return n

    def erased(self, block):
        """The next erased sector after `block`, -1 if there is none."""
        for i in range(self.count):
            b = (block + 1 + i) % self.count
            if self.flags[b] & (_ERASED | _BAD) == _ERASED:
                return b
        return -1

    def erasable(self, block):
        """The next sector after `block` that can be erased, -1 if there is none."""
        for i in range(self.count - (block >= 0)):
            b = (block + 1 + i) % self.count
            if not self.flags[b] & (_ERASED | _BAD) and (self.flags[b] & _DONE or not self.sequence[b]):
                return b
        return -1

    def erase(self, block):
        """Erase and mark as erased; False if that failed."""
        self.sequence[block] = 0
        self.flags[block] = 0
        self.erases += 1
        try:
            if not self.device.ioctl(6, block) and self.walk.blank(block, 0, self.walk.sector_size):
                # Without this mark the next boot could not trust that the erase was complete.
                if self.program(block, MAGIC, 0) and self.walk.blank(block, len(MAGIC), SECTOR_HEAD):
                    self.flags[block] = _ERASED
                    return True
        except OSError:
            pass
        self.failed(block)
        return False
