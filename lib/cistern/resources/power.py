"""What power sensors have in common: the shapes of Voltage, Current, Power and Readings."""

from cistern.resources import Source, fields

_AC = fields("bool", "is_ac")
_SHAPES = {
    "Voltage": fields("f32", "volts") + _AC,
    "Current": fields("f32", "amperes") + _AC,
    "Power": fields("f32", "watts"),
    "Readings": fields("f32", "readings.volts", "readings.amps", "readings.watts")
    + fields("bool", "readings.is_ac"),
}


def source(method, volts, amperes):
    """The source of a method for direct current; volts() and amperes() measure."""

    def voltage(values):
        values[0] = volts()
        values[1] = False

    def current(values):
        values[0] = amperes()
        values[1] = False

    def power(values):
        values[0] = volts() * amperes()

    def readings(values):
        values[0] = volts()
        values[1] = amperes()
        values[2] = values[0] * values[1]
        values[3] = False

    read = {"Voltage": voltage, "Current": current, "Power": power, "Readings": readings}
    return Source(read[method], _SHAPES[method])
