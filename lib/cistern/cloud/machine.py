"""The machine as the cloud configures it: RobotConfig (viam.app.v1, robot.proto) → Viam's JSON.

Borrowed when a configuration is new.
"""

import struct

from cistern.cloud.protobuf import MAX_DEPTH, fields

# Fields of ComponentConfig and ServiceConfig by number: those of text, and the others.
_COMPONENT = {1: "name", 2: "namespace", 3: "type", 4: "model", 9: "api", 6: "depends_on"}
_COMPONENT.update({7: "service_configs", 8: "attributes"})
_SERVICE = {1: "name", 2: "namespace", 3: "type", 6: "model", 9: "api", 5: "depends_on"}
_SERVICE.update({10: "service_configs", 4: "attributes"})
_RESOURCE_LEVEL = {1: "type", 2: "attributes"}


def read_config(config):
    """The dict of a RobotConfig, whose numbers are floats. Raises ValueError for what is none."""
    if config is None or isinstance(config, int):
        raise ValueError("the answer has none")
    machine = {"components": [], "services": []}
    for number, v in fields(config):
        if number == 3:
            machine["components"].append(_object(v, _COMPONENT))
        elif number == 5:
            machine["services"].append(_object(v, _SERVICE))
    return machine


def _text(view):
    try:
        return str(bytes(view), "utf-8")
    except (TypeError, UnicodeError):
        raise ValueError("a text that is none") from None


def _object(message, table):
    made = {}
    for n, v in fields(message):
        key = table.get(n)
        if key == "attributes":
            made[key] = read_struct(v)
        elif key == "service_configs":
            made.setdefault(key, []).append(_object(v, _RESOURCE_LEVEL))
        elif key == "depends_on":
            made.setdefault(key, []).append(_text(v))
        elif key:
            made[key] = _text(v)
    return made


def read_struct(message, depth=0):
    """The dict of a google.protobuf.Struct. Raises ValueError where it is none or too deep."""
    if depth > MAX_DEPTH:
        raise ValueError("values nested deeper than %d" % MAX_DEPTH)
    made = {}
    for n, entry in fields(message):
        if n == 1:
            key, found = "", None
            for m, v in fields(entry):
                if m == 1:
                    key = _text(v)
                elif m == 2:
                    found = _value(v, depth + 1)
            made[key] = found
    return made


def _value(message, depth):
    found = None
    for n, v in fields(message):
        if n == 2:
            found = struct.unpack("<d", v)[0]
        elif n == 3:
            found = _text(v)
        elif n == 4:
            found = bool(v)
        elif n == 5:
            found = read_struct(v, depth)
        elif n == 6:
            if depth > MAX_DEPTH:
                raise ValueError("values nested deeper than %d" % MAX_DEPTH)
            found = [_value(x, depth + 1) for m, x in fields(v) if m == 1]
    return found
