"""The sensors `dht11` and `dht22`: temperature and humidity over one wire.

MicroPython's own driver reads them, which blocks for 25 ms, 5 ms of it without interrupts. What
the five bytes mean is here: there are two ways in which modules say that it is freezing.
"""

from cistern.resources import ResourceError, Source, fields
from cistern.resources.attributes import check as check_table
from cistern.resources.pins import take

_TABLE = {"board": (str, False, 1, 60), "pin": ("out", True, None, None)}
# Datasheets of Aosong: "sampling period" at least 1 s and 2 s. A reading may be due a little
# early after one that was late.
_PERIOD_US = {"dht11": 1000000, "dht22": 2000000}
# °C and % by the datasheets; the DHT11's are those of its newer version.
_RANGES = {"dht11": (-20, 60, 5, 95), "dht22": (-40, 80, 0, 100)}


def check(kind, model, attributes):
    """Problems of the attributes."""
    return check_table(_TABLE, attributes)


def build(component, port, others):
    """Make the sensor."""
    return Dht(component, port, others)


def _decoded(model, buf):
    """(°C, %) of an answer; None for what the model cannot measure."""
    if model == "dht22":
        percent = (buf[0] << 8 | buf[1]) / 10
        celsius = buf[2] << 8 | buf[3]
        if celsius & 0x8000:
            # Bit 15 is a sign by the datasheet; other modules send two's complement.
            size = celsius & 0x7FFF
            celsius = -size if size <= 400 else celsius - 0x10000
        celsius /= 10
    else:
        percent, celsius = float(buf[0]), float(buf[2])
        if buf[3] & 0x7F <= 9:  # tenths and a sign, of the newer version
            celsius += (buf[3] & 0x7F) / 10
            celsius = -celsius if buf[3] & 0x80 else celsius
    low, high, least, most = _RANGES[model]
    return (celsius, percent) if low <= celsius <= high and least <= percent <= most else None


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
        now = self._port.uptime_us()  # ticks wrap between two readings of a slow collector
        if self._last is not None and now - self._last < period * 9 // 10:
            raise ResourceError(
                "%s: a %s gives one reading in %d s: set capture_frequency_hz to %g or less"
                % (self._name, self._model, period // 1000000, 1000000 / period)
            )
        self._last = now
        try:
            self._driver.measure()
        except OSError as e:
            raise self._failed("gives no answer (%s): check its power, data wire" % e) from None
        except MemoryError:
            raise
        except Exception:  # the driver has no class of its own for a wrong checksum
            raise self._failed("sends a wrong checksum: check its wires, their length") from None
        buf = self._driver.buf
        if buf[0] == buf[1] == buf[2] == buf[3] and buf[0] in (0, 0xFF):
            word = "ones" if buf[0] else "zeros"
            raise self._failed("sends only %s: check its power, data wire" % word)
        found = _decoded(self._model, buf)
        if not found:
            other = "dht11" if self._model == "dht22" else "dht22"
            if _decoded(other, buf):
                raise ResourceError(
                    "%s: the %s on GPIO %d answers as a %s does: set its model to %s"
                    % (self._name, self._model, self._pin, other, other)
                )
            raise self._failed("sends what it cannot measure: check its power, wires")
        values[0], values[1] = found

    def _failed(self, text):
        return ResourceError(
            "%s: the %s on GPIO %d %s and the 10 kohm pull-up"
            % (self._name, self._model, self._pin, text)
        )
