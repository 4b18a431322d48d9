"""An emulated NOR flash that can lose power in the middle of any operation, wear badly and lie."""

PAGE = 256

PROGRAM_ERROR = "program error"
ERASE_ERROR = "erase error"
PROGRAM_NOOP = "program does nothing"
ERASE_NOOP = "erase does nothing"


class Nor:
    """`blocks` sectors of `size` bytes with the block device face of an ESP32 partition.

    One operation is the program of (a part of) a page, or the erase of a sector. Before each,
    `before(op)` is called if set; op: (kind, address, data), kind "program" or "erase". Programs
    only clear bits. weak: {address: mask} bits that read differently each time until they are
    erased or programmed to 0. bad: {block: one of the behaviours above}. operations, erases (by
    block) and programmed (bytes) count.
    """

    def __init__(self, blocks, size, rng):
        self.blocks = blocks
        self.size = size
        self.data = bytearray(b"\xff" * (blocks * size))
        self.weak = {}
        self.bad = {}
        self.before = None
        self.rng = rng
        self.operations = self.programmed = self.reads = self.read_bytes = 0
        self.erases = [0] * blocks

    def copy(self, rng):
        """The same flash, after power came back."""
        other = type(self).__new__(type(self))
        other.__dict__.update(self.__dict__)
        other.data = bytearray(self.data)
        other.weak = dict(self.weak)
        other.erases = list(self.erases)
        other.before = None
        other.rng = rng
        return other

    def readblocks(self, n, buf, off=0):
        """Fill `buf` from byte `off` of block `n`."""
        at = n * self.size + off
        end = at + len(buf)
        assert off >= 0 and end <= len(self.data), "read outside the device"
        self.reads += 1
        self.read_bytes += len(buf)
        buf[:] = self.data[at:end]
        if self.weak:
            for address, mask in self.weak.items():
                if at <= address < end:
                    buf[address - at] ^= mask & self.rng.randrange(256)

    def writeblocks(self, n, buf, off):
        """Program `buf` at byte `off` of block `n`, page by page."""
        assert off + len(buf) <= self.size, "program beyond the sector"
        at, done = n * self.size + off, 0
        while done < len(buf):
            step = min(PAGE - (at + done) % PAGE, len(buf) - done)
            self.operate("program", at + done, bytes(buf[done : done + step]))
            done += step

    def ioctl(self, op, arg):
        """Block count (4), block size (5), erase block `arg` (6)."""
        if op == 4:
            return self.blocks
        if op == 5:
            return self.size
        if op == 6:
            return self.operate("erase", arg * self.size, None)
        raise AssertionError(f"ioctl {op}")

    def operate(self, kind, at, data):
        """Do one operation; 0, or a negative number for an erase that failed."""
        if self.before:
            self.before((kind, at, data))
        self.operations += 1
        bad = self.bad.get(at // self.size)
        if kind == "erase":
            self.erases[at // self.size] += 1
            if bad == ERASE_ERROR:
                return -5
            if bad != ERASE_NOOP:
                self.erase(at)
            return 0
        self.programmed += len(data)
        if bad == PROGRAM_ERROR:
            raise OSError(5, "EIO")
        if bad != PROGRAM_NOOP:
            self.program(at, data)
        return 0

    def program(self, at, data):
        """Clear the bits that `data` has cleared."""
        both = int.from_bytes(self.data[at : at + len(data)], "big") & int.from_bytes(data, "big")
        self.data[at : at + len(data)] = both.to_bytes(len(data), "big")
        if self.weak:
            for address in [a for a in self.weak if at <= a < at + len(data)]:
                # A bit that is programmed to 0 now is one for good.
                self.weak[address] &= data[address - at]
                if not self.weak[address]:
                    del self.weak[address]

    def erase(self, at):
        """Set all bits of a sector."""
        self.data[at : at + self.size] = b"\xff" * self.size
        for address in [a for a in self.weak if at <= a < at + self.size]:
            del self.weak[address]

    def cut(self, op, how, rng):
        """Leave the flash as power that goes during `op` leaves it; how: one of ways(op)."""
        kind, at, data = op
        if kind == "erase":
            if how == "torn":
                for i in range(at, at + self.size):
                    self.data[i] |= rng.randrange(256)
            elif how == "weak":
                self.data[at : at + self.size] = b"\xff" * self.size
            if how != "before":
                for _ in range(rng.choice((1, 8, self.size // 16))):
                    self.weak[at + rng.randrange(self.size)] = 1 << rng.randrange(8)
        else:
            self._cut_program(at, data, how, rng)

    def _cut_program(self, at, data, how, rng):
        if how == "byte":
            self.program(at, data[: rng.randrange(1, len(data)) if len(data) > 1 else 1])
        elif how == "bit":
            n = rng.randrange(len(data))
            self.program(at, data[:n] + bytes((data[n] | rng.randrange(256),)))
        elif how == "page":
            some = bytes(b | rng.randrange(256) for b in data)
            old = self.data[at : at + len(data)]
            self.program(at, some)
            for i, b in enumerate(data):
                open_ = old[i] & self.data[at + i] & ~b & rng.randrange(256)
                if open_:
                    self.weak[at + i] = self.weak.get(at + i, 0) | open_
        elif how == "unseen":
            for i, b in enumerate(data):
                open_ = self.data[at + i] & ~b & 255 & rng.randrange(256)
                if open_ and rng.random() < 0.1:
                    self.weak[at + i] = self.weak.get(at + i, 0) | open_


def ways(op):
    """The ways in which power can go during an operation.

    "unseen" leaves bits weak though every one still reads as before. No log can guard against that
    where it opens a sector, short of erasing sectors twice; there, a program that changed nothing
    is taken not to have begun.
    """
    kind, _, data = op
    if kind == "erase":
        return ("before", "torn", "weak")
    if len(data) > 20 and data[:3] == b"CSt":
        return ("before", "byte", "bit", "page")
    return ("before", "byte", "bit", "page", "unseen")


class EncryptedNor(Nor):
    """Flash with encryption, as an ESP32 has it: units of 32 bytes, each programmed once; noise
    where erased.
    """

    UNIT = 32

    def __init__(self, blocks, size, rng):
        super().__init__(blocks, size, rng)
        self.done = set()  # units that are programmed
        self.noise = rng.randbytes(size)

    def copy(self, rng):
        other = super().copy(rng)
        other.done = set(self.done)
        return other

    def cut(self, op, how, rng):
        """Some units are programmed, and one that is neither old nor new."""
        kind, at, data = op
        if kind == "erase" or how == "before":
            super().cut(op, how, rng)
            return
        whole = rng.randrange(len(data) // self.UNIT) * self.UNIT
        self.program(at, data[:whole])
        if how != "unseen":
            self.program(at + whole, rng.randbytes(self.UNIT))

    def info(self):
        """As of esp32.Partition."""
        return (1, 6, 0, self.blocks * self.size, "log", True)

    def readblocks(self, n, buf, off=0):
        super().readblocks(n, buf, off)
        for i in range(len(buf)):
            if (n * self.size + off + i) // self.UNIT not in self.done:
                buf[i] = self.noise[(off + i) % self.size] ^ n

    def program(self, at, data):
        units = range(at // self.UNIT, (at + len(data) + self.UNIT - 1) // self.UNIT)
        self.done.update(units)
        super().program(at, data)

    def writeblocks(self, n, buf, off):
        assert off % self.UNIT == 0 and len(buf) % self.UNIT == 0, "not a unit of encryption"
        first = (n * self.size + off) // self.UNIT
        if self.done.intersection(range(first, first + len(buf) // self.UNIT)):
            buf = self.rng.randbytes(
                len(buf)
            )  # what decrypting both ciphertexts as one makes of it
        super().writeblocks(n, buf, off)

    def erase(self, at):
        super().erase(at)
        self.done.difference_update(range(at // self.UNIT, (at + self.size) // self.UNIT))
