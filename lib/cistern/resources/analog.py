"""Sensors behind an analog reader of the board: `analog` (volts) and `tmp36` (temperature)."""

from cistern.resources import ResourceError, Source, fields
from cistern.resources.attributes import check as check_table

# Averaged in one reading, which blocks: 255 conversions of 15 µs (esp32-costs) are 4 ms, and
# their sum of 255 * 3.3 V in µV is a small int on the chip.
MAX_READINGS = 255
# ESP32 Series Datasheet, "ADC Characteristics": the converter is right from 0.15 to 2.45 V.
# Below and above it gives numbers up to its ends, where they say nothing.
_LOW_V = 0.15
_HIGH_V = 2.45
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
            count = int(component.attributes.get("num_readings", 1))
            return make(component.name, wanted, readers[wanted], count)
    raise ResourceError(
        "no board%s has an analog reader named %r: add it to the board's `analogs`"
        % (" " + board if board else "", wanted)
    )


class Analog:
    """Readings {"volts": …}, the mean of num_readings conversions, calibrated by the chip."""

    key = "volts"

    def __init__(self, name, reader, adc, count):
        self._name = name
        self._reader = reader
        self._adc = adc
        self._count = count
        # The chip's own converter has ends; an external one measures up to its reference.
        self._ends = not getattr(adc, "whole_range", False)

    def volts(self):
        """The mean voltage at the pin. Raises ResourceError where the converter cannot tell it."""
        total = 0
        for _ in range(self._count):
            total += self._adc.read_uv()
        volts = total / (1000000 * self._count)
        if self._ends and not _LOW_V <= volts <= _HIGH_V:
            raw = self._adc.read_u16()
            if raw in (0, 65535):
                raise self.failed(volts, "at an end of what the converter measures")
        return volts

    def failed(self, volts, text):
        """What to raise for a voltage that is none."""
        return ResourceError(
            "%s: %.2f V at analog reader %s is %s: check the sensor's power, ground and wire"
            % (self._name, volts, self._reader, text)
        )

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
        volts = self.volts()
        # -40 to 125 °C; the chip's own converter does not tell -40 to -35 from ground.
        if not (_LOW_V if self._ends else 0.1) <= volts <= 1.75:
            raise self.failed(volts, "no temperature of a TMP36")
        values[0] = (volts - 0.5) * 100
