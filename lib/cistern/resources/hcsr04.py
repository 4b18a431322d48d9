"""The sensor `hcsr04` (in Viam also `ultrasonic`): distance by the echo of a sound.

HC-SR04 datasheet: a 10 µs pulse on trigger sends a burst; echo is high as long as it travels.
A reading blocks until then, at most for timeout_ms.
"""

from cistern.resources import ResourceError, Source, fields
from cistern.resources.attributes import check as check_table
from cistern.resources.pins import take

_METRES_PER_US = 0.00034321 / 2  # sound in air of 20 °C, there and back
_TIMEOUT_MS = 30  # 5 m, more than the sensor reaches
# 2 cm to 4.5 m by the widest of its datasheets. Without an echo it ends its pulse after 38 ms or
# 200, which is no distance; a pulse that is shorter is a disturbance.
_LEAST_US = 115
_MOST_US = 26300

_TABLE = {
    "board": (str, False, 1, 60),
    "trigger_pin": ("out", True, None, None),
    "echo_interrupt_pin": ("in", True, None, None),
    "timeout_ms": (int, False, 1, 100),
}


def check(kind, model, attributes):
    """Problems of the attributes."""
    return check_table(_TABLE, attributes)


def build(component, port, others):
    """Make the sensor."""
    return HcSr04(component, port, others)


class HcSr04:
    """Readings {"distance": metres}."""

    def __init__(self, component, port, others):
        self._pins, self.uses = take(component, port, others, "trigger_pin", "echo_interrupt_pin")
        self._name = component.name
        self._trigger = port.pin(self._pins[0], "out")
        self._echo = port.pin(self._pins[1], "in", "down")
        self._pulse_us = port.pulse_us
        self._waits = False  # for an echo that did not come
        self._timeout_us = int(component.attributes.get("timeout_ms", _TIMEOUT_MS)) * 1000

    def source(self, method, params):
        """Readings."""
        source = Source(self._read, fields("f32", "readings.distance"))
        source.min_period_us = 60000  # or the echo of the last burst is heard (datasheet)
        return source

    def _read(self, values):
        if self._echo.value():
            if self._waits:
                raise self._failed("echo is still high: nothing was in reach of the last burst")
            raise self._failed("echo is high before the burst: check that it is wired to ECHO")
        self._waits = False
        us = self._pulse_us(self._trigger, self._echo, self._timeout_us)
        if us == -2:
            raise self._failed("no pulse on echo: check the sensor's 5 V supply and both wires")
        if us < 0:
            self._waits = True
            ms = self._timeout_us // 1000
            raise self._failed("no echo within %d ms: nothing is in reach" % ms)
        if us > _MOST_US:
            raise self._failed("no echo from within 4.5 m: nothing is in reach")
        if us < _LEAST_US:
            raise self._failed(
                "an echo after %d µs: something is nearer than 2 cm, or disturbs it" % us
            )
        values[0] = us * _METRES_PER_US

    def _failed(self, text):
        return ResourceError(
            "%s (trigger GPIO %d, echo GPIO %d): %s"
            % (self._name, self._pins[0], self._pins[1], text)
        )
