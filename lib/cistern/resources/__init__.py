"""Components and models: what can be read from a board, by which method.

`models`, `methods`, `method_params` and `check` are the catalog that a configuration is checked
against; `build` makes a component. A model's module is imported when a configuration names it, so
that a board carries only the code it uses. Types are short ("sensor") or full
("rdk:component:sensor"). docs/MODELS.md describes every model, and own.py the user's.
"""

# A type's methods | its models, each with the module that has it where that has another name.
_TYPES = {
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
_PARAMS = {"Analogs": ("reader_name",), "Gpios": ("pin_name",)}

own_models = {}  # type → {triplet: own.Model}; own.py fills it


class ResourceError(Exception):
    """A component cannot be made or read as configured; the message names what is wrong and what
    to do.
    """


def _part(kind, i):
    return _TYPES.get(kind.rsplit(":", 1)[-1], "|").split("|")[i].split()


def _own(kind):
    return own_models.get(kind.rsplit(":", 1)[-1], {})


def models(kind):
    """Names of the models of a component type; empty for an unknown type."""
    return [entry.split("=")[0] for entry in _part(kind, 1)] + sorted(_own(kind))


def methods(kind):
    """Methods of a component type that can be captured; empty for an unknown type."""
    return _part(kind, 0)


def method_params(kind, method):
    """Names that `additional_params` must have for the method."""
    return _PARAMS.get(method, ())


def load_models(port):
    """Register the users' own models, from the files that the port has found."""
    paths = port.model_files()
    if paths:
        from cistern.resources.own import load

        load(paths, port.log)


def _module(kind, model):
    if model in _own(kind):
        return _own(kind)[model]
    for entry in _part(kind, 1):
        name, _, file = entry.partition("=")
        if name == model:
            break
    name = "cistern.resources." + (file or name)
    __import__(name)
    module = __import__("cistern.resources", None, None, ("x",))
    return getattr(module, name.rsplit(".", 1)[1])


def check(kind, model, attributes):
    """Problems of a component's attributes: a list of (path below the attributes, message)."""
    return _module(kind, model).check(kind.rsplit(":", 1)[-1], model, attributes)


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
    min_period_us: shortest time between two readings that the device can do; 0: any.
    block: most readings that one read_block() gives, 0 where the device keeps none. See
    fifo.Blocks for the methods that such a source has besides.
    """

    fields = None
    waits = False
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
    return tuple([(tuple(path.split(".")), code) for path in paths])


class Sensor:
    """Base of sensors whose readings may differ from each other: they have readings() -> dict."""

    def source(self, method, params):
        """{"readings": {name: value, …}}."""
        return Source(lambda: {"readings": self.readings()})
