"""What is where in a sector and a record. docs/SPEC.md, "The log", has every byte."""

import struct
from binascii import crc32

try:
    from micropython import const
except ImportError:

    def const(x):
        return x


MAGIC = b"CSt\x01"  # the last byte is the version of the format
SECTOR_HEAD = const(28)
_SUMMED = const(20)  # bytes of it before the CRC
DONE_AT = const(24)  # this byte cleared to 0: nothing in the sector is needed any more

HEAD = const(8)  # of a record: state, kind, size and check, CRC
COUNT_SIZE = const(2)  # a parcel's body begins with the number of its readings
LEAST = const(10)  # every body has 2 bytes at least
UNSENT = const(0xFF)
SENT = const(0xF0)
ASIDE = const(0x0F)

# A program that a power cut stops may leave weak bits anywhere in its page: the next boot starts on another.
PAGE = const(256)

# Kinds of records; below 0xF0, a parcel of the definition with this number in the sector.
DEFINITION = const(0xF0)
BOOT = const(0xF1)
ANCHOR = const(0xF2)
DROP = const(0xF3)
TOTALS = const(0xF4)
BLANK = const(0xFF)


def pack_sector(log_id, sequence, boot):
    """The header of a sector, up to its CRC."""
    head = struct.pack("<4s8sII", MAGIC, log_id, sequence, boot)
    return head + struct.pack("<I", crc32(head))


def read_sector(head):
    """(log id, sequence, boot, seed of its records' CRCs) of a header's bytes, or None."""
    magic, log_id, sequence, boot, crc = struct.unpack_from("<4s8sIII", head)
    if magic != MAGIC or crc != crc32(memoryview(head)[:_SUMMED]) or not sequence:
        return None
    return log_id, sequence, boot, crc


def check_of(kind, size):
    """4 bits that tell a torn or rotten record header from a whole one."""
    return (kind ^ kind >> 4 ^ size ^ size >> 4 ^ size >> 8 ^ 5) & 15


def pack_record(head, kind, body, seed):
    """Fill the first 8 bytes of `head`; what is in `head` after them belongs to the record's body."""
    size = len(head) - HEAD + len(body)
    head[0] = UNSENT
    head[1] = kind
    head[2] = size & 255
    head[3] = size >> 8 | check_of(kind, size) << 4
    view = memoryview(head)
    struct.pack_into("<I", head, 4, crc32(body, crc32(view[HEAD:], crc32(view[1:4], seed))))
