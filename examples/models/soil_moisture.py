"""A capacitive soil moisture probe behind an analog reader of the board: a model of one's own.

Copy this file into the folder `models` of the device's filesystem; the configuration then knows

    {"name": "bed", "type": "sensor", "model": "garden:probes:soil-moisture",
     "attributes": {"analog_reader": "probe", "dry_volts": 2.6, "wet_volts": 1.1}}

The factory gets the component (.name, .attributes), the board's port and the components made so
far; what it returns has source(method, params) -> Source.
"""

from cistern.resources.own import ResourceError, Source, fields, register

# As in cistern.resources.attributes: kind, whether it must be given, lowest, highest.
ATTRIBUTES = {
    "analog_reader": (str, True, 1, 64),
    "dry_volts": (float, False, 0, 3.3),
    "wet_volts": (float, False, 0, 3.3),
}


class SoilMoisture:
    """Readings {"moisture_pct": …}: 0 as dry as air, 100 as wet as water."""

    def __init__(self, adc, dry, wet):
        self._adc = adc
        self._dry = dry
        self._range = dry - wet

    def source(self, method, params):
        """The only method of a sensor is Readings; its shape never changes."""
        return Source(self._read, fields("f32", "readings.moisture_pct"))

    def _read(self, values):
        volts = self._adc.read_uv() / 1000000
        values[0] = min(max((self._dry - volts) / self._range * 100, 0.0), 100.0)


def build(component, port, others):
    """Find the analog reader on the board, and make the sensor."""
    given = component.attributes
    dry, wet = given.get("dry_volts", 2.6), given.get("wet_volts", 1.1)
    if dry <= wet:
        raise ResourceError("dry_volts must be more than wet_volts: in water the probe gives less")
    for other in others.values():
        readers = getattr(other, "analogs", {})
        if given["analog_reader"] in readers:
            return SoilMoisture(readers[given["analog_reader"]], dry, wet)
    raise ResourceError("no board has an analog reader named " + given["analog_reader"])


register("sensor", "garden:probes:soil-moisture", build, ATTRIBUTES)
