"""Components and models: what can be read from a board, by which method.

What models are made of is here. catalog.py, which is borrowed when a configuration is read, knows
all of them and makes components. docs/MODELS.md describes every model; own.py adds the user's.
"""

own_models = {}  # triplet → own.Model; own.py fills it


class ResourceError(Exception):
    """A component cannot be made or read as configured; the message names what is wrong and what
    to do.
    """


class Source:
    """What a collector reads.

    fields: None, or ((path, code), …) where every reading has this shape (codes as in
    record.Shape); then read_into(values) fills the list of len(fields) values without allocating,
    but for floats, which MicroPython boxes. Without fields, read() returns the dict that becomes
    SensorData.struct. Both may raise; the collector counts that and tries again when it is due.

    waits: read and read_into are coroutine functions, for a device that needs time to measure.
    at_once: a read is one call into the hardware, so that a timer may do it at any time, also in
    the middle of another read of the component.
    min_period_us: shortest time between two readings that the device can do; 0: any.
    block: most readings that one read_block() gives, 0 where the device keeps none. See
    mpu6050.Reader for the methods that such a source has besides.
    """

    fields = None
    waits = False
    at_once = False
    min_period_us = 0
    block = 0

    def __init__(self, read, fields=None, waits=False):
        self.waits = waits
        if fields:
            self.fields = fields
            self.read_into = read
        else:
            self.read = read


def fields(code, *paths):
    """Source.fields of one code: fields("f32", "coordinate.latitude", "altitude_m")."""
    return [(tuple(path.split(".")), code) for path in paths]


class Sensor:
    """Base of sensors whose readings may differ from each other: they have readings() -> dict."""

    def __init__(self, component=None, port=None, others=None):
        """As a factory is called: a sensor that needs nothing of it can do without its own."""

    def source(self, method, params):
        """{"readings": {name: value, …}}."""
        return Source(lambda: {"readings": self.readings()})
