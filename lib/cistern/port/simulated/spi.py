"""SPI buses, and an MCP3008 on each chip select."""

from cistern.port.simulated.pins import wave

_OVERHEAD_US = 40  # of a transfer: the driver's queue and interrupt, and the select pin twice


class Spi:
    """A bus; chips(select): what is wired to a chip select. charge(us): see SimulatedBoard."""

    def __init__(self, chips, freq, charge=None):
        self._chips = chips
        self._freq = freq
        self._charge = charge

    def chip(self, select):
        """The chip that a low level at this GPIO number selects."""
        return _Selected(self._chips(select), self)

    def take(self, size):
        """Let the time pass that so many bytes take."""
        if self._charge:
            self._charge(_OVERHEAD_US + size * 8000000 // self._freq)


class _Selected:
    def __init__(self, chip, bus):
        self._chip = chip
        self._bus = bus

    def exchange(self, buf):
        """Send `buf`, and put what comes back in its place."""
        self._bus.take(len(buf))
        self._chip.exchange(buf)


class Mcp3008:
    """An MCP3008 whose inputs are near 0.75 V of 3.3 V and move, each at a level of its own.

    raw: input → a number that it reads instead, 0..1023. plugged: False leaves MISO to a pull-up.
    """

    def __init__(self, ticks_us):
        self.raw = {}
        self.plugged = True
        self._ticks_us = ticks_us

    def exchange(self, buf):
        """DS21295, figure 6-1: the start bit ends the first byte, the null bit and two bits of the
        result end the second one, eight bits are the third. What goes before is not driven.
        """
        if not self.plugged or buf[0] != 1 or buf[1] & 0x80 == 0:
            buf[:] = b"\xff" * len(buf)
            return
        channel = buf[1] >> 4 & 7
        value = self.raw.get(channel, 230 + channel + (wave(self._ticks_us(), 14) >> 7))
        buf[0] = 0xFF
        buf[1] = 0xF8 | value >> 8
        buf[2] = value & 0xFF
