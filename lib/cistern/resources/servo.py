"""The servo `gpio`: a hobby servo, whose angle is the width of a pulse."""

from cistern.resources import ResourceError, Source, fields
from cistern.resources.attributes import check as check_table
from cistern.resources.pins import take

_TABLE = {
    "board": (str, False, 1, 60),
    "pin": ("out", True, None, None),
    "min_angle_deg": (int, False, 0, 360),
    "max_angle_deg": (int, False, 0, 360),
    "starting_position_deg": (int, False, 0, 360),
    "min_width_us": (int, False, 100, 10000),
    "max_width_us": (int, False, 100, 10000),
    "frequency_hz": (int, False, 20, 450),
    "pwm_resolution": (int, False, None, None),  # Viam's; the chip's own is used
}
# Viam's defaults but for the frequency: its 300 Hz overheat analog servos, made for 50 Hz.
_DEFAULTS = {
    "min_angle_deg": 0,
    "max_angle_deg": 180,
    "min_width_us": 500,
    "max_width_us": 2500,
    "frequency_hz": 50,
}


def check(kind, model, attributes):
    """Problems of the attributes."""
    found = check_table(_TABLE, attributes)
    if found:
        return found
    given = dict(_DEFAULTS)
    given.update(attributes)
    for name in ("angle_deg", "width_us"):
        if given["min_" + name] >= given["max_" + name]:
            found.append(("max_" + name, "must be more than min_" + name))
    if given["max_width_us"] * given["frequency_hz"] > 1000000:
        found.append(("max_width_us", "is longer than a period of frequency_hz"))
    start = given.get("starting_position_deg", given["min_angle_deg"])
    if not given["min_angle_deg"] <= start <= given["max_angle_deg"]:
        found.append(("starting_position_deg", "must be from min_angle_deg to max_angle_deg"))
    return found


def build(component, port, others):
    """Make the servo."""
    return Servo(component, port, others)


class Servo:
    """A servo without a signal until move() is called, by another model on the board, or from
    the start where starting_position_deg is given.
    """

    def __init__(self, component, port, others):
        (self._pin,), self.uses = take(component, port, others, "pin")
        given = dict(_DEFAULTS)
        given.update(component.attributes)
        self._name = component.name
        self._low = int(given["min_angle_deg"])
        self._angles = int(given["max_angle_deg"]) - self._low
        self._width = int(given["min_width_us"])
        self._widths = int(given["max_width_us"]) - self._width
        self._pwm = port.pwm(self._pin, int(given["frequency_hz"]))
        if "starting_position_deg" in given:
            self.move(given["starting_position_deg"])

    def move(self, angle_deg):
        """Turn to an angle, or to the nearest that the servo may have."""
        angle = min(max(angle_deg - self._low, 0), self._angles)
        self._pwm.duty_ns(int((self._width + angle * self._widths / self._angles) * 1000))

    def source(self, method, params):
        """Position."""
        return Source(self._position, fields("int", "position_deg"))

    def _position(self, values):
        width = self._pwm.duty_ns() // 1000
        if not width:
            raise ResourceError(
                "%s: the servo on GPIO %d has no signal yet: give starting_position_deg, or move "
                "it" % (self._name, self._pin)
            )
        # Rounded: the PWM's steps are not those of the angle, and may be beyond its ends.
        angle = ((width - self._width) * self._angles * 2 + self._widths) // (2 * self._widths)
        values[0] = self._low + min(max(angle, 0), self._angles)

    def close(self):
        """No signal, and the PWM channel back."""
        self._pwm.deinit()
