"""Chips on an I2C bus: finding the bus, setting a chip up, and setting it up again when it was
away.
"""

from cistern.resources import ResourceError
from cistern.resources.pins import claim

const = int  # MicroPython's compiler knows const() by its name

# How often a chip is asked at most while it is waited for: where time stands still, the end.
_ASKED = const(10000)

# What every model on a bus takes.
TABLE = {"board": (str, False, 1, 60), "i2c_bus": (str, True, 1, 60)}


class Bus:
    """An I2C bus of the board, made when a chip on it is first used."""

    def __init__(self, name, port, scl, sda, freq):
        self.name = name
        self.i2c = None
        self._port = port
        self._scl = scl
        self._sda = sda
        self._freq = freq

    def open(self):
        """Make the bus, or make it anew: that clears a controller which a chip left hanging."""
        self.i2c = self._port.i2c(self._scl, self._sda, self._freq)

    def __str__(self):
        return "I2C bus %s (SDA GPIO %d, SCL GPIO %d)" % (self.name, self._sda, self._scl)


def find(component, others):
    """The bus that the component's attributes name, on the board that they name or any."""
    wanted = component.attributes["i2c_bus"]
    board = component.attributes.get("board")
    for name in others:
        bus = getattr(others[name], "i2cs", {}).get(wanted)
        if bus and board in (None, name):
            return bus
    raise ResourceError(
        "no board%s has an I2C bus named %r: add it to the board's `i2cs`, with `data_pin` and "
        "`clock_pin`" % (" " + board if board else "", wanted)
    )


class Device:
    """A chip at an address.

    Children write setup(), which checks and configures the chip; it runs before the first use and
    again after each failure, so that a chip that was unplugged works when it is back. A child that
    sees that its chip forgot its configuration sets is_set_up to False.
    """

    def __init__(self, component, port, others, address):
        self.name = component.name
        self.port = port
        self.address = address
        self.bus = find(component, others)
        where = "address 0x%02x of %s" % (address, self.bus)
        self.uses = claim(component, port, others, {where: "i2c_address"})
        self._byte = bytearray(1)
        self.is_set_up = self._is_lost = False

    def wake(self):
        """Set the chip up ahead of its first reading. A failure shows when it is read."""
        try:
            self.ready()
        except (OSError, ResourceError):
            self._is_lost = True

    def ready(self):
        """Set the chip up if it is not. May raise OSError."""
        if not self.is_set_up:
            if self._is_lost or not self.bus.i2c:
                self.bus.open()
            self.setup()
            self._is_lost = False
            self.is_set_up = True

    def read(self, register, buf):
        """Fill `buf` from `register` on. Raises ResourceError."""
        try:
            self.ready()
            self.bus.i2c.readfrom_mem_into(self.address, register, buf)
        except OSError as e:
            raise self.lost(e) from None

    def get(self, register):
        """The byte in a register. May raise OSError."""
        self.bus.i2c.readfrom_mem_into(self.address, register, self._byte)
        return self._byte[0]

    def put(self, register, value):
        """Write a byte into a register. May raise OSError."""
        self._byte[0] = value
        self.bus.i2c.writeto_mem(self.address, register, self._byte)

    def lost(self, error):
        """What to raise for an OSError of the bus; the chip is set up anew before its next use."""
        self.is_set_up, self._is_lost = False, True
        return ResourceError(
            "%s: no answer from address 0x%02x on %s (%s): check its power, wires, pull-ups and "
            "address" % (self.name, self.address, self.bus, error)
        )

    def until(self, done, us):
        """Whether done() came true within so many µs. It is asked all the time, and nothing else
        runs: for waits of some milliseconds while the chip is set up.
        """
        start = self.port.ticks_us()
        for _ in range(_ASKED):
            if done():
                return True
            if self.port.ticks_diff(self.port.ticks_us(), start) > us:
                break
        return False

    def strange(self, found, ones, text):
        """What to raise for a chip that sends `found` where it should tell what it is; `ones` is
        what a register reads when all its bits are.
        """
        if found in (0, ones):
            text = "sends only %s: check its power and wires" % ("ones" if found else "zeros")
        return self.wrong(text)

    def again(self, text):
        """As wrong(); the chip is set up anew before its next use."""
        self.is_set_up = False
        return self.wrong(text)

    def wrong(self, text):
        """What to raise for a chip that answers, but not as it should."""
        return ResourceError(
            "%s: address 0x%02x on %s %s" % (self.name, self.address, self.bus, text)
        )
