"""Sensors behind an analog reader of the board: `analog` (volts) and `tmp36` (temperature)."""

from cistern.resources import ResourceError, Sensor
from cistern.resources.attributes import check as check_table

# Averaged in one read, which blocks: 255 reads of 15 µs (esp32-costs) are 4 ms.
MAX_READINGS = 255
FULL_SCALE_VOLTS = 3.3
_TABLE = {
    "analog_reader": (str, True, 1, 64),
    "num_readings": (int, False, 1, MAX_READINGS),
}


def check(model, attributes):
    """Problems of the attributes."""
    return check_table(_TABLE, attributes)


def build(component, port, others):
    """Make the sensor over the board that has the reader."""
    wanted = component.attributes["analog_reader"]
    for other in others.values():
        readers = getattr(other, "analogs", None)
        if readers and wanted in readers:
            make = Tmp36 if component.model == "tmp36" else Analog
            return make(readers[wanted], int(component.attributes.get("num_readings", 1)))
    raise ResourceError(
        "no board has an analog reader named %r: add it to the board's `analogs`" % wanted
    )


class Analog(Sensor):
    """Readings {"volts": …}, the mean of num_readings conversions."""

    def __init__(self, adc, count):
        self._adc = adc
        self._count = count

    def volts(self):
        """The mean voltage at the pin."""
        total = 0
        for _ in range(self._count):
            total += self._adc.read_u16()
        return total * FULL_SCALE_VOLTS / (65535 * self._count)

    def readings(self):
        """The voltage."""
        return {"volts": self.volts()}


class Tmp36(Analog):
    """Readings {"celsius": …}: 0.5 V at 0 °C and 10 mV a degree (TMP36 datasheet, "Functional
    description").
    """

    def readings(self):
        """The temperature."""
        return {"celsius": (self.volts() - 0.5) * 100}
