"""INA219 by its datasheet (SBOS448): six registers of 16 bits, results that take their time."""

from cistern.port.simulated.i2c import Chip
from cistern.port.simulated.pins import wave

_CONVERTED = 2  # CNVR
_OVERFLOW = 1  # OVF
_12_BITS_US = 532


def battery(us):
    """A 12 V battery under a load that changes: volts, amperes."""
    return 12 - wave(us, 14) / 1024, 0.25 + wave(us, 12) / 512


class Ina219(Chip):
    """supply(µs) → (volts, amperes); ohms: of the shunt. overflow: what the bit OVF says."""

    address = 0x40

    def __init__(self, ticks_us, supply=battery, ohms=0.1):
        self.supply = supply
        self.ohms = ohms
        self.overflow = False
        Chip.__init__(self, ticks_us)

    def reset(self):
        """Configuration 0x399F, the rest 0 until the first conversion ends."""
        self._configuration, self._calibration = 0x399F, 0
        self._reset_at = self._begun = self.now()

    def fill(self, buf):
        """The two bytes of the register, over and over."""
        value = self._value(self.register)
        for i in range(len(buf)):
            buf[i] = value & 255 if i & 1 else value >> 8

    def take(self, data):
        """A register has two bytes; bit 15 of the configuration resets."""
        if len(data) != 2:
            return
        value = data[0] << 8 | data[1]
        if self.register == 0 and value & 0x8000:
            self.reset()
        elif self.register == 0:
            self._configuration, self._begun = value, self.now()
        elif self.register == 5:
            self._calibration = value & 0xFFFE

    def _value(self, register):
        if register == 0:
            return self._configuration
        if register == 5:
            return self._calibration
        shunt_us = _conversion_us(self._configuration >> 3)
        both_us = shunt_us + _conversion_us(self._configuration >> 7)
        converted = _CONVERTED if self.now() - self._begun >= both_us else 0
        if register == 3:
            self._begun = self.now()  # reading the power clears CNVR
        if self.now() - self._reset_at < (shunt_us if register == 1 else both_us):
            return 0
        volts, amperes = self.supply(self.now())
        # The range that the bits PG allow: 40, 80, 160 or 320 mV in steps of 10 µV.
        limit = 4000 << (self._configuration >> 11 & 3)
        shunt = min(max(round(amperes * self.ohms * 100000), -limit), limit)
        bus = round(volts * 250)
        if register == 1:
            return shunt & 0xFFFF
        if register == 2:
            return bus << 3 | converted | (_OVERFLOW if self.overflow else 0)
        current = shunt * self._calibration >> 12
        return (current if register == 4 else current * bus // 5000) & 0xFFFF


def _conversion_us(bits):
    """Of the four bits SADC or BADC: 9 to 12 bits, or a mean of 2 to 128 of 12."""
    if bits & 8:
        return _12_BITS_US << (bits & 7)
    return _12_BITS_US + 24 >> 3 - (bits & 3)
