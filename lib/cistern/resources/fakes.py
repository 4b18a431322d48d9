"""Components without hardware, of every type but sensor (fake.py): values that move slowly and
are plausible, so that a configuration can be tried before anything is wired.
"""

from cistern.resources import Source, fields
from cistern.resources.attributes import check as check_table

_VECTOR = (".x", ".y", ".z")
_POSITION = ("coordinate.latitude", "coordinate.longitude", "altitude_m")


def check(kind, model, attributes):
    """Problems of the attributes: they take none."""
    return check_table({}, attributes)


def build(component, port, others):
    """Make a fake of the component's type."""
    make = {
        "board": Board,
        "movement_sensor": MovementSensor,
        "power_sensor": PowerSensor,
        "encoder": Encoder,
        "motor": Motor,
        "servo": Servo,
    }[component.type.rsplit(":", 1)[-1]]
    return make(port)


class Fake:
    """Base: a clock to move by."""

    def __init__(self, port):
        self._ticks_us = port.ticks_us

    def wave(self, shift):
        """A triangle wave from 0 to 1023 and back in 2048 * 2**shift µs."""
        phase = (self._ticks_us() >> shift) & 2047
        return phase if phase < 1024 else 2047 - phase


class Board(Fake):
    """Analogs of any reader, Gpios of any pin."""

    def source(self, method, params):
        """A source of the method."""
        if method == "Analogs":
            return Source(self._analog, fields("u16", "value"))
        return Source(self._gpio, fields("bool", "high"))

    def _analog(self, values):
        values[0] = 64 * self.wave(12)

    def _gpio(self, values):
        values[0] = self.wave(10) > 511


class MovementSensor(Fake):
    """A vehicle that drives a lap around a garden in four minutes."""

    def source(self, method, params):
        """A source of the method."""
        if method == "Position":
            return Source(self._position, fields("f64", *_POSITION))
        if method == "CompassHeading":
            return Source(self._heading, fields("f32", "value"))
        if method == "Orientation":
            names = ["orientation." + n for n in ("o_x", "o_y", "o_z", "theta")]
            return Source(self._orientation, fields("f32", *names))
        if method == "Readings":
            position = ["readings.position." + n for n in _POSITION]
            rest = []
            for name in ("linear_velocity", "linear_acceleration", "angular_velocity"):
                rest += ["readings." + name + axis for axis in _VECTOR]
            rest.append("readings.compass_heading")
            return Source(self._readings, fields("f64", *position) + fields("f32", *rest))
        name, read = {
            "LinearVelocity": ("linear_velocity", self._velocity),
            "LinearAcceleration": ("linear_acceleration", self._acceleration),
            "AngularVelocity": ("angular_velocity", self._rotation),
        }[method]
        return Source(read, fields("f32", *[name + axis for axis in _VECTOR]))

    def _position(self, values, at=0):
        values[at] = 52.3702 + self.wave(17) / 1000000
        values[at + 1] = 4.8952 - self.wave(16) / 1000000
        values[at + 2] = 2 + self.wave(15) / 1024

    def _velocity(self, values, at=0):
        values[at] = (self.wave(17) - 512) / 512
        values[at + 1] = 1.5 + self.wave(12) / 4096
        values[at + 2] = 0.0

    def _acceleration(self, values, at=0):
        values[at] = (self.wave(10) - 512) / 2048
        values[at + 1] = (self.wave(11) - 512) / 1024
        values[at + 2] = 9.80665

    def _rotation(self, values, at=0):
        values[at] = values[at + 1] = 0.0
        values[at + 2] = (self.wave(13) - 512) / 100

    def _heading(self, values, at=0):
        values[at] = self.wave(17) * 360 / 1024

    def _orientation(self, values):
        values[0] = values[1] = 0.0
        values[2] = 1.0
        self._heading(values, 3)

    def _readings(self, values):
        self._position(values)
        self._velocity(values, 3)
        self._acceleration(values, 6)
        self._rotation(values, 9)
        self._heading(values, 12)


class PowerSensor(Fake):
    """A 12 V battery under a load that changes."""

    def source(self, method, params):
        """A source of the method."""
        from cistern.resources.power import source

        return source(method, self._volts, self._amperes)

    def _volts(self):
        return 12 - self.wave(14) / 1024

    def _amperes(self):
        return 0.25 + self.wave(12) / 512


class Encoder(Fake):
    """A shaft that turns to and fro."""

    def source(self, method, params):
        """Its ticks."""
        return Source(self._ticks, fields("int", "ticks"))

    def _ticks(self, values):
        values[0] = 20 * self.wave(13)


class Motor(Fake):
    """A motor that is on for half the time."""

    def source(self, method, params):
        """A source of the method."""
        if method == "Position":
            return Source(self._position, fields("f32", "position"))
        return Source(self._power, fields("bool", "is_on") + fields("f32", "power_pct"))

    def _position(self, values):
        values[0] = self.wave(13) / 10

    def _power(self, values):
        power = max(self.wave(13) - 512, 0)
        values[0] = power > 0
        values[1] = power / 512


class Servo(Fake):
    """A servo that sweeps."""

    def source(self, method, params):
        """Its angle."""
        return Source(self._angle, fields("int", "position_deg"))

    def _angle(self, values):
        values[0] = self.wave(12) * 180 >> 10
