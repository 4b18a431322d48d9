"""The light sensor BH1750 on an I2C bus: a model of one's own, for a chip that needs time.

    {"name": "sun", "type": "sensor", "model": "garden:light:bh1750",
     "attributes": {"i2c_bus": "i2c0"}}

BH1750FVI datasheet, "Instruction Set Architecture". The chip has no registers: it is told what to
do by a byte, and gives two when it has done it. cistern.resources.i2c.Device finds the bus,
refuses an address that is taken, and words what to check when the chip does not answer.
"""

from cistern.resources.i2c import TABLE, Device
from cistern.resources.own import Source, fields, register

POWER_ON = b"\x01"
MEASURE_ONCE = b"\x20"  # in steps of 1 lux; then it sleeps
MEASURE_MS = 180  # at most


class Bh1750(Device):
    """Readings {"lux": …}."""

    def __init__(self, component, port, others):
        Device.__init__(self, component, port, others, 0x23)
        self._sleep_ms = port.sleep_ms
        self._buf = bytearray(2)

    def setup(self):
        """Before the first reading, and after each failure."""
        self.bus.i2c.writeto(self.address, POWER_ON)

    def source(self, method, params):
        """True: reading it waits, so _read is a coroutine; others run meanwhile."""
        return Source(self._read, fields("f32", "readings.lux"), True)

    async def _read(self, values):
        try:
            self.ready()
            self.bus.i2c.writeto(self.address, MEASURE_ONCE)
            await self._sleep_ms(MEASURE_MS)
            self.bus.i2c.readfrom_into(self.address, self._buf)
        except OSError as e:
            raise self.lost(e) from None
        values[0] = (self._buf[0] << 8 | self._buf[1]) / 1.2


register("sensor", "garden:light:bh1750", Bh1750, TABLE)
