"""The sensors `dht11` and `dht22`: temperature and humidity over one wire.

MicroPython's own driver reads them, which blocks for 25 ms, 5 ms of it without interrupts.
"""

from cistern.resources import ResourceError, Source, fields
from cistern.resources.attributes import check as check_table
from cistern.resources.pins import take

_TABLE = {"board": (str, False, 1, 60), "pin": ("out", True, None, None)}
# Datasheets of Aosong: "sampling period" at least 1 s and 2 s. A reading may be due a little
# early after one that was late.
_PERIOD_US = {"dht11": 1000000, "dht22": 2000000}


def check(kind, model, attributes):
    """Problems of the attributes."""
    return check_table(_TABLE, attributes)


def build(component, port, others):
    """Make the sensor."""
    return Dht(component, port, others)


class Dht:
    """Readings {"celsius": …, "humidity_pct": …}."""

    def __init__(self, component, port, others):
        (self._pin,), self.uses = take(component, port, others, "pin")
        self._name = component.name
        self._model = component.model
        self._port = port
        self._driver = port.dht(component.model, self._pin)
        self._last = None

    def source(self, method, params):
        """Readings."""
        source = Source(self._read, fields("f32", "readings.celsius", "readings.humidity_pct"))
        source.min_period_us = _PERIOD_US[self._model]
        return source

    def _read(self, values):
        period = _PERIOD_US[self._model]
        now = self._port.ticks_us()
        if self._last is not None and self._port.ticks_diff(now, self._last) < period * 9 // 10:
            raise ResourceError(
                "%s: a %s gives one reading in %d s: set capture_frequency_hz to %g or less"
                % (self._name, self._model, period // 1000000, 1000000 / period)
            )
        self._last = now
        try:
            self._driver.measure()
        except OSError as e:
            raise self._failed("gives no answer (%s): check its power, data wire" % e) from None
        except Exception:  # the driver has no class of its own for a wrong checksum
            raise self._failed("sends a wrong checksum: check its wires, their length") from None
        values[0] = float(self._driver.temperature())
        values[1] = float(self._driver.humidity())

    def _failed(self, text):
        return ResourceError(
            "%s: the %s on GPIO %d %s and the 10 kohm pull-up"
            % (self._name, self._model, self._pin, text)
        )
