"""An I2C bus, and what its chips have in common."""

from cistern.port.simulated.clock import Clock

_ENODEV = 19
_ETIMEDOUT = 110


class I2C:
    """machine.I2C with `chips` on it; charge(us) is called with the time that a transfer takes."""

    def __init__(self, chips, freq=400000, charge=None):
        self._chips = chips
        self._freq = freq
        self._charge = charge

    def _chip(self, address, size):
        """The chip at an address, for a transfer of so many bytes after its address."""
        for chip in self._chips:
            if chip.address == address and chip.plugged:
                self._take(size + 1)
                return chip
        self._take(1)
        raise OSError(_ENODEV)

    def _take(self, size):
        if self._charge:
            # Nine bits a byte, and as long again as a byte for start, stop and the driver.
            self._charge((size + 1) * 9000000 // self._freq)

    def scan(self):
        """Addresses that answer."""
        self._take(112)
        return [chip.address for chip in self._chips if chip.plugged]

    def readfrom_mem_into(self, address, register, buf):
        """Fill `buf` from a register on: it is written, then the chip is addressed again."""
        chip = self._chip(address, len(buf) + 2)
        chip.register = register
        self._read(chip, buf)

    def readfrom_mem(self, address, register, size):
        """The same, as new bytes."""
        buf = bytearray(size)
        self.readfrom_mem_into(address, register, buf)
        return bytes(buf)

    def writeto_mem(self, address, register, buf):
        """Write bytes from a register on."""
        chip = self._chip(address, len(buf) + 1)
        chip.register = register
        self._move(chip, chip.take, buf)

    def readfrom_into(self, address, buf):
        """Fill `buf` from the register that was last addressed."""
        self._read(self._chip(address, len(buf)), buf)

    def writeto(self, address, buf):
        """Write a register's number, and bytes from there on."""
        chip = self._chip(address, len(buf))
        chip.register = buf[0]
        self._move(chip, chip.take, buf[1:])
        return len(buf)

    def _read(self, chip, buf):
        self._move(chip, chip.fill, buf)
        if chip.stuck is not None:
            for i in range(len(buf)):
                buf[i] = chip.stuck

    def _move(self, chip, call, buf):
        """Have the chip fill or take `buf`, or its part up to an error of the bus."""
        left = chip.fails_in
        if left is None:
            call(buf)
        elif left > len(buf):
            chip.fails_in = left - len(buf)
            call(buf)
        else:
            chip.fails_in = None
            call(memoryview(buf)[:left])
            raise OSError(_ETIMEDOUT)


class Chip:
    """A chip with 8-bit registers. Children overwrite reset(), load() and store().

    now(): µs since the chip was made. stuck: None, or what each byte reads instead, such as 0 or
    0xFF of a data wire that something holds. fails_in: None, or the number of bytes after which
    the bus fails, once.
    """

    address = 0
    stuck = None
    fails_in = None

    def __init__(self, ticks_us):
        self.plugged = True
        self.register = 0
        self.registers = bytearray(256)
        self.now = Clock(ticks_us).now
        self.reset()

    def unplug(self):
        """Take it off the bus and its power away."""
        self.plugged = False

    def plug(self):
        """Put it back: it starts as new."""
        self.plugged = True
        self.reset()

    def reset(self):
        """As after power-on."""

    def load(self, register):
        """The byte in a register."""
        return self.registers[register]

    def store(self, register, value):
        """Take a byte for a register."""
        self.registers[register] = value

    def fill(self, buf):
        """A read transfer."""
        for i in range(len(buf)):
            buf[i] = self.load(self.register)
            self.register = self.register + 1 & 255

    def take(self, data):
        """A write transfer."""
        for byte in data:
            self.store(self.register, byte)
            self.register = self.register + 1 & 255
