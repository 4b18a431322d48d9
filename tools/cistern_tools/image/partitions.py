"""Partition tables: boards/*/partitions.csv, and the 3 KiB that ESP-IDF's bootloader reads.

Source: ESP-IDF Programming Guide, "Partition Tables". A table is up to 95 entries of 32 bytes,
an entry with the MD5 of those before it, and 0xFF to the end.
"""

import csv
import hashlib
import struct
from typing import NamedTuple

from cistern_tools.image import ImageError

ADDRESS = 0x8000
SIZE = 0xC00
FIRST_FREE = 0x9000  # the table's own sector ends here
APP_ALIGNMENT = 0x10000  # flash is mapped into memory in such pages
DATA_ALIGNMENT = 0x1000

_ENTRY = struct.Struct("<2sBBII16sI")
_MAGIC = b"\xaa\x50"
_MD5 = b"\xeb\xeb" + b"\xff" * 14
_TYPES = {"app": 0, "data": 1}
APP, DATA = 0, 1
_SUBTYPES = {
    APP: {"factory": 0, "test": 0x20, **{f"ota_{i}": 0x10 + i for i in range(16)}},
    DATA: {
        "ota": 0,
        "phy": 1,
        "nvs": 2,
        "coredump": 3,
        "nvs_keys": 4,
        "efuse": 5,
        "undefined": 6,
        "fat": 0x81,
        "spiffs": 0x82,
        "littlefs": 0x83,
    },
}
_FLAGS = {"encrypted": 1, "readonly": 2}


class Partition(NamedTuple):
    """A row of the table; `offset` and `size` are bytes of flash."""

    label: str
    type: int
    subtype: int
    offset: int
    size: int
    flags: int = 0

    @property
    def end(self):
        """The address behind it."""
        return self.offset + self.size

    @property
    def kind(self):
        """Type and subtype in words, as a partitions.csv has them."""
        types = {number: name for name, number in _TYPES.items()}
        subtypes = {n: name for name, n in _SUBTYPES.get(self.type, {}).items()}
        subtype = subtypes.get(self.subtype, f"0x{self.subtype:02x}")
        return f"{types.get(self.type, f'0x{self.type:02x}')} {subtype}"


class Table(tuple):
    """The Partitions of a flash chip, in the order of their addresses."""

    def find(self, label):
        """The partition with this label. Raises ImageError."""
        for partition in self:
            if partition.label == label:
                return partition
        there = ", ".join(p.label for p in self) or "none"
        raise ImageError(f"the partition table has no {label}; its partitions are: {there}")

    def app(self):
        """The application that a chip starts after the whole flash was written."""
        for partition in sorted(self, key=lambda p: p.subtype):
            if partition.type == APP:
                return partition
        raise ImageError("the partition table has no application")

    @property
    def end(self):
        """The address behind the last partition."""
        return max((p.end for p in self), default=FIRST_FREE)

    def check(self):
        """Raise ImageError where the bootloader would refuse the table or a partition hide one."""
        end, before = FIRST_FREE, "the partition table"
        labels = set()
        for p in self:
            alignment = APP_ALIGNMENT if p.type == APP else DATA_ALIGNMENT
            if p.offset % alignment or p.size % DATA_ALIGNMENT or not p.size:
                raise ImageError(
                    f"partition {p.label}: 0x{p.offset:x} and 0x{p.size:x} are not multiples of "
                    f"0x{alignment:x} and 0x{DATA_ALIGNMENT:x}"
                )
            if p.offset < end:
                raise ImageError(
                    f"partition {p.label} at 0x{p.offset:x} overlaps {before}, "
                    f"which ends at 0x{end:x}"
                )
            if p.label in labels:
                raise ImageError(f"two partitions are called {p.label}")
            labels.add(p.label)
            end, before = p.end, p.label


def read_csv(text, name="partitions.csv"):
    """The Table of a partitions.csv in which every offset is written out. Raises ImageError."""
    rows = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        cells = [cell.strip() for cell in next(csv.reader([line]))]
        try:
            rows.append(_row(*cells))
        except (KeyError, TypeError, ValueError) as e:
            raise ImageError(f"{name}:{number}: {line.strip()!r} is no partition: {e}") from None
    table = Table(sorted(rows, key=lambda p: p.offset))
    table.check()
    return table


def _row(label, kind, subtype, offset, size, flags=""):
    number = _TYPES[kind] if kind in _TYPES else int(kind, 0)
    known = _SUBTYPES.get(number, {})
    if not 0 < len(label.encode()) < 16:
        raise ValueError("a label has 1 to 15 bytes")
    return Partition(
        label,
        number,
        known[subtype] if subtype in known else int(subtype, 0),
        _size(offset),
        _size(size),
        sum(_FLAGS[flag] for flag in flags.split(":") if flag),
    )


def _size(text):
    scale = {"K": 1024, "M": 1024 * 1024}.get(text[-1:].upper())
    return int(text[:-1], 0) * scale if scale else int(text, 0)


def encode(table):
    """The table as the bootloader reads it: SIZE bytes for ADDRESS."""
    entries = b"".join(
        _ENTRY.pack(_MAGIC, p.type, p.subtype, p.offset, p.size, p.label.encode(), p.flags)
        for p in table
    )
    entries += _MD5 + hashlib.md5(entries).digest()
    if len(entries) > SIZE:
        raise ImageError(f"{len(table)} partitions are more than a table holds")
    return entries.ljust(SIZE, b"\xff")


def decode(raw):
    """The Table in the bytes from ADDRESS on. Raises ImageError if damaged or missing."""
    found = []
    for at in range(0, min(len(raw), SIZE) - _ENTRY.size + 1, _ENTRY.size):
        entry = raw[at : at + _ENTRY.size]
        if entry[:16] == _MD5:
            if hashlib.md5(raw[:at]).digest() != entry[16:]:
                raise ImageError("the partition table is damaged: its MD5 does not fit")
            break
        if entry[:2] != _MAGIC:
            break
        _, kind, subtype, offset, size, label, flags = _ENTRY.unpack(entry)
        name = label.rstrip(b"\0").decode("utf-8", "replace")
        found.append(Partition(name, kind, subtype, offset, size, flags))
    if not found:
        raise ImageError(f"there is no partition table at 0x{ADDRESS:x}")
    return Table(sorted(found, key=lambda p: p.offset))
