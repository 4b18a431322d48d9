"""Components and models: what can be read from a board, by which method.

`models`, `methods`, `method_params` and `check` are the catalog that a configuration is checked
against; `build` makes a component. A model's module is imported when a configuration names it, so
that a board carries only the code it uses. Types are short ("sensor") or full
("rdk:component:sensor").
"""

_METHODS = {
    "sensor": ("Readings",),
    "board": ("Analogs", "Gpios"),
}
_PARAMS = {"Analogs": ("reader_name",), "Gpios": ("pin_name",)}
_MODULES = {
    "sensor": {"fake": "fake", "tmp36": "analog", "analog": "analog", "wifi-rssi": "wifi"},
    "board": {"esp32": "board"},
}


class ResourceError(Exception):
    """A component cannot be made or read as configured; the message names what is wrong and what
    to do.
    """


def _short(kind):
    return kind.rsplit(":", 1)[-1]


def models(kind):
    """Names of the models of a component type; empty for an unknown type."""
    return sorted(_MODULES.get(_short(kind), ()))


def methods(kind):
    """Methods of a component type that can be captured; empty for an unknown type."""
    return _METHODS.get(_short(kind), ())


def method_params(kind, method):
    """Names that `additional_params` must have for the method."""
    return _PARAMS.get(method, ())


def _module(kind, model):
    name = "cistern.resources." + _MODULES[_short(kind)][model]
    __import__(name)
    module = __import__("cistern.resources", None, None, ("x",))
    return getattr(module, name.rsplit(".", 1)[1])


def check(kind, model, attributes):
    """Problems of a component's attributes: a list of (path below the attributes, message)."""
    return _module(kind, model).check(model, attributes)


def build(component, port, others):
    """Make the component: an object with source(method, params) -> Source.

    component: .name, .type, .model, .attributes; others: the components made so far, by name.
    Raises ResourceError.
    """
    return _module(component.type, component.model).build(component, port, others)


class Source:
    """What a collector reads.

    fields: None, or ((path, code), …) where every reading has this shape (codes as in
    record.Shape); then read_into(values) fills the list of len(fields) values without allocating.
    Without fields, read() returns the dict that becomes SensorData.struct. Both may raise; the
    collector counts that and tries again when it is next due.
    """

    fields = None


class Readings(Source):
    """A sensor's Readings method: the sensor's own dict under the key "readings"."""

    def __init__(self, sensor):
        self._sensor = sensor

    def read(self):
        """{"readings": {name: value, …}}."""
        return {"readings": self._sensor.readings()}


class Sensor:
    """Base of the sensor models: they have readings() -> dict."""

    def source(self, method, params):
        """The source of the only method there is."""
        return Readings(self)
