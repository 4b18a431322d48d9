"""A log's block device on a partition with flash encryption.

Such a partition takes programs of whole units of 32 bytes, each unit once, and erased flash reads
as noise. So records are padded to units; what was erased in this boot and not written since is
remembered and reads as FF; and a byte that the log clears in place is written as a patch, into a
unit at the end of its sector. After a restart the log sees noise behind its last record and begins
a new sector.
"""

from binascii import crc32
from struct import pack, unpack_from

from cistern.store.sector import MAGIC

const = int  # MicroPython's compiler knows const() by its name

_UNIT = const(32)
# One is kept for the byte that says that the whole sector is done with. Parcels of 225 bytes and
# more have a unit for each mark; of smaller ones some may be sent again after a restart, under the
# same name.
_PATCHES = const(16)
_DONE_AT = const(24)


class EncryptedDevice:
    """The face of `partition`, an esp32.Partition with encryption, for Log.mount()."""

    align = _UNIT

    def __init__(self, partition):
        self._partition = partition
        self._end = partition.ioctl(5, 0) - _PATCHES * _UNIT
        self._head = b""
        # By sectors erased in this boot: up to where they have been written.
        self._written = {}
        self._marked = set()
        # By sectors: where the next patch goes, and the marks that found no place.
        self._next = {}
        self._unplaced = {}
        # The patches of one sector.
        self._patched = -1
        self._patches = {}

    def readblocks(self, n, buf, off=0):
        """Fill `buf` from byte `off` of block `n`."""
        self._partition.readblocks(n, buf, off)
        written = self._written.get(n, self._end)
        for i in range(max(written - off, 0), len(buf)):
            # The mark is not on flash: this boot knows, and the next one erases again.
            marked = off + i < len(MAGIC) and n in self._marked and not written
            buf[i] = MAGIC[off + i] if marked else 255
        self._load(n)
        for at in self._patches:
            if off <= at < off + len(buf):
                buf[at - off] = self._patches[at]

    def writeblocks(self, n, buf, off=0):
        """Program `buf` at byte `off` of block `n`."""
        if len(buf) == 1:
            self._patch(n, off, buf[0])
        elif off % _UNIT == 0 and off and not self._head:
            self._head = bytes(buf)  # of a record; its body comes next
        elif not off and len(buf) == len(MAGIC):
            self._marked.add(n)
        else:
            data = self._head + bytes(buf)
            off -= len(self._head)
            self._head = b""
            data += b"\xff" * (-len(data) % _UNIT)
            self._written[n] = off + len(data)
            self._partition.writeblocks(n, data, off)

    def ioctl(self, op, arg):
        """Block count (4), usable size of a block (5), erase block `arg` (6)."""
        if op == 5:
            return self._end
        if op == 6:
            self._written[arg] = self._next[arg] = 0
            self._unplaced.pop(arg, None)
            self._marked.discard(arg)
            self._patched = -1
        return self._partition.ioctl(op, arg)

    def _load(self, n):
        if n == self._patched:
            return
        self._patched = n
        self._patches = found = dict(self._unplaced.get(n, ()))
        # A unit whose program was cut short cannot be told from an erased one: the first is left
        # out.
        free = 1
        unit = bytearray(_UNIT)
        for i in range(self._next.get(n, _PATCHES)):
            self._partition.readblocks(n, unit, self._end + i * _UNIT)
            at, value, crc = unpack_from("<HHI", unit)
            if crc == crc32(unit[:4]):
                found[at] = value
                free = i + 2
        self._next.setdefault(n, free)

    def _patch(self, n, at, value):
        self._load(n)
        self._patches[at] = value
        unit = pack("<HH", at, value)
        unit += pack("<I", crc32(unit)) + b"\xff" * (_UNIT - 8)
        found = bytearray(_UNIT)
        while self._next[n] < _PATCHES - (at != _DONE_AT):
            place = self._end + self._next[n] * _UNIT
            self._next[n] += 1
            self._partition.writeblocks(n, unit, place)
            self._partition.readblocks(n, found, place)
            # A power cut in an earlier boot may have left something in this unit.
            if found == unit:
                return
        self._unplaced.setdefault(n, {})[at] = value
