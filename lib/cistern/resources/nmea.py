"""Sentences of a satellite receiver (NMEA 0183: RMC and GGA), as bytes come in.

Numbers are taken from their digits as whole numbers: a 32-bit float has room for a degree and its
fraction, not for the digits of ddmm.mmmmm.
"""

const = int  # MicroPython's compiler knows const() by its name

# NMEA 0183 allows 82; receivers with many decimals exceed it.
_MAX_LINE = const(120)
_KNOT = 1852 / 3600  # m/s


class Fix:
    """What the receiver last said.

    has_position: it knows where it is. latitude, longitude: degrees, north and east positive.
    altitude: metres above mean sea level. speed: m/s. heading: degrees from north, None as long as
    the receiver gave none, which it does not while it stands still. satellites: in use.
    sentences: how many came in whole; epochs: how many that tell the position.
    """

    def __init__(self):
        self.has_position = False
        self.latitude = self.longitude = self.altitude = self.speed = 0.0
        self.heading = None
        self.satellites = 0
        self.sentences = 0
        self.epochs = 0
        self._line = bytearray()

    def feed(self, data):
        """Take bytes as they came."""
        line = self._line
        for byte in data:
            if byte == 36:  # "$"
                line[:] = b""
            if byte in (10, 13):
                if line:
                    self._sentence(bytes(line))
                line[:] = b""
            elif len(line) < _MAX_LINE:
                line.append(byte)

    def _sentence(self, line):
        star = len(line) - 3
        if line[:1] != b"$" or star < 6 or line[star : star + 1] != b"*":
            return
        total = 0
        for byte in line[1:star]:
            total ^= byte
        try:
            if total != int(line[star + 1 :], 16):
                return
            values = line[1:star].decode().split(",")
            # The first two letters tell which satellites: GP, GL, GA, GN, …
            if values[0][2:] == "RMC" and len(values) > 8:
                self._rmc(values)
            elif values[0][2:] == "GGA" and len(values) > 9:
                self._gga(values)
            self.sentences += 1
        except ValueError:
            pass  # as with a wrong checksum: the next one is a second away

    def _rmc(self, values):
        """Recommended minimum: A is valid, V is a warning."""
        if values[2] != "A":
            self.has_position = False
            return
        speed = float(values[7] or 0)
        heading = float(values[8]) if values[8] else self.heading
        self.speed, self.heading = speed * _KNOT, heading

    def _gga(self, values):
        """Fix data: quality 0 is no fix."""
        satellites = int(values[7] or 0)
        if values[6] not in ("", "0"):
            latitude = _degrees(values[2], 2, values[3] == "S")
            longitude = _degrees(values[4], 3, values[5] == "W")
            # Nothing of a sentence with a mistake in it is taken.
            self.altitude = float(values[9] or 0)
            self.latitude, self.longitude = latitude, longitude
            self.has_position = True
        else:
            self.has_position = False
        self.satellites = satellites
        self.epochs += 1


def _degrees(text, n, negative):
    """ddmm.mmmm (n = 2) or dddmm.mmmm (n = 3) in degrees."""
    whole, _, decimals = text[n:].partition(".")
    # Six decimals of a minute are 2 mm; so many keep the sum below 2**30 for the chip.
    decimals = (decimals + "000000")[:6]
    degrees = int(text[:n]) + (int(whole) * 1000000 + int(decimals)) / 60000000
    return -degrees if negative else degrees
