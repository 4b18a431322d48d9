"""Sensors behind an analog reader of the board: `analog` (volts) and `tmp36` (temperature)."""

from cistern.resources import ResourceError, Source, fields
from cistern.resources.attributes import check as check_table

# Averaged in one reading, which blocks: 255 conversions of 15 µs (esp32-costs) are 4 ms, and
# their sum of 255 * 3.3 V in µV is a small int on the chip.
MAX_READINGS = 255
_TABLE = {
    "board": (str, False, 1, 60),
    "analog_reader": (str, True, 1, 64),
    "num_readings": (int, False, 1, MAX_READINGS),
}


def check(kind, model, attributes):
    """Problems of the attributes."""
    return check_table(_TABLE, attributes)


def build(component, port, others):
    """Make the sensor over the board that has the reader."""
    wanted = component.attributes["analog_reader"]
    board = component.attributes.get("board")
    for name in others:
        readers = getattr(others[name], "analogs", {})
        if wanted in readers and board in (None, name):
            make = Tmp36 if component.model == "tmp36" else Analog
            return make(readers[wanted], int(component.attributes.get("num_readings", 1)))
    raise ResourceError(
        "no board%s has an analog reader named %r: add it to the board's `analogs`"
        % (" " + board if board else "", wanted)
    )


class Analog:
    """Readings {"volts": …}, the mean of num_readings conversions, calibrated by the chip."""

    key = "volts"

    def __init__(self, adc, count):
        self._adc = adc
        self._count = count

    def volts(self):
        """The mean voltage at the pin."""
        total = 0
        for _ in range(self._count):
            total += self._adc.read_uv()
        return total / (1000000 * self._count)

    def source(self, method, params):
        """Readings."""
        return Source(self._read, fields("f32", "readings." + self.key))

    def _read(self, values):
        values[0] = self.volts()


class Tmp36(Analog):
    """Readings {"celsius": …}: 0.5 V at 0 °C and 10 mV a degree (TMP36 datasheet, "Functional
    Description").
    """

    key = "celsius"

    def _read(self, values):
        values[0] = (self.volts() - 0.5) * 100
