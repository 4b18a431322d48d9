"""esp32: partitions of an image in a file, and the NVS's values."""
# ruff: noqa: A002, PLW0603, RUF005 - the chip's names, and
# MicroPython's ways

import json
from binascii import hexlify, unhexlify

import memory_behaviour

SECTOR = 4096
_ENTRY = 32
_HANDLE = 48
_SPARE = 4096  # over what was there before, which may have been longer
_TABLE = 0x8000
# What the harness gives: the open image, and a file with the NVS as JSON: {namespace: {key: hex}}.
_image = None
_file = None
_stores = {}


def _begin(image, file):
    global _image, _file
    _image = image
    _file = file
    for space, values in json.loads(file.read()).items():
        _stores[space] = {key: unhexlify(value) for key, value in values.items()}


def _entries():
    """(type, subtype, address, size, label) of the partition table in the image."""
    _image.seek(_TABLE)
    raw = _image.read(0xC00)
    at = 0
    while raw[at : at + 2] == b"\xaa\x50":
        address = int.from_bytes(raw[at + 4 : at + 8], "little")
        size = int.from_bytes(raw[at + 8 : at + 12], "little")
        label = raw[at + 12 : at + 28].split(b"\0")[0].decode()
        yield raw[at + 2], raw[at + 3], address, size, label
        at += _ENTRY


class Partition:
    """A region of the image; flash semantics: programming clears bits, an erase sets them."""

    def __init__(self, id, block_size=SECTOR):
        found = [e for e in _entries() if e[4] == id]
        if not found:
            raise OSError(2)
        self._entry = found[0]
        self._block = block_size

    @staticmethod
    def find(type=0, subtype=255, label=None):
        """A list, as the chip gives it."""
        return [
            _made(e)
            for e in _entries()
            if e[0] == type and subtype in (255, e[1]) and label in (None, e[4])
        ]

    def info(self):
        """(type, subtype, address, size, label, encrypted)."""
        return self._entry + (False,)

    def _at(self, block, offset, size):
        start = block * self._block + offset
        if start < 0 or start + size > self._entry[3]:
            raise OSError(22)
        return self._entry[2] + start

    def readblocks(self, block_num, buf, offset=0):
        """Fill buf."""
        _image.seek(self._at(block_num, offset, len(buf)))
        _image.readinto(buf)

    def writeblocks(self, block_num, buf, offset=None):
        """Without an offset whole blocks are erased first."""
        if offset is None:
            for i in range((len(buf) + self._block - 1) // self._block):
                self._erase(block_num + i)
            offset = 0
        at = self._at(block_num, offset, len(buf))
        _image.seek(at)
        old = _image.read(len(buf))
        both = int.from_bytes(old, "little") & int.from_bytes(buf, "little")
        _image.seek(at)
        _image.write(both.to_bytes(len(buf), "little"))

    def ioctl(self, op, arg=0):
        """4: blocks, 5: their size, 6: erase one."""
        if op == 4:
            return self._entry[3] // self._block
        if op == 5:
            return self._block
        if op == 6:
            self._erase(arg)
            return 0
        return None

    def _erase(self, block):
        _image.seek(self._at(block, 0, self._block))
        _image.write(b"\xff" * self._block)


def _made(entry):
    import esp32

    return esp32.Partition(entry[4])


class NVS:
    """Values that are kept by commit()."""

    def __init__(self, namespace):
        memory_behaviour.pool.take(_HANDLE)  # and nothing gives it back
        self._values = _stores.setdefault(namespace, {})

    def get_blob(self, key, buffer):
        """The length; OSError where there is none or the buffer is too small."""
        value = self._values.get(key)
        if not isinstance(value, bytes) or len(value) > len(buffer):
            raise OSError(-0x1102)
        buffer[: len(value)] = value
        return len(value)

    def set_blob(self, key, value):
        """Takes str, too."""
        if len(key) > 15:
            raise OSError(-0x1109)
        self._values[key] = value.encode() if isinstance(value, str) else bytes(value)

    def get_i32(self, key):
        """A number."""
        value = self._values.get(key)
        if not isinstance(value, int):
            raise OSError(-0x1102)
        return value

    def set_i32(self, key, value):
        """A number."""
        self._values[key] = value

    def erase_key(self, key):
        """OSError where there is none."""
        if key not in self._values:
            raise OSError(-0x1102)
        del self._values[key]

    def commit(self):
        """Keep all blobs; numbers last as long as this process."""
        kept = {
            space: {k: hexlify(v).decode() for k, v in values.items() if isinstance(v, bytes)}
            for space, values in _stores.items()
        }
        _file.seek(0)
        _file.write(json.dumps(kept) + " " * _SPARE)


def raw_temperature():
    """Fahrenheit."""
    return 120


def idf_heap_info(capabilities):
    """(bytes, free, largest piece, least free ever) of each region."""
    return memory_behaviour.pool.info()
