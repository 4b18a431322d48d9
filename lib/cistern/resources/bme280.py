"""The sensor `bme280`: temperature, humidity and air pressure.

BME280 datasheet (BST-BME280-DS001, revision 1.23): the registers of section 5, forced mode of
3.3.3, measurement times of 9.1, and the compensation of 8.1 in floating point. On the chip, whose
floats have 32 bits, that formula stays within 0.03 Pa of the one with doubles: a hundredth of the
sensor's noise.
"""

from struct import unpack_from

from cistern.resources import Source, fields
from cistern.resources.attributes import check as check_table
from cistern.resources.i2c import TABLE, Device
from cistern.resources.pins import address

const = int  # MicroPython's compiler knows const() by its name

_CALIBRATION = const(0x88)  # 26 bytes, and 7 more at 0xE1
_CALIBRATION_H = const(0xE1)
_ID = const(0xD0)
_CTRL_HUM = const(0xF2)
_STATUS = const(0xF3)  # the data follow it from 0xF7 on
_CTRL_MEAS = const(0xF4)
_FORCED = const(1)
_BUSY = const(9)  # bits of _STATUS: it measures, or copies its calibration
_COPIES = const(1)
_START_US = const(4000)  # twice the longest "start-up time" of table 1
# What the data read that were not measured: skipped, or as after power-on (5.4.7, 5.4.8).
_SKIPPED = const(0x80000)
_NO_HUMIDITY = const(0x8000)
_WRONG_PCT = const(25)  # so far beyond 0 or 100 %, a humidity is none

_TABLE = dict(TABLE, i2c_address=("i2c", False, None, None), oversampling=(int, False, 1, 16))


def check(kind, model, attributes):
    """Problems of the attributes."""
    found = check_table(_TABLE, attributes)
    if not found and attributes.get("oversampling", 1) not in (1, 2, 4, 8, 16):
        found.append(("oversampling", "must be 1, 2, 4, 8 or 16"))
    return found


def build(component, port, others):
    """Make the sensor."""
    return Bme280(component, port, others)


class Bme280(Device):
    """Readings {"celsius": …, "pressure_hpa": …, "humidity_pct": …}.

    The chip sleeps between readings, so that it does not warm itself; a reading starts a
    measurement and waits for it.
    """

    def __init__(self, component, port, others):
        given = component.attributes
        Device.__init__(self, component, port, others, address(given.get("i2c_address", 0x76)))
        self._sleep_ms = port.sleep_ms
        times = int(given.get("oversampling", 1))
        self._code = (1, 2, 4, 8, 16).index(times) + 1
        # 1.25 ms, 2.3 ms for each of 3 * times conversions, 0.575 ms twice (9.1), rounded up.
        self.measure_ms = (2400 + 6900 * times) // 1000 + 1
        self._buf = bytearray(12)
        self._k = ()

    def setup(self):
        """See that it is a BME280, and read its calibration (4.2.2)."""
        chip = self.get(_ID)
        if chip == 0x58:
            raise self.wrong("is a BMP280, which has no humidity sensor: fit a BME280")
        if chip != 0x60:
            raise self.strange(
                chip, 0xFF, "is no BME280 (its id is 0x%02x, not 0x60): check i2c_address" % chip
            )
        if not self.until(self._copied, _START_US):
            raise self.wrong("does not end copying its calibration: check its power")
        low, high = bytearray(26), bytearray(7)
        self.bus.i2c.readfrom_mem_into(self.address, _CALIBRATION, low)
        self.bus.i2c.readfrom_mem_into(self.address, _CALIBRATION_H, high)
        h2, h3, h4, h45, h5, h6 = unpack_from("<hBbBbb", high)
        # dig_H4 and dig_H5 are 12 bits each, and share a byte.
        self._k = unpack_from("<HhhHhhhhhhhhxB", low) + (
            (h2, h3, h4 * 16 + (h45 & 15), h5 * 16 + (h45 >> 4), h6)
        )
        for k in (self._k[0], self._k[3], h2):  # dig_T1, dig_P1, dig_H2
            if k in (0, -1, 0xFFFF):
                raise self.wrong("sends no calibration: check its power and wires")
        self.put(_CTRL_HUM, self._code)

    def _copied(self):
        return not self.get(_STATUS) & _COPIES

    def source(self, method, params):
        """Readings."""
        names = ("readings.celsius", "readings.pressure_hpa", "readings.humidity_pct")
        return Source(self._read, fields("f32", *names), True)

    async def _read(self, values):
        buf = self._buf
        code = self._code << 5 | self._code << 2
        try:
            self.ready()
            # The write to ctrl_meas also makes that of ctrl_hum effective (5.4.3).
            self.put(_CTRL_MEAS, code | _FORCED)
            await self._sleep_ms(self.measure_ms)
            self.bus.i2c.readfrom_mem_into(self.address, _STATUS, buf)
            pressure = buf[4] << 12 | buf[5] << 4 | buf[6] >> 4
            temperature = buf[7] << 12 | buf[8] << 4 | buf[9] >> 4
            humidity = buf[10] << 8 | buf[11]
            skipped = _SKIPPED in (pressure, temperature) or humidity == _NO_HUMIDITY
            # ctrl_meas follows the status.
            lost = buf[1] & 0xFC != code or (skipped and self.get(_CTRL_HUM) != self._code)
        except OSError as e:
            raise self.lost(e) from None
        if lost:
            self.is_set_up = False
            raise self.strange(
                buf[1] if buf[1] == buf[0] == buf[4] else -1,
                0xFF,
                "lost its configuration: check its power; it is set up again",
            )
        if buf[0] & _BUSY:
            raise self.wrong("is still measuring after %d ms: check its power" % self.measure_ms)
        if skipped:
            raise self.again(
                "says that it skipped a measurement: check its power; it is set up again"
            )
        self._compensate(values, temperature, pressure, humidity)

    def _compensate(self, values, temperature, pressure, humidity):
        t1, t2, t3, p1, p2, p3, p4, p5, p6, p7, p8, p9, h1, h2, h3, h4, h5, h6 = self._k
        x = temperature / 131072 - t1 / 8192
        fine = 8 * x * t2 + x * x * t3
        celsius = fine / 5120
        x = fine / 2 - 64000
        y = x * x * p6 / 32768 + x * p5 * 2
        y = y / 4 + p4 * 65536
        x = (p3 * x * x / 524288 + p2 * x) / 524288
        x = (1 + x / 32768) * p1
        p = (1048576 - pressure - y / 4096) * 6250 / x if x else 0.0
        p += (p9 * p * p / 2147483648 + p * p8 / 32768 + p7) / 16
        p /= 100
        x = fine - 76800
        x = (humidity - (h4 * 64 + h5 / 16384 * x)) * (
            h2 / 65536 * (1 + h6 / 67108864 * x * (1 + h3 / 67108864 * x))
        )
        x *= 1 - h1 * x / 524288
        # Pressure has a tenth of a hPa for rounding; what is no number is in no range.
        if not (
            -40 <= celsius <= 85 and 299.9 <= p <= 1100.1 and -_WRONG_PCT <= x <= 100 + _WRONG_PCT
        ):
            raise self.again(
                "measures what it cannot (%g °C, %g hPa, %g %%): check its power and wires; its "
                "calibration is read again" % (celsius, p, x)
            )
        values[0] = celsius
        values[1] = p
        values[2] = min(max(x, 0.0), 100.0)
