"""A log's block device in files, for a board whose log goes to a filesystem or an SD card
(`capture_dir`).
"""

import os

const = int  # MicroPython's compiler knows const() by its name

_SIZE = const(4096)


def _names(folder):
    """Iterate over the names in a folder; without a list of them, which may be long, on a chip."""
    if hasattr(os, "ilistdir"):
        return (entry[0] for entry in os.ilistdir(folder))
    return os.listdir(folder)


class FileDevice:
    """One file a sector in `folder`, which is made if absent, with those that it lies in.

    A missing file is an erased sector, and one that is short is erased behind its end; so files
    grow as a log is written, which FAT and littlefs do best. Every write is on the medium when it
    returns.

    made: the folder was absent. files: how many there are. sectors: files of 4096 bytes at most;
    never fewer than reach to the last one that is there, which may be the newest of the log.
    """

    def __init__(self, folder, sectors=0):
        self._folder = folder.rstrip("/")
        self.sectors = sectors
        self.files = 0
        self.made = False
        at = 0
        while at >= 0:
            at = self._folder.find("/", at + 1)
            try:
                os.mkdir(self._folder if at < 0 else self._folder[:at])
                self.made = True
            except OSError:
                pass
        for name in _names(self._folder):  # raises if it is not there after all
            if len(name) == 8 and name[:4].isdigit() and name[4:].lower() == ".log":
                self.files += 1
                self.sectors = max(self.sectors, int(name[:4]) + 1)

    def _path(self, n):
        return "%s/%04d.log" % (self._folder, n)

    def readblocks(self, n, buf, off=0):
        """Fill `buf` from byte `off` of block `n`."""
        got = 0
        try:
            with open(self._path(n), "rb") as f:
                f.seek(off)
                got = f.readinto(buf)
        except OSError:
            pass
        for i in range(got, len(buf)):
            buf[i] = 255

    def writeblocks(self, n, buf, off=0):
        """Write `buf` at byte `off` of block `n`."""
        try:
            f = open(self._path(n), "r+b")
        except OSError:
            f = open(self._path(n), "w+b")
        with f:
            end = f.seek(0, 2)
            if end < off:
                f.write(b"\xff" * (off - end))
            f.seek(off)
            f.write(buf)
            f.flush()
            if hasattr(os, "fsync"):
                os.fsync(f.fileno())

    def ioctl(self, op, arg):
        """Block count (4), block size (5), erase block `arg` (6)."""
        if op == 4:
            return self.sectors
        if op == 5:
            return _SIZE
        if op == 6:
            try:
                os.remove(self._path(arg))
            except OSError:
                pass  # erased already
        return 0
