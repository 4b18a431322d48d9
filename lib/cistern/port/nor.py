"""A NOR flash chip in a plain file, for boards that are simulated on a PC.

An erase sets a block to 0xFF, a program only clears bits, as on the chip. Every page goes to the
file by a system call of its own, so that killing the process between two of them tears a program
the way a power cut does.
"""

import os

BLOCK = 4096
PAGE = 256  # what the chip programs at once (W25Q64JV datasheet, "Page Program")


class NorFile:
    """MicroPython's extended block device over the file `path` of `size` bytes, made if absent.

    The face is the one of esp32.Partition. Raises ValueError for a size that is no multiple of a
    block, and for a file that exists with another size.
    """

    def __init__(self, path, size):
        if size < 4 * BLOCK or size % BLOCK:
            raise ValueError(
                "a flash of %d bytes is not a whole number of 4096-byte blocks, 4 at least" % size
            )
        self._blocks = size // BLOCK
        try:
            found = os.stat(path)[6]
        except OSError:
            found = -1
        # A file cut short while it was being made holds nothing yet: make it anew.
        if 0 <= found < size and not _holds_data(path):
            found = -1
        if found < 0:
            _blank(path, self._blocks)
        elif found != size:
            raise ValueError(
                "%s has %d bytes, not %d: give the flash size it was made with, or another file"
                % (path, found, size)
            )
        self._file = open(path, "r+b", **_UNBUFFERED)
        self.programmed = 0
        self.erases = 0

    def readblocks(self, n, buf, off=0):
        """Fill `buf` from byte `off` of block `n`."""
        self._file.seek(n * BLOCK + off)
        self._file.readinto(buf)

    def writeblocks(self, n, buf, off=None):
        """Program `buf` at byte `off` of block `n`; without `off`, erase the blocks first."""
        if off is None:
            for i in range(len(buf) // BLOCK):
                self.ioctl(6, n + i)
            off = 0
        view = memoryview(buf)
        at = n * BLOCK + off
        done = 0
        while done < len(view):
            step = min(PAGE - (at + done) % PAGE, len(view) - done)
            self._program(at + done, view[done : done + step])
            done += step
        self.programmed += done

    def _program(self, at, data):
        self._file.seek(at)
        old = self._file.read(len(data))
        both = int.from_bytes(old, "little") & int.from_bytes(data, "little")
        self._file.seek(at)
        self._file.write(both.to_bytes(len(data), "little"))

    def ioctl(self, op, arg):
        """Block count (4), block size (5), erase block `arg` (6), sync (3)."""
        if op == 4:
            return self._blocks
        if op == 5:
            return BLOCK
        if op == 6:
            self._file.seek(arg * BLOCK)
            self._file.write(b"\xff" * BLOCK)
            self.erases += 1
        return 0


def _holds_data(path):
    with open(path, "rb") as f:
        while True:
            chunk = f.read(BLOCK)
            if not chunk:
                return False
            if chunk != b"\xff" * len(chunk):
                return True


def _blank(path, blocks):
    with open(path, "wb") as f:
        for _ in range(blocks):
            f.write(b"\xff" * BLOCK)


try:
    import micropython  # noqa: F401  MicroPython's files are unbuffered as they are

    _UNBUFFERED = {}
except ImportError:
    _UNBUFFERED = {"buffering": 0}
