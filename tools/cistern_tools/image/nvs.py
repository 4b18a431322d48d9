"""ESP-IDF's key-value store: where a board keeps its secrets.

Written by Espressif's generator. The reader is of ESP-IDF Programming Guide, "Non-Volatile
Storage Library": pages of a header, a bitmap of 2 bits an entry, and 126 entries of 32 bytes.
"""

import io
import struct
from binascii import crc32

from esp_idf_nvs_partition_gen import nvs_partition_gen as generator

from cistern_tools.image import ImageError

NAMESPACE = "cistern"
SECRETS = ("psk", "secret")
_PAGE = 4096
_ENTRY = 32
_ENTRIES = 126
_BITMAP, _FIRST = 32, 64
_EMPTY_PAGE, _CORRUPT_PAGE = 0xFFFFFFFF, 0
_WRITTEN = 2
_INTS = {1: "<B", 2: "<H", 4: "<I", 8: "<Q", 0x11: "<b", 0x12: "<h", 0x14: "<i", 0x18: "<q"}
_STRING, _BLOB_V1, _BLOB_DATA = 0x21, 0x41, 0x42


def make(values, size):
    """The partition with {key: bytes} as blobs of NAMESPACE. Raises ImageError.

    MicroPython's esp32.NVS reads integers and blobs, no strings.
    """
    out = io.BytesIO()
    try:
        # One page always stays free: ESP-IDF moves entries through it.
        with generator.nvs_open(out, size - _PAGE, generator.Page.VERSION2) as partition:
            generator.write_entry(partition, NAMESPACE, "namespace", "", "")
            for key, value in values.items():
                generator.write_entry(partition, key, "data", "hex2bin", value.hex())
    except (generator.InsufficientSizeError, generator.InputError) as e:
        raise ImageError(f"the configuration does not fit into nvs: {e}") from None
    return out.getvalue()


def read(raw):
    """{namespace: {key: bytes or int}} of a partition; entries that are damaged are left out."""
    names, values = {}, {}
    for page in range(0, len(raw), _PAGE):
        for space, kind, chunk, key, value in _entries(raw[page : page + _PAGE]):
            if space == 0:
                names[value] = key
            elif kind == _BLOB_DATA:
                values.setdefault((space, key), {})[chunk] = value
            else:
                values[space, key] = value
    found = {}
    for (space, key), value in values.items():
        whole = value
        if isinstance(value, dict):
            whole = b"".join(value[chunk] for chunk in sorted(value))
        found.setdefault(names.get(space, f"#{space}"), {})[key] = whole
    return found


def _entries(page):
    """(namespace, type, chunk, key, value) of the written entries with a good CRC."""
    if struct.unpack_from("<I", page)[0] in (_EMPTY_PAGE, _CORRUPT_PAGE):
        return
    at = 0
    while at < _ENTRIES:
        entry = page[_FIRST + at * _ENTRY : _FIRST + (at + 1) * _ENTRY]
        state = page[_BITMAP + at // 4] >> at % 4 * 2 & 3
        at += 1
        space, kind, span, chunk, crc, name = struct.unpack_from("<BBBBI16s", entry)
        if state != _WRITTEN or crc32(entry[:4] + entry[8:], 0xFFFFFFFF) != crc:
            continue
        key = name.partition(b"\0")[0].decode("ascii", "replace")
        if kind in _INTS:
            yield space, kind, chunk, key, struct.unpack_from(_INTS[kind], entry, 24)[0]
        elif kind in (_STRING, _BLOB_V1, _BLOB_DATA):
            size, _, check = struct.unpack_from("<HHI", entry, 24)
            start = _FIRST + at * _ENTRY
            value = page[start : start + size]
            at += span - 1
            if crc32(value, 0xFFFFFFFF) == check:
                value = value.rstrip(b"\0") if kind == _STRING else value
                yield space, kind, chunk, key, bytes(value)
