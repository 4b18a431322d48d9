"""BME280 by its datasheet (BST-BME280-DS001): forced measurements, a calibration of its own."""

from struct import pack

from cistern.port.simulated.i2c import Chip
from cistern.port.simulated.pins import wave

# dig_T1 to dig_P9 of the worked example in the BMP280 datasheet (BST-BMP280-DS001, 3.12), whose
# compensation is the same; dig_H1 to dig_H6 as of a common device.
T = (27504, 26435, -1000)
P = (36477, -10685, 3024, 2855, 140, -7, 15500, -14600, 6000)
H = (75, 355, 0, 340, 0, 30)

_ID = 0xD0
_RESET = 0xE0
_CTRL_HUM = 0xF2
_STATUS = 0xF3
_CTRL_MEAS = 0xF4
_DATA = 0xF7
_FORCED = (1, 2)
_CALIBRATION = ((0x88, 0xA2), (0xE1, 0xE8))
_START_US = 2000  # "start-up time", table 1: until then its calibration is being copied
_IM_UPDATE = 1
_MEASURING = 8


def _div(a, b):
    """C's division, which rounds towards 0."""
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


def fine_temperature(raw):
    """t_fine, in 1/5120 °C (4.2.3, in 32-bit integers)."""
    a = ((raw >> 3) - (T[0] << 1)) * T[1] >> 11
    b = (raw >> 4) - T[0]
    return a + ((b * b >> 12) * T[2] >> 14)


def centicelsius(raw):
    """The datasheet's temperature in 0.01 °C."""
    return fine_temperature(raw) * 5 + 128 >> 8


def pascal_256(raw, fine):
    """The datasheet's pressure in 1/256 Pa (4.2.3, in 64-bit integers)."""
    a = fine - 128000
    b = a * a * P[5] + (a * P[4] << 17) + (P[3] << 35)
    a = (a * a * P[2] >> 8) + (a * P[1] << 12)
    a = ((1 << 47) + a) * P[0] >> 33
    p = _div(((1048576 - raw << 31) - b) * 3125, a)
    return (p + (P[8] * (p >> 13) * (p >> 13) >> 25) + (P[7] * p >> 19) >> 8) + (P[6] << 4)


def percent_1024(raw, fine):
    """The datasheet's relative humidity in 1/1024 % (4.2.3, in 32-bit integers)."""
    v = fine - 76800
    left = (raw << 14) - (H[3] << 20) - H[4] * v + 16384 >> 15
    right = ((v * H[5] >> 10) * ((v * H[2] >> 11) + 32768) >> 10) + 2097152
    v = left * (right * H[1] + 8192 >> 14)
    v -= ((v >> 15) * (v >> 15) >> 7) * H[0] >> 4
    return min(max(v, 0), 419430400) >> 12


def _raw(wanted, value_of, bits):
    """The raw value that gives a wanted one, by bisection; value_of rises or falls steadily."""
    low, high = 0, (1 << bits) - 1
    rises = value_of(high) > value_of(low)
    while low < high:
        middle = low + high >> 1
        if (value_of(middle) < wanted) == rises:
            low = middle + 1
        else:
            high = middle
    return low


def room(us):
    """Weather at a time: °C, Pa, % relative humidity."""
    return 18 + wave(us, 17) / 128, 100500 + wave(us, 18), 60 - wave(us, 17) / 64


class Bme280(Chip):
    """weather(µs) → (°C, Pa, %)."""

    address = 0x76

    def __init__(self, ticks_us, weather=room):
        self.weather = weather
        Chip.__init__(self, ticks_us)

    def reset(self):
        """Asleep; data as before the first measurement (5.4.8)."""
        r = self.registers = bytearray(256)
        r[_ID] = 0x60
        r[0x88:0xA0] = pack("<HhhHhhhhhhhh", *(T + P))
        r[0xA1] = H[0]
        r[0xE1:0xE8] = pack(
            "<hBbBbb",
            H[1],
            H[2],
            H[3] >> 4,
            (H[3] & 15) | (H[4] & 15) << 4,
            H[4] >> 4,
            H[5],
        )
        r[_DATA : _DATA + 8] = b"\x80\0\0\x80\0\0\x80\0"
        self._humidity = 0  # ctrl_hum as it was when ctrl_meas was written
        self._done_at = None
        self._copied_at = self.now() + _START_US

    def store(self, register, value):
        """Resets, and begins measurements."""
        if register == _RESET and value == 0xB6:
            self.reset()
            return
        self.registers[register] = value
        if register == _CTRL_MEAS and value & 3 in _FORCED:
            self._humidity = self.registers[_CTRL_HUM] & 7
            counts = [self._humidity, value >> 2 & 7, value >> 5]
            times = [1 << min(code, 5) - 1 if code else 0 for code in counts]
            # Longest times of 9.1.
            us = 1250 + 2300 * sum(times) + 575 * sum(1 for n in times[:2] if n)
            self._done_at = self.now() + us

    def load(self, register):
        """A measurement is there when its time has passed; so is the calibration."""
        copying = self.now() < self._copied_at
        done = self._done_at is not None and self.now() >= self._done_at
        if done and register in (_STATUS, _DATA):
            self._finish()
        if register == _STATUS:
            measuring = _MEASURING if self._done_at is not None else 0
            return self.registers[_STATUS] | measuring | (_IM_UPDATE if copying else 0)
        if copying and any(low <= register < high for low, high in _CALIBRATION):
            return 0
        return self.registers[register]

    def _finish(self):
        self._done_at = None
        self.registers[_CTRL_MEAS] &= 0xFC
        celsius, pascal, percent = self.weather(self.now())
        t = _raw(int(celsius * 100), centicelsius, 20)
        fine = fine_temperature(t)
        p = _raw(int(pascal * 256), lambda raw: pascal_256(raw, fine), 20)
        h = 0x8000
        if self._humidity:
            h = _raw(int(percent * 1024), lambda raw: percent_1024(raw, fine), 16)
        data = (p >> 12, p >> 4 & 255, p << 4 & 255, t >> 12, t >> 4 & 255, t << 4 & 255)
        self.registers[_DATA : _DATA + 8] = bytes(data + (h >> 8, h & 255))
