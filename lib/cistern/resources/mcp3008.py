"""The MCP3008 or MCP3004 on an SPI bus: eight or four analog inputs of 10 bits.

Microchip DS21295, section 5, "Serial Communication", and 6.1, "Using the MCP3004/3008 with
Microcontroller (MCU) SPI Ports".
"""

from cistern.resources import ResourceError

const = int  # MicroPython's compiler knows const() by its name

_START = const(1)
_SINGLE = const(0x80)  # one input against ground, not two against each other
_NULL = const(4)  # always 0 before the ten bits; 1 where nothing drives the wire


class Reader:
    """One input, with the face of machine.ADC; reference_uv: the voltage at VREF, in µV."""

    at_once = False
    whole_range = True  # from ground to VREF, ends included

    def __init__(self, chip, channel, reference_uv):
        self._chip = chip
        self._command = _SINGLE | channel << 4
        # In steps of 64 µV, for products that are small ints.
        self._reference = reference_uv >> 6
        self._buf = bytearray(3)

    def _read(self):
        buf = self._buf
        buf[0] = _START
        buf[1] = self._command
        buf[2] = 0
        self._chip.exchange(buf)
        if buf[1] & _NULL:
            raise ResourceError(
                "no answer from the MCP3008 on %s: check its power, wires and chip select"
                % self._chip
            )
        return (buf[1] & 3) << 8 | buf[2]

    def read_u16(self):
        """The value, 0..65535, in 1024 steps."""
        value = self._read()
        return value << 6 | value >> 4

    def read_uv(self):
        """The voltage in µV."""
        return self._read() * self._reference >> 4
