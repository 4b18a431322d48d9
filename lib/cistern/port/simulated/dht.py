"""DHT11 and DHT22: MicroPython's driver, with a sensor at the other end of the wire."""

from cistern.port.simulated.pins import wave

_ETIMEDOUT = 110
_US = 25000  # 18 ms of start signal, its answer, 40 bits


class Dht:
    """dht.DHT11 or dht.DHT22. weather(tick) → (°C, %); corrupt: a bit of each answer is wrong.

    complement: it sends negative temperatures in two's complement, as many modules do.
    frame: None, or the four bytes that it sends instead.
    """

    def __init__(self, kind, ticks_us, charge=None):
        self.plugged = True
        self.corrupt = self.complement = False
        self.frame = None
        self.weather = lambda tick: (18 + wave(tick, 17) / 128, 60 - wave(tick, 17) / 64)
        self._fine = kind == "dht22"
        self._ticks_us = ticks_us
        self._charge = charge
        self.buf = self._buf = bytearray(5)  # the driver's name for it is the first

    def measure(self):
        """Read the sensor's five bytes."""
        if self._charge:
            self._charge(_US)
        if not self.plugged:
            raise OSError(_ETIMEDOUT)
        celsius, percent = self.weather(self._ticks_us())
        b = self._buf
        if self._fine:
            # Tenths; bit 15 of the temperature is its sign.
            h, t = int(percent * 10 + 0.5), int(abs(celsius) * 10 + 0.5)
            if celsius < 0:
                t = 0x10000 - t if self.complement else t | 0x8000
            b[0], b[1], b[2], b[3] = h >> 8, h & 255, t >> 8 & 255, t & 255
        else:
            b[0], b[1], b[2], b[3] = int(percent), 0, int(celsius), 0
        if self.frame:
            b[:4] = self.frame
        b[4] = b[0] + b[1] + b[2] + b[3] & 255
        if self.corrupt:
            b[2] ^= 1
        if b[0] + b[1] + b[2] + b[3] & 255 != b[4]:
            raise Exception("checksum error")

    def humidity(self):
        """In %."""
        return (self._buf[0] << 8 | self._buf[1]) * 0.1 if self._fine else self._buf[0]

    def temperature(self):
        """In °C."""
        b = self._buf
        if not self._fine:
            return b[2]
        celsius = ((b[2] & 127) << 8 | b[3]) * 0.1
        return -celsius if b[2] & 128 else celsius
