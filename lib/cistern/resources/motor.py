"""The motor `gpio`: a DC motor behind a driver with direction and PWM inputs."""

from cistern.resources import ResourceError, Source, fields
from cistern.resources.attributes import check as check_table
from cistern.resources.pins import claim, number

PWM_HZ = 1000
_FULL = 65535

_TABLE = {
    "board": (str, False, 1, 60),
    "pins": (dict, True, None, None),
    "pwm_freq": (int, False, 1, 100000),
    "dir_flip": (bool, False, None, None),
    "encoder": (str, False, 1, 60),
    "ticks_per_rotation": (int, False, 1, 1000000),
    # Viam's, for commands that Cistern does not take.
    "max_rpm": (float, False, None, None),
    "min_power_pct": (float, False, None, None),
    "max_power_pct": (float, False, None, None),
}
_PINS = dict.fromkeys(("a", "b", "dir", "pwm"), ("out", False, None, None))
_SETS = (["dir", "pwm"], ["a", "b", "pwm"], ["a", "b"])


def check(kind, model, attributes):
    """Problems of the attributes."""
    found = check_table(_TABLE, attributes)
    if found:
        return found
    pins = attributes["pins"]
    found = check_table(_PINS, pins, "pins.")
    if not found and sorted(pins) not in [sorted(names) for names in _SETS]:
        found.append(("pins", "give dir and pwm, or a, b and pwm, or a and b"))
    if not found and len({number(pin) for pin in pins.values()}) < len(pins):
        found.append(("pins", "each needs a pin of its own"))
    return found


def build(component, port, others):
    """Make the motor."""
    return Motor(component, port, others)


class Motor:
    """A motor that stands still until set_power() is called, by another model on the board."""

    def __init__(self, component, port, others):
        given = component.attributes
        pins = given["pins"]
        self.uses = claim(
            component,
            port,
            others,
            {"GPIO %d" % number(pins[name]): "pins." + name for name in pins},
        )
        self._name = component.name
        self._others = others
        self._encoder = given.get("encoder")
        self._per_turn = given.get("ticks_per_rotation")
        self._flip = given.get("dir_flip", False)
        freq = int(given.get("pwm_freq", PWM_HZ))
        # With a and b alone, one has the PWM signal and the other is low.
        names = ("pwm",) if "pwm" in pins else ("a", "b")
        self._pwms = [port.pwm(number(pins[name]), freq) for name in names]
        self._levels = [
            port.pin(number(pins[name]), "out")
            for name in ("dir", "a", "b")
            if name in pins and "pwm" in pins
        ]
        self._power = 0.0
        self.set_power(0.0)

    def set_power(self, power_pct):
        """Turn with a share of full power, -1.0 to 1.0; 0 stops."""
        if not -1 <= power_pct <= 1:
            raise ResourceError(
                "%s: a power of %r is not between -1 and 1" % (self._name, power_pct)
            )
        self._power = float(power_pct)
        forwards = (power_pct > 0) != self._flip
        duty = int(abs(power_pct) * _FULL + 0.5)
        if len(self._pwms) == 2:
            self._pwms[0].duty_u16(duty if forwards else 0)
            self._pwms[1].duty_u16(0 if forwards else duty)
            return
        for i, pin in enumerate(self._levels):
            # dir, or a, is high forwards; b is its opposite. Standing still, a and b are low.
            on = (forwards if i == 0 else not forwards) and power_pct != 0
            pin.value(1 if on else 0)
        self._pwms[0].duty_u16(duty)

    def source(self, method, params):
        """Position or IsPowered."""
        if method == "IsPowered":
            return Source(self._is_powered, fields("bool", "is_on") + fields("f32", "power_pct"))
        encoder = self._others.get(self._encoder)
        if not hasattr(encoder, "ticks"):
            raise ResourceError(
                "%s has no position: its attribute `encoder` must name a component of type encoder"
                % self._name
            )
        self._ticks = encoder.ticks
        if self._per_turn:
            return Source(self._turns, fields("f32", "position"))
        return Source(self._position, fields("int", "position"))

    def _is_powered(self, values):
        values[0] = self._power != 0
        values[1] = self._power

    def _turns(self, values):
        values[0] = self._ticks() / self._per_turn

    def _position(self, values):
        values[0] = self._ticks()

    def close(self):
        """Stop the motor, and give the PWM channels back."""
        self.set_power(0.0)
        for pwm in self._pwms:
            pwm.deinit()
