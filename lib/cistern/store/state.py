"""What the log itself remembers: when it was what time, and what was lost.

It is written at the start of every sector, so it survives whatever sectors are reclaimed, and the
newest sector tells it all.
"""

from binascii import crc32
from struct import pack, unpack_from

# The index is the code on flash.
REASONS = (
    "other",
    "log_full",
    "thinned",
    "ring_full",
    "source_error",
    "late",
    "source_slow",
    "stalled",
    "flash_full",
    "refused",
)
_ANCHOR = "<IQQI"  # boot, uptime, UTC, uncertainty
_LOSS = "<IBI"  # CRC32 of the definition, reason, readings
# Bytes of a sector for each anchor of 24 and for each loss of 9: both take an eighth of a sector
# at most. Beyond that the oldest anchors are forgotten, and losses of further streams are counted
# together.
_PER_ANCHOR = 200
_PER_LOSS = 72


class State:
    """anchors: {boot: (uptime_us, utc_us, uncertainty_us)}. losses: {(CRC32 of the definition,
    code): readings}. before: the losses of earlier boots. changed: set when losses change.
    """

    changed = False

    def __init__(self, sector_size):
        self._size = sector_size
        self.anchors = {}
        self.losses = {}

    def anchor(self, boot, uptime_us, utc_us, uncertainty_us):
        """Take in an anchor; the best one of each boot stays."""
        old = self.anchors.get(boot)
        if old is None or uncertainty_us <= old[2]:
            self.anchors[boot] = uptime_us, utc_us, uncertainty_us
        if len(self.anchors) * _PER_ANCHOR > self._size:
            self.anchors.pop(min(self.anchors))

    def forgot(self, boot):
        """Whether an anchor of `boot` may have been here."""
        full = (len(self.anchors) + 1) * _PER_ANCHOR > self._size
        return full and boot < min(self.anchors)

    def lose(self, key, count):
        """Count readings that are lost, or with a negative count found again."""
        if key not in self.losses and len(self.losses) * _PER_LOSS >= self._size:
            key = (0, 0)
        self.changed = True
        self.losses[key] = max(min(self.losses.get(key, 0) + count, 0xFFFFFFFF), 0)

    def pack(self, victim):
        """The body of a STATE record; victim: the sequence of the sector whose loss it counts, or
        0.
        """
        body = pack("<IB", victim, len(self.anchors))
        for boot in self.anchors:
            body += pack(_ANCHOR, boot, *self.anchors[boot])
        for key in self.losses:
            body += pack(_LOSS, key[0], key[1], self.losses[key])
        return body

    def load(self, body):
        """Take over a STATE record; its victim."""
        self.anchors = {}
        self.losses = {}
        victim, n = unpack_from("<IB", body)
        at = 5 + 24 * n
        for i in range(5, at, 24):
            self.anchor(*unpack_from(_ANCHOR, body, i))
        for i in range(at, len(body), 9):
            definition, code, count = unpack_from(_LOSS, body, i)
            self.losses[definition, code] = count
        return victim


def loss_key(definition, code):
    """The key of a stream's losses."""
    return crc32(definition), code
