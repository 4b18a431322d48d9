"""Walking over the records of a sector, past whatever is torn or rotten in it."""

import struct
from binascii import crc32

from cistern.store.layout import (
    BLANK,
    BOOT,
    COUNT_SIZE,
    DEFINITION,
    HEAD,
    LEAST,
    PAGE,
    SECTOR_HEAD,
    check_of,
    read_sector,
)


class Walk:
    """enter() a sector, then step() from one intact record to the next.

    After enter(): block, sequence, boot, seed, definitions {number: bytes}, damaged (records skipped so far).
    After step(): at (the record's offset), next (where the one after it is), kind, state, size (of the body),
    readings (of a parcel).
    """

    def __init__(self, device, sector_size):
        self.device = device
        self.sector_size = sector_size
        self.sequence = 0
        self._head = bytearray(SECTOR_HEAD)
        view = memoryview(self._head)
        self._record = view[: HEAD + COUNT_SIZE]
        self._summed = view[1:4]
        self._count = view[HEAD : HEAD + COUNT_SIZE]
        self._scratch = bytearray(PAGE)
        self._page = memoryview(self._scratch)

    def enter(self, block):
        """Go to the start of `block`; False if it has no valid header."""
        self.device.readblocks(block, self._head, 0)
        found = read_sector(self._head)
        if not found:
            return False
        _, self.sequence, self.boot, self.seed = found
        self.block = block
        self.definitions = {}
        self.next = SECTOR_HEAD
        self.damaged = 0
        return True

    def step(self, end):
        """Go to the next intact record before the offset `end`; False if there is none (yet)."""
        while self.next + LEAST <= end:
            self.at = at = self.next
            if self._parse() and at + HEAD + self.size <= end:
                self.next = after = at + HEAD + self.size
                if self._intact():
                    return True
                self.damaged += 1
                # The length may be torn too, and the next boot have begun inside.
                self.next = self._find_boot(at, after) or after
            else:
                page = self._find_boot(at, end)
                if not page:
                    self.next = at
                    return False
                self.next = page
        return False

    def _parse(self):
        head = self._head
        self.device.readblocks(self.block, self._record, self.at)
        self.state = head[0]
        self.kind = head[1]
        self.size = head[2] | (head[3] & 15) << 8
        self.readings = head[8] | head[9] << 8
        return self.kind != BLANK and self.size >= 2 and head[3] >> 4 == check_of(self.kind, self.size)

    def _intact(self):
        """Whether the record is whole; takes in what later ones depend on."""
        kind = self.kind
        # A parcel that is marked was whole then, and is not asked for again.
        if (kind >= DEFINITION or self.unsent()) and not self._sum(None):
            return False
        if kind < DEFINITION:
            return kind in self.definitions
        if kind == DEFINITION:
            body = self.body()
            self.definitions[body[0]] = bytes(memoryview(body)[1:])
        elif kind == BOOT:
            self.boot = struct.unpack("<I", self.body())[0]
        return True

    def unsent(self):
        """Of a parcel: neither sent nor set aside."""
        return self.state & 0x0F and self.state & 0xF0

    def pending(self):
        """Of a parcel: not sent."""
        return self.state & 0x0F

    def _sum(self, payload):
        """Whether the CRC fits; `payload`, if given, receives a parcel's."""
        crc = crc32(self._summed, self.seed)
        at = self.at + HEAD
        left = self.size
        if payload is not None:
            self.device.readblocks(self.block, payload, at + COUNT_SIZE)
            crc = crc32(payload, crc32(self._count, crc))
            left = 0
        while left:
            n = left if left < PAGE else PAGE
            part = self._page[:n]
            self.device.readblocks(self.block, part, at)
            crc = crc32(part, crc)
            at += n
            left -= n
        return crc == struct.unpack_from("<I", self._head, 4)[0]

    def body(self):
        """The bytes of the record."""
        body = bytearray(self.size)
        self.device.readblocks(self.block, body, self.at + HEAD)
        return body

    def load(self, at, payload):
        """Read the payload of the parcel at `at` of the sector entered; False if it is not whole."""
        self.at = at
        return (
            self._parse()
            and self.kind < DEFINITION
            and self.size == len(payload) + COUNT_SIZE
            and self._sum(payload)
        )

    def whole(self, block, seed, at, size):
        """Whether a record with this size of body is at `at`."""
        self.block = block
        self.seed = seed
        self.at = at
        return self._parse() and self.size == size and self._sum(None)

    def _find_boot(self, at, end):
        """The first page after `at` and before `end` that begins with a BOOT record, or 0."""
        # No page of a sector is shorter than the record.
        for page in range((at // PAGE + 1) * PAGE, end, PAGE):
            self.at = page
            if self._parse() and self.kind == BOOT and self.size == 4 and self._sum(None):
                return page
        return 0

    def blank(self, block, at, end):
        """Whether all bytes from `at` to `end` of a block are erased."""
        while at < end:
            n = min(PAGE, end - at)
            part = self._page[:n]
            self.device.readblocks(block, part, at)
            if part != _ERASED[:n]:
                return False
            at += n
        return True


_ERASED = memoryview(b"\xff" * PAGE)
