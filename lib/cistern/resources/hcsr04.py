"""The sensor `hcsr04` (in Viam also `ultrasonic`): distance by the echo of a sound.

HC-SR04 datasheet: a 10 µs pulse on trigger sends a burst; echo is high as long as it travels.
A reading blocks until then, at most for timeout_ms.
"""

from cistern.resources import ResourceError, Source, fields
from cistern.resources.attributes import check as check_table
from cistern.resources.pins import take

_METRES_PER_US = 0.00034321 / 2  # sound in air of 20 °C, there and back
_TIMEOUT_MS = 30  # 5 m, more than the sensor reaches

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
        self._timeout_us = int(component.attributes.get("timeout_ms", _TIMEOUT_MS)) * 1000

    def source(self, method, params):
        """Readings."""
        source = Source(self._read, fields("f32", "readings.distance"))
        source.min_period_us = 60000  # or the echo of the last burst is heard (datasheet)
        return source

    def _read(self, values):
        if self._echo.value():
            raise self._failed("echo is high before the burst: check that it is wired to ECHO")
        us = self._pulse_us(self._trigger, self._echo, self._timeout_us)
        if us == -2:
            raise self._failed("no pulse on echo: check the sensor's 5 V supply and both wires")
        if us < 0:
            ms = self._timeout_us // 1000
            raise self._failed("no echo within %d ms: nothing is in reach" % ms)
        values[0] = us * _METRES_PER_US

    def _failed(self, text):
        return ResourceError(
            "%s (trigger GPIO %d, echo GPIO %d): %s"
            % (self._name, self._pins[0], self._pins[1], text)
        )
