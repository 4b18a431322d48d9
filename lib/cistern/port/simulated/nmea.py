"""A serial port with a satellite receiver on it that sends NMEA sentences once a second."""

from cistern.port.simulated.clock import Clock
from cistern.port.simulated.pins import wave

_SECOND = 1000000
# Receivers send some time after the second that they tell about.
_DELAY_US = 100000


def sentence(text):
    """With its checksum and line end."""
    total = 0
    for c in text:
        total ^= ord(c)
    return ("$%s*%02X\r\n" % (text, total)).encode()


def walk(second):
    """A lap around a garden: degrees north and east, metres, knots, degrees from north."""
    us = second * _SECOND
    east, north = wave(us, 17), wave(us, 16)
    return 52.3702 + north / 1000000, 4.8952 + east / 1000000, 2.0, 2.7, wave(us, 17) * 360 / 1024


def minutes(degrees, digits):
    """ddmm.mmmmm or dddmm.mmmmm."""
    total = int(abs(degrees) * 6000000 + 0.5)
    text = "%05d" % (total % 100000)
    whole = total // 100000
    return ("%0" + str(digits) + "d%02d.%s") % (whole // 60, whole % 60, text)


def sentences(second, fix):
    """What a receiver says about a second; fix: as walk() gives it, or None without a position."""
    time = "%02d%02d%02d.00" % (second // 3600 % 24, second // 60 % 60, second % 60)
    if fix is None:
        return sentence("GPGGA,%s,,,,,0,00,99.99,,,,,," % time) + sentence(
            "GPRMC,%s,V,,,,,,,010126,,,N" % time
        )
    north, east, metres, knots, heading = fix
    where = "%s,%s,%s,%s" % (
        minutes(north, 2),
        "S" if north < 0 else "N",
        minutes(east, 3),
        "W" if east < 0 else "E",
    )
    course = "" if heading is None else "%.2f" % heading
    return (
        sentence("GPRMC,%s,A,%s,%.3f,%s,010126,,,A" % (time, where, knots, course))
        + sentence("GPVTG,%s,T,,M,%.3f,N,%.3f,K,A" % (course, knots, knots * 1.852))
        + sentence("GPGGA,%s,%s,1,09,0.92,%.1f,M,47.0,M,," % (time, where, metres))
        + sentence("GPGSA,A,3,05,13,15,17,19,21,24,28,30,,,,1.62,0.92,1.33")
    )


class Uart:
    """machine.UART. What comes in while `rxbuf` bytes wait is lost.

    track(second) → fix, see sentences(). plugged: whether the receiver is wired.
    says(second, fix) → what it sends.
    """

    def __init__(self, ticks_us, baudrate, rxbuf, track=walk):
        self.track = track
        self.plugged = True
        self.says = sentences
        self.running = True
        self._now = Clock(ticks_us).now
        self._byte_us = 10 * _SECOND // baudrate  # start, 8 bits, stop
        self._rxbuf = rxbuf
        self._waiting = b""
        self._second = -1
        self._sending = b""
        self._sent = 0

    def _run(self):
        """Receive what was sent since the last look."""
        now = self._now()
        while True:
            start = self._second * _SECOND + _DELAY_US
            come = min(max((now - start) // self._byte_us, 0), len(self._sending))
            if self.plugged:
                room = self._rxbuf - len(self._waiting)
                self._waiting += self._sending[self._sent : min(come, self._sent + room)]
            self._sent = come
            if (self._second + 1) * _SECOND + _DELAY_US > now:
                return
            self._second += 1
            self._sending = self.says(self._second, self.track(self._second))
            self._sent = 0

    def any(self):
        """How many bytes wait."""
        self._run()
        return len(self._waiting)

    def readinto(self, buf, size=None):
        """Fill `buf` with what waits; how many, or None when nothing does."""
        self._run()
        size = min(len(buf) if size is None else size, len(self._waiting))
        buf[:size] = self._waiting[:size]
        self._waiting = self._waiting[size:]
        return size or None

    def read(self, size=None):
        """What waits, or None."""
        buf = bytearray(self.any() if size is None else size)
        n = self.readinto(buf)
        return bytes(buf[:n]) if n else None

    def write(self, buf):
        """To the receiver, which does not listen."""
        return len(buf)

    def deinit(self):
        """Give the port back."""
        self.running = False
