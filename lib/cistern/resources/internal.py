"""The sensor `esp32-internal`: the chip's own temperature, heap and uptime."""

from cistern.resources import Source, fields
from cistern.resources.attributes import check as check_table


def check(kind, model, attributes):
    """Problems of the attributes: it takes none."""
    return check_table({}, attributes)


def build(component, port, others):
    """Make the sensor."""
    return Internal(port)


class Internal:
    """Readings {"celsius": …, "heap_free": bytes, "uptime_s": …}.

    The ESP32's thermometer is neither calibrated nor precise: some chips are 15 °C off. It tells
    changes.
    """

    def __init__(self, port):
        self._port = port

    def source(self, method, params):
        """Readings."""
        return Source(
            self._read,
            fields("f32", "readings.celsius")
            + fields("int", "readings.heap_free", "readings.uptime_s"),
        )

    def _read(self, values):
        values[0] = float(self._port.chip_celsius())
        values[1] = self._port.mem_free()
        values[2] = self._port.uptime_us() // 1000000
