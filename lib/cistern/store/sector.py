"""Sectors and their records: what is where, and walking over it past whatever is torn or rotten.

docs/SPEC.md, "The log", has every byte.
"""

from binascii import crc32
from struct import pack, pack_into, unpack_from

const = int  # MicroPython's compiler knows const() by its name

MAGIC = b"CSt\x01"  # the last byte is the version of the format
_SUMMED = const(20)  # bytes of a sector's header before its CRC
_SECTOR_HEAD = const(32)
_HEAD = const(8)  # of a record
_LEAST = const(10)  # the shortest record
# A program that a power cut stops may leave weak bits anywhere in its page: the next boot starts
# on another.
_PAGE = const(256)
_DEFINITION = const(0xF0)
_BOOT = const(0xF1)


def sector_head(log_id, sequence, boot):
    """The header of a sector, up to its CRC."""
    head = MAGIC + log_id + pack("<II", sequence, boot)
    return head + pack("<I", crc32(head))


def _kind_and_size(kind, size):
    """The 3 bytes of both, with 4 bits that tell a torn or rotten header from a whole one."""
    check = kind ^ kind >> 4 ^ size ^ size >> 4 ^ size >> 8 ^ 5
    return kind | (size | (check & 15) << 12) << 8


def seal_record(head, kind, body, seed):
    """Fill the first 8 bytes of `head`; what is in it after them belongs to the body."""
    pack_into("<I", head, 0, 0xFF | _kind_and_size(kind, len(head) - _HEAD + len(body)) << 8)
    view = memoryview(head)
    pack_into("<I", head, 4, crc32(body, crc32(view[_HEAD:], crc32(view[1:4], seed))))


class Walk:
    """enter() a sector, then step() from one intact record to the next.

    marks: see Writer; without, states are as on the device. known: {definition: itself}, of those
    that are in memory anyway.
    After enter(): block, log_id, sequence, boot, seed (of the CRCs), definitions {number: bytes},
    next. After step(): at and next (offsets of the record and of the one after it), state, kind,
    size (of the body), readings (of a parcel).
    """

    def __init__(self, device, marks=None, known=None):
        self.device = device
        self.marks = marks
        self.known = {} if known is None else known
        self.sector_size = device.ioctl(5, 0)
        # Records begin where this mask is 0; a device that programs larger units only says so.
        self.mask = getattr(device, "align", 1) - 1
        self.sequence = 0
        self.head = bytearray(_SECTOR_HEAD + _HEAD)
        self._scratch = memoryview(bytearray(_PAGE))

    def enter(self, block):
        """Go to the start of `block`; False if it has no valid header."""
        head = self.head
        self.device.readblocks(block, head, 0)
        self.sequence, self.boot, self.seed = unpack_from("<III", head, 12)
        self.log_id = bytes(head[4:12])
        self.block = block
        self.definitions = {}
        self.next = _SECTOR_HEAD
        return head[:4] == MAGIC and self.seed == crc32(memoryview(head)[:_SUMMED])

    def step(self, end):
        """Go to the next intact record before the offset `end`; False if there is none (yet)."""
        while self.next + _LEAST <= end:
            at = self.next
            whole = self._parse(at)
            after = at + _HEAD + self.size
            if whole and after <= end:
                self.next = after = after + self.mask & ~self.mask
                if self._intact():
                    return True
                # The length may be torn too, and the next boot have begun inside.
                self.next = self._find_boot(at, after) or after
            else:
                self.next = self._find_boot(at, end) or at
                if self.next == at:
                    return False
        return False

    def _parse(self, at):
        self.at = at
        head = self.head
        self.device.readblocks(self.block, memoryview(head)[:_LEAST], at)
        self.state, self.kind, size = unpack_from("<BBH", head)
        self.size = size & 0xFFF
        if self.marks:
            self.state &= self.marks.get(self.sequence << 12 | at, 255)
        self.readings = head[8] | head[9] << 8
        return (
            self.kind < 255 and _kind_and_size(self.kind, self.size) >> 8 == size and self.size > 1
        )

    def _intact(self):
        kind = self.kind
        # A parcel that is marked was whole then, and is not asked for again.
        if (kind >= _DEFINITION or self.unsent()) and not self.sum():
            return False
        if kind == _DEFINITION:
            body = self.body()
            found = body[1:]
            # One copy of each is enough for all who walk.
            self.definitions[body[0]] = self.known.get(found, found)
        elif kind == _BOOT:
            self.boot = unpack_from("<I", self.body())[0]
        return kind >= _DEFINITION or kind in self.definitions

    def pending(self):
        """Of a parcel: not sent."""
        return self.state & 0x0F

    def unsent(self):
        """Of a parcel: neither sent nor set aside."""
        return self.state & 0x0F and self.state & 0xF0

    def sum(self, payload=None):
        """Whether the CRC fits; `payload`, if given, receives a parcel's."""
        view = memoryview(self.head)
        crc = crc32(view[1:4], self.seed)
        at = self.at + _HEAD
        left = self.size
        if payload is not None:
            crc = crc32(view[_HEAD:_LEAST], crc)
            at += 2
            left -= 2
        while left:
            part = self._scratch if payload is None else payload
            n = min(left, len(part))
            self.device.readblocks(self.block, part[:n], at)
            crc = crc32(part[:n], crc)
            at += n
            left -= n
        return crc == unpack_from("<I", self.head, 4)[0]

    def body(self):
        """The bytes of the record."""
        body = bytearray(self.size)
        self.device.readblocks(self.block, body, self.at + _HEAD)
        return bytes(body)

    def load(self, at, payload):
        """Read the payload of the parcel at `at` of this sector; False if it is not whole."""
        return self._parse(at) and self.size == len(payload) + 2 and self.sum(payload)

    def whole(self, at, size):
        """Whether a record with this size of body is at `at` of the sector entered."""
        return self._parse(at) and self.size == size and self.sum()

    def _find_boot(self, at, end):
        """The first page after `at` and before `end` that begins with a BOOT record, or 0."""
        for page in range((at // _PAGE + 1) * _PAGE, end, _PAGE):
            if self._parse(page) and self.kind == _BOOT and self.size == 4 and self.sum():
                return page
        return 0

    def blank(self, block, at, end):
        """Whether all bytes from `at` to `end` of a block are erased."""
        while at < end:
            part = self._scratch[: min(_PAGE, end - at)]
            self.device.readblocks(block, part, at)
            if part != b"\xff" * len(part):
                return False
            at += len(part)
        return True
