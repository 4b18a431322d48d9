"""What boards lost, as they say it in lines of their log (docs/CLOUD.md): rows of the view
`losses`.
"""

import json
import re
from typing import NamedTuple

from google.protobuf.struct_pb2 import Struct

from . import payload

LOGGER = "cistern-losses"
MARK = "readings lost: "
MAX_LINE = 4096  # bytes; a board's has 1,300 at most
MAX_NAME = 1024  # bytes, as in uploads
MAX_COUNT = 2**32 - 1  # a u32 on flash
MAX_S = payload.MAX_NS // 10**9
MAX_MS = 2**53

_LOG = re.compile(r"[0-9a-f]{16}", re.ASCII)
_DEFINITION = re.compile(r"[0-9a-f]{8}", re.ASCII)
_REASON = re.compile(r"[a-z][a-z0-9_]{0,31}", re.ASCII)


class Loss(NamedTuple):
    """A total: readings of one definition that one flash log lost for one reason.

    stream: (component type, component, method, params as JSON text), Nones where the board did
    not know. first_ns, last_ns: of the losses, ns since 1970. boot, uptime_ms: of the board when
    it said so; the latest says how many there are.
    """

    log_id: bytes
    definition: str
    reason: str
    count: int
    stream: tuple
    first_ns: int
    last_ns: int
    boot: int
    uptime_ms: int


def read_loss(logger, message, time_ns):
    """Returns the Loss in a line of a log, or None for any other line. time_ns: of the line."""
    if logger != LOGGER or not message.startswith(MARK) or len(message) > MAX_LINE:
        return None
    try:
        said = json.loads(message.removeprefix(MARK))
        first = _number(said["first"], MAX_S) if said["first"] is not None else None
        last = _number(said["last"], MAX_S) if said["last"] is not None else None
        return Loss(
            bytes.fromhex(_text(said["log"], _LOG)),
            _text(said["definition"], _DEFINITION),
            _text(said["reason"], _REASON),
            _number(said["count"], MAX_COUNT),
            _stream(said["stream"]),
            time_ns if first is None else first * 10**9,
            time_ns if last is None else last * 10**9,
            _number(said["boot"], MAX_COUNT),
            _number(said["uptime_ms"], MAX_MS),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None  # a line like any other


def _number(value, most):
    if type(value) is not int or not 0 <= value <= most:
        raise ValueError(value)
    return value


def _text(value, form):
    if not form.fullmatch(value):
        raise ValueError(value)
    return value


def _stream(said):
    if said is None:
        return (None,) * 4
    *names, params = said
    if len(names) != 3 or not isinstance(params, dict):
        raise ValueError(said)
    for name in names:
        if len(name.encode()) > MAX_NAME:
            raise ValueError(name)
    struct = Struct()
    struct.update(params)
    text = payload.struct_text(struct)
    text.encode()  # half a character cannot be stored
    return (*names, text)
