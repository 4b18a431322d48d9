"""Messages of RobotService (viam.app.v1, robot.proto): a part's configuration, restart and log."""

import struct

from cistern.cloud.protobuf import MAX_DEPTH, field, fields, text, timestamp

CONFIG = "/viam.app.v1.RobotService/Config"
NEEDS_RESTART = "/viam.app.v1.RobotService/NeedsRestart"
LOG = "/viam.app.v1.RobotService/Log"

# Fields of ComponentConfig and ServiceConfig: number → (key, what it is).
_TEXT, _TEXTS, _STRUCT, _CONFIGS = range(4)
_COMPONENT = {
    1: ("name", _TEXT),
    2: ("namespace", _TEXT),
    3: ("type", _TEXT),
    4: ("model", _TEXT),
    6: ("depends_on", _TEXTS),
    7: ("service_configs", _CONFIGS),
    8: ("attributes", _STRUCT),
    9: ("api", _TEXT),
}
_SERVICE = {
    1: ("name", _TEXT),
    2: ("namespace", _TEXT),
    3: ("type", _TEXT),
    4: ("attributes", _STRUCT),
    5: ("depends_on", _TEXTS),
    6: ("model", _TEXT),
    9: ("api", _TEXT),
    10: ("service_configs", _CONFIGS),
}
_RESOURCE_LEVEL = {1: ("type", _TEXT), 2: ("attributes", _STRUCT)}


def part_request(part_id):
    """A ConfigRequest or NeedsRestartRequest."""
    return text(1, part_id)


def read_config(message):
    """(machine configuration as Viam's JSON has it, revision) of a ConfigResponse.

    Numbers are floats, as in the protobuf. Raises ValueError for what is no such message.
    """
    machine = {"components": [], "services": []}
    revision = ""
    for n, config in fields(message):
        if n != 1 or isinstance(config, int):
            continue
        for number, v in fields(config):
            if isinstance(v, int):
                continue
            if number == 3:
                machine["components"].append(_object(v, _COMPONENT))
            elif number == 5:
                machine["services"].append(_object(v, _SERVICE))
            elif number == 15:
                revision = _str(v)
    return machine, revision


def _str(view):
    return str(bytes(view), "utf-8")


def _object(message, table):
    made = {}
    for n, v in fields(message):
        if n not in table or isinstance(v, int):
            continue
        key, kind = table[n]
        if kind == _TEXT:
            made[key] = _str(v)
        elif kind == _TEXTS:
            made.setdefault(key, []).append(_str(v))
        elif kind == _STRUCT:
            made[key] = read_struct(v)
        else:
            made.setdefault(key, []).append(_object(v, _RESOURCE_LEVEL))
    return made


def read_struct(message, depth=0):
    """The dict of a google.protobuf.Struct. Raises ValueError where it is none or too deep."""
    if depth > MAX_DEPTH:
        raise ValueError("values nested deeper than %d" % MAX_DEPTH)
    made = {}
    for n, entry in fields(message):
        if n != 1 or isinstance(entry, int):
            continue
        key, found = "", None
        for m, v in fields(entry):
            if isinstance(v, int):
                continue
            if m == 1:
                key = _str(v)
            elif m == 2:
                found = _read_value(v, depth)
        made[key] = found
    return made


def _read_value(message, depth):
    found = None
    for n, v in fields(message):
        if isinstance(v, int):
            found = bool(v) if n == 4 else None
        elif n == 2:
            found = struct.unpack("<d", v)[0]
        elif n == 3:
            found = _str(v)
        elif n == 5:
            found = read_struct(v, depth + 1)
        elif n == 6:
            if depth > MAX_DEPTH:
                raise ValueError("values nested deeper than %d" % MAX_DEPTH)
            found = [_read_value(x, depth + 1) for m, x in fields(v) if m == 1]
    return found


def must_restart(message):
    """Whether a NeedsRestartResponse asks for it."""
    for n, v in fields(message):
        if n == 2:
            return bool(v)
    return False


def log_request(part_id, entries):
    """A LogRequest. entries: (utc_us, level, logger name, text), at most 1000."""
    made = [text(1, part_id)]
    for utc_us, level, logger, line in entries:
        entry = text(1, "cistern") + text(2, level) + field(3, timestamp(utc_us))
        made.append(field(2, entry + text(4, logger) + text(5, line)))
    return b"".join(made)
