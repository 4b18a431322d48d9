"""The movement sensor `gps-nmea`: a satellite receiver on a serial port."""

from math import cos, radians, sin

from cistern.resources import ResourceError, Source, fields
from cistern.resources.attributes import check as check_table
from cistern.resources.nmea import Fix
from cistern.resources.pins import take

# Two seconds of a receiver with the usual six sentences a second, 500 bytes.
RX_BUFFER = 1024
# From here on the port may have dropped what came last, so that what it holds is of the past.
_CROWDED = RX_BUFFER * 3 // 4
# Receivers tell the position once a second; one of them may be lost.
MAX_AGE_US = 2200000
_POLL_MS = 20
# Slower than this and without a course, it stands: receivers give none then.
_STANDS_M_S = 0.5

_TABLE = {
    "board": (str, False, 1, 60),
    "rx_pin": ("in", True, None, None),
    "tx_pin": ("out", True, None, None),
    "baud_rate": (int, False, 1200, 921600),
}
_METHODS = ("Readings", "Position", "LinearVelocity", "CompassHeading")
_XYZ = ("linear_velocity.x", "linear_velocity.y", "linear_velocity.z")


def check(kind, model, attributes):
    """Problems of the attributes."""
    return check_table(_TABLE, attributes)


def build(component, port, others):
    """Make the sensor."""
    return Gps(component, port, others)


class Gps:
    """Position, LinearVelocity (x to the east, y to the north, m/s), CompassHeading (degrees,
    over ground) and Readings with all three.

    A reading is what the receiver said last, at most 2 s ago; where the port's buffer had no room
    for that, the reading waits for the next.
    """

    def __init__(self, component, port, others):
        (self._rx, self._tx), self.uses = take(component, port, others, "rx_pin", "tx_pin")
        self._name = component.name
        self._port = port
        self._baud = int(component.attributes.get("baud_rate", 9600))
        self._uart = port.uart(self._tx, self._rx, self._baud, RX_BUFFER)
        self._buf = memoryview(bytearray(128))
        self._fix = Fix()
        self._heard = None  # uptime at which an epoch was last taken from the port
        self._bytes = 0  # that came in since then

    def source(self, method, params):
        """A source of the method."""
        if method == "Position":
            # Of no fixed shape: there may be no altitude.
            return Source(self._position, None, True)
        if method == "LinearVelocity":
            return Source(self._velocity, fields("f32", *_XYZ), True)
        if method == "CompassHeading":
            return Source(self._heading, fields("f32", "value"), True)
        if method == "Readings":
            return Source(self._readings, None, True)
        raise ResourceError("gps-nmea has no %s; it has: %s" % (method, ", ".join(_METHODS)))

    async def _drain(self):
        """Take all that the port holds; 128 bytes take over a millisecond."""
        size = self._uart.any()
        crowded = size >= _CROWDED
        epochs = self._fix.epochs
        while size > 0:
            n = self._uart.readinto(self._buf[: min(size, len(self._buf))])
            if not n:
                break
            self._fix.feed(self._buf[:n])
            size -= n
            self._bytes += n
            await self._port.sleep_ms(0)
        if self._fix.epochs != epochs and not crowded:
            # Not ticks: these wrap between two readings of a slow collector.
            self._heard = self._port.uptime_us()

    async def _fresh(self):
        """The fix, of now."""
        port, fix = self._port, self._fix
        start = port.uptime_us()
        await self._drain()
        heard = fix.sentences, fix.bare
        self._bytes = 0
        while self._heard is None or port.uptime_us() - self._heard > MAX_AGE_US:
            if port.uptime_us() - start > MAX_AGE_US:
                self._heard = None
                raise ResourceError(
                    "%s: the receiver on GPIO %d (TX to it is GPIO %d, %d baud) %s"
                    % (self._name, self._rx, self._tx, self._baud, self._why(*heard))
                )
            await port.sleep_ms(_POLL_MS)
            await self._drain()
        if not fix.has_position:
            raise ResourceError(
                "%s: no position yet: the antenna needs sight of the sky, and up to some minutes "
                "after power-on" % self._name
            )
        return fix

    def _why(self, sentences, bare):
        """Why nothing told the position, from what came in instead."""
        if self._fix.sentences != sentences:
            return (
                "sends sentences, but none that tells a position (GGA, GNS, or RMC twice): switch "
                "one on in the receiver"
            )
        if self._fix.bare != bare:
            return "sends sentences without a checksum: switch the checksum on in the receiver"
        if self._bytes:
            return (
                "says nothing that is NMEA: check baud_rate, its wires, and what it is set to send"
            )
        return "says nothing: check its power, that its TX is wired to rx_pin, and baud_rate"

    async def _position(self):
        return self._place(await self._fresh())

    def _place(self, fix):
        place = {"coordinate": {"latitude": fix.latitude, "longitude": fix.longitude}}
        if fix.altitude is not None:
            place["altitude_m"] = fix.altitude
        return place

    async def _velocity(self, values):
        fix = await self._fresh()
        if fix.speed is None:
            raise ResourceError(
                "%s: no speed: the receiver sends no RMC sentences, or none with a speed in it"
                % self._name
            )
        if fix.heading is None and fix.speed > _STANDS_M_S:
            raise ResourceError("%s: no velocity yet: its speed has no direction" % self._name)
        heading = radians(fix.heading or 0)
        values[0] = fix.speed * sin(heading)
        values[1] = fix.speed * cos(heading)
        values[2] = 0.0

    async def _heading(self, values):
        fix = await self._fresh()
        if fix.heading is None:
            raise ResourceError("%s: no heading yet: the receiver has not moved" % self._name)
        values[0] = fix.heading

    async def _readings(self):
        fix = await self._fresh()
        readings = {"position": self._place(fix)}
        try:
            velocity = [0.0, 0.0, 0.0]
            await self._velocity(velocity)
            readings["linear_velocity"] = {"x": velocity[0], "y": velocity[1], "z": velocity[2]}
        except ResourceError:
            pass  # it has none
        if fix.heading is not None:
            readings["compass_heading"] = fix.heading
        return {"readings": readings}

    def close(self):
        """Give the serial port back."""
        self._port.end_uart(self._uart)
