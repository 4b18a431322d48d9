"""A log's block device in RAM, for boards without a partition for it: it survives resets of
nothing.
"""


class RamDevice:
    """`sectors` blocks of `sector_size` bytes with the face of a flash partition.

    memory: makes a bytearray of a size.
    """

    def __init__(self, sectors, sector_size=4096, memory=bytearray):
        self._sectors = sectors
        self._size = sector_size
        self._data = memory(sectors * sector_size)
        self._view = memoryview(self._data)
        for n in range(sectors):
            RamDevice.ioctl(self, 6, n)

    def readblocks(self, n, buf, off=0):
        """Fill `buf` from byte `off` of block `n`."""
        at = n * self._size + off
        buf[:] = self._view[at : at + len(buf)]

    def writeblocks(self, n, buf, off=0):
        """Write `buf` at byte `off` of block `n`."""
        at = n * self._size + off
        self._view[at : at + len(buf)] = buf

    def ioctl(self, op, arg):
        """Block count (4), block size (5), erase block `arg` (6)."""
        if op == 4:
            return self._sectors
        if op == 5:
            return self._size
        if op == 6:
            at = arg * self._size
            self._view[at : at + self._size] = b"\xff" * self._size
        return 0
