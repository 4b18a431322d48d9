"""Readings that the log gave up or was told are lost, counted by stream and reason for as long as the log lives.

The totals are written at the start of every sector, so they survive whatever sectors are reclaimed.
"""

import struct
from binascii import crc32

# The index is the code on flash.
REASONS = ("other", "log_full", "thinned", "ring_full", "source_error", "late")
LOG_FULL = 1
THINNED = 2
_ENTRY = "<IBI"


class Losses:
    """totals: {(CRC32 of the definition, code of the reason): readings}, at most `limit` of them.

    Beyond it losses are counted together, as (0, 0).
    """

    def __init__(self, limit):
        self._limit = limit
        self.totals = {}

    def add(self, definition, code, count):
        """Count `count` readings of a stream."""
        self._add((crc32(definition), code), count)

    def _add(self, key, count):
        if key not in self.totals and len(self.totals) > self._limit - 2:
            key = (0, 0)
        self.totals[key] = min(self.totals.get(key, 0) + count, 0xFFFFFFFF)

    def pack(self, victim):
        """The body of a TOTALS record; victim: the sequence of the sector given up in it, or 0."""
        body = bytearray(struct.pack("<I", victim))
        for key in self.totals:
            body.extend(struct.pack(_ENTRY, key[0], key[1], self.totals[key]))
        return body

    def load(self, body):
        """Take over a TOTALS record; its victim."""
        self.totals = {}
        for i in range(4, len(body), 9):
            key, code, count = struct.unpack_from(_ENTRY, body, i)
            self.totals[key, code] = count
        return struct.unpack_from("<I", body)[0]
