"""The catalog that a configuration is checked against (`models`, `methods`, `method_params`,
`check`), and what makes a component of an entry (`build`).

A model's module is imported when a configuration names it, so that a board carries only the code
it uses. Types are short ("sensor") or full ("rdk:component:sensor").
"""

from cistern.borrow import keep
from cistern.resources import own_models

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


def _entries(kind, i):
    return types.get(kind.rsplit(":", 1)[-1], "|").split("|")[i].split()


def models(kind):
    """Names of the models of a component type; empty for an unknown type."""
    found = [entry.split("=")[0] for entry in _entries(kind, 1)]
    short = kind.rsplit(":", 1)[-1]
    return found + [name for name in own_models if own_models[name].kind == short]


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
            return keep("cistern.resources." + names[-1])
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
