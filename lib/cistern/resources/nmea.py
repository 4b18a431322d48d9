"""Sentences of a satellite receiver (NMEA 0183: RMC, GGA and GNS), as bytes come in.

Numbers are taken from their digits as whole numbers: a 32-bit float has room for a degree and its
fraction, not for the digits of ddmm.mmmmm. Of a sentence with a mistake in it nothing is taken.
"""

const = int  # MicroPython's compiler knows const() by its name

# NMEA 0183 allows 82; receivers with many decimals exceed it.
_MAX_LINE = const(120)
_KNOT = 1852 / 3600  # m/s
# Bounds of what receivers for everyone give (u-blox, "Limits of operation"), with room below.
_MAX_KNOTS = const(1000)
_LOWEST_M = const(-1000)
_HIGHEST_M = const(50000)
# So many of one kind without one of the other: the receiver sends no others. Some send ten of one
# in the time of one of the other.
_ALONE = const(10)
_FIRST = const(2)  # as many suffice where the other kind was never there


class Fix:
    """What the receiver last said.

    has_position: it knows where it is. latitude, longitude: degrees, north and east positive.
    altitude: metres above mean sea level, None where it gives none. speed: m/s, None as long as it
    gave none. heading: degrees from north, None as long as it gave none, which it does not while
    it stands still. satellites: in use. sentences: how many came in whole; epochs: how many that
    tell the position; bare: how many without a checksum, which are not taken.
    """

    def __init__(self):
        self.has_position = False
        self.latitude = self.longitude = 0.0
        self.altitude = self.speed = self.heading = None
        self.satellites = 0
        self.sentences = self.epochs = self.bare = 0
        self._line = bytearray()
        # RMC since the last GGA or GNS, and those since the last RMC.
        self._rmcs = _ALONE - _FIRST
        self._others = 0

    def feed(self, data):
        """Take bytes as they came."""
        line = self._line
        for byte in data:
            if byte in (10, 13, 36):  # "$" begins a sentence, also where the last has no end
                if line:
                    self._sentence(bytes(line).rstrip())
                line[:] = b"$" if byte == 36 else b""
            elif len(line) < _MAX_LINE:
                line.append(byte)
            else:
                line[0] = 0  # a part of it may look whole

    def _sentence(self, line):
        if line[:1] != b"$":
            return
        total = 0
        for byte in line[1:-3]:
            if not 32 <= byte < 127:
                return
            total ^= byte
        values = []
        try:
            if line[-3:-2] != b"*":
                # Only what is the beginning of one, as "GPGGA,": a wrong baud rate has none.
                self.bare += line[6:7] == b"," and line[3:6] in (b"RMC", b"GGA", b"GNS")
                return
            if ("%02X" % total).encode() != line[-2:].upper():
                return
            values = line[1:-3].decode().split(",")
            self.sentences += 1
            # The first two letters tell which satellites: GP, GL, GA, GN, …; P is a maker's own.
            kind = values[0][2:]
            if values[0][0] == "P":
                pass
            elif kind == "RMC" and len(values) > 8:
                self._rmc(values)
            elif kind in ("GGA", "GNS") and len(values) > 9:
                self._gga(values, kind)
        except (ValueError, IndexError):
            pass  # as with a wrong checksum: the next one is a second away

    def _rmc(self, values):
        """Recommended minimum: A is valid, V is a warning; so is N where there is a mode."""
        self._rmcs += 1
        self._others = 0
        alone = self._rmcs >= _ALONE
        if values[2] != "A" or values[12:13] == ["N"]:
            self.has_position = False
            self.speed = None
            self.epochs += alone
            return
        speed = _number(values[7], 0, _MAX_KNOTS)
        heading = _number(values[8], 0, 360)
        latitude, longitude = _position(values, 3)
        self.speed = None if speed is None else speed * _KNOT
        if heading is not None:
            self.heading = heading % 360
        if alone or not self.epochs:
            self.latitude, self.longitude, self.altitude = latitude, longitude, None
            self.has_position = True
            self.epochs += alone

    def _gga(self, values, kind):
        """Fix data. GGA: quality 0 is no fix. GNS: a letter for each system, N is none."""
        self._rmcs = 0
        self._others += 1
        if self._others > _ALONE:
            self.speed = None  # there are no RMC any more
        mode = values[6]
        self.satellites = int(values[7]) if values[7].isdigit() else 0
        if mode.replace("N", "") if kind == "GNS" else mode not in ("", "0"):
            latitude, longitude = _position(values, 2)
            altitude = _number(values[9], _LOWEST_M, _HIGHEST_M)
            if kind == "GGA" and values[10:11] not in ([], [""], ["M"]):
                altitude = None  # in another unit than metres
            self.latitude, self.longitude, self.altitude = latitude, longitude, altitude
            self.has_position = True
        else:
            self.has_position = False
        self.epochs += 1


def _number(text, low, high):
    """A number written with digits, from `low` to `high`; None for an empty field."""
    if not text:
        return None
    digits = text[1:] if text[0] == "-" else text
    if not digits.replace(".", "", 1).isdigit():
        raise ValueError
    value = float(text)
    if not low <= value <= high:
        raise ValueError
    return value


def _position(values, i):
    """Latitude and longitude of four fields from values[i] on."""
    latitude = _degrees(values[i], 2, ("N", "S").index(values[i + 1]))
    longitude = _degrees(values[i + 2], 3, ("E", "W").index(values[i + 3]))
    return latitude, longitude


def _degrees(text, n, negative):
    """ddmm.mmmm (n = 2, up to 90°) or dddmm.mmmm (n = 3, up to 180°) in degrees."""
    whole, _, decimals = text.partition(".")
    if len(whole) != n + 2 or not (whole + decimals).isdigit():
        raise ValueError
    # Six decimals of a minute are 2 mm; so many keep the sum below 2**30 for the chip.
    minutes = int(whole[n:]) * 1000000 + int((decimals + "000000")[:6])
    degrees = int(whole[:n]) + minutes / 60000000
    if minutes >= 60000000 or degrees > 90 * (n - 1):
        raise ValueError
    return -degrees if negative else degrees
