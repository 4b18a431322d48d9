"""Components and models: what can be read from a board, by which method.

`models`, `methods`, `method_params` and `check` are the catalog that a configuration is checked
against; `build` makes a component. A model's module is imported when a configuration names it, so
that a board carries only the code it uses. Types are short ("sensor") or full
("rdk:component:sensor"). docs/MODELS.md describes every model; own.py adds the user's.
"""

# A type's methods | its models, each with the module that has it where that has another name.
types = {
    "sensor": "Readings|analog bme280 dht11=dht dht22=dht ds18b20 esp32-internal=internal fake "
    "hcsr04 health tmp36=analog ultrasonic=hcsr04 wifi-rssi=wifi",
    "movement_sensor": "Readings Position LinearVelocity LinearAcceleration AngularVelocity "
    "CompassHeading Orientation|fake=fakes gps-nmea=gps gyro-mpu6050=mpu6050 mpu6050",
    "power_sensor": "Readings Voltage Current Power|fake=fakes ina219",
    "board": "Analogs Gpios|esp32=board fake=fakes",
    "encoder": "TicksCount|fake=fakes incremental=encoder",
    "motor": "Position IsPowered|fake=fakes gpio=motor",
    "servo": "Position|fake=fakes gpio=servo",
}
own_models = {}  # triplet → own.Model; own.py fills it, and adds to types


class ResourceError(Exception):
    """A component cannot be made or read as configured; the message names what is wrong and what
    to do.
    """


def _entries(kind, i):
    return types.get(kind.rsplit(":", 1)[-1], "|").split("|")[i].split()


def models(kind):
    """Names of the models of a component type; empty for an unknown type."""
    return [entry.split("=")[0] for entry in _entries(kind, 1)]


def methods(kind):
    """Methods of a component type that can be captured; empty for an unknown type."""
    return _entries(kind, 0)


def method_params(kind, method):
    """Names that `additional_params` must have for the method."""
    if method == "Analogs":
        return ("reader_name",)
    return ("pin_name",) if method == "Gpios" else ()


def _module(kind, model):
    if model in own_models:
        return own_models[model]
    for entry in _entries(kind, 1):
        names = entry.split("=")
        if names[0] == model:
            return __import__("cistern.resources." + names[-1], None, None, ("x",))
    return None


def check(kind, model, attributes):
    """Problems of a component's attributes: a list of (path below the attributes, message)."""
    return _module(kind, model).check(kind, model, attributes)


def build(component, port, others):
    """Make the component: an object with source(method, params) -> Source.

    component: .name, .type, .model, .attributes, .path; others: the components made so far, by
    name. Raises ResourceError. Warnings go to port.log.

    A component may have close(), which gives back the hardware that it holds, and uses, a dict of
    what others must not use beside it: "GPIO 4" → as what (see pins.py).
    """
    return _module(component.type, component.model).build(component, port, others)


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

    def source(self, method, params):
        """{"readings": {name: value, …}}."""
        return Source(lambda: {"readings": self.readings()})
