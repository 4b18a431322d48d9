"""Machine configuration: JSON text → dict (`load`), dict → Plan (`plan`). See docs/CONFIG.md.

A text is taken whole or refused with its line and column; below that, every entry stands alone:
what is wrong with one is a Problem with its path, and the others run.

This module and the plan stay in memory. scan.py, planner.py and explain.py work at start and when
the configuration changes, and are borrowed for that: together they take 20 KB of the chip's heap.
"""

import json
import sys
from collections import namedtuple

from cistern.errors import CisternError

# The text and the dict made of it (two to three times the text) must fit beside each other into
# the 149 KB of heap of a plain ESP32 with Wi-Fi up, before TLS takes its 40 KB: 24 KB + 72 KB.
# Twenty collectors written with indentation are about 10 KB.
MAX_TEXT = 24 * 1024

Component = namedtuple("Component", ("name", "type", "model", "attributes", "depends_on", "path"))
Collector = namedtuple(
    "Collector",
    (
        "component",
        "component_type",
        "method",
        "params",
        "frequency_hz",
        "period_us",
        "period_rem",
        "period_den",
        "ring_bytes",
        "tags",
        "path",
    ),
)
Problem = namedtuple("Problem", ("path", "message", "level"))


class ConfigError(CisternError):
    """A text that is no configuration. message: what was expected; line, column: where, from 1."""

    def __init__(self, message, line, column):
        super().__init__("line %d, column %d: %s" % (line, column, message))
        self.message = message
        self.line = line
        self.column = column


class Service:
    """The data manager: every attribute of docs/CONFIG.md under its name, at its value or default.

    Besides: sync_interval_ms, name, and path, which is None where the machine has no data manager
    (capture and sync are disabled then). tags and additional_sync_paths are tuples of str,
    mongo_capture_config is a dict with uri, database and collection.
    """


class Plan:
    """What a machine is to do.

    service: Service.
    components: [Component] in the order of the configuration. type is a full triplet; model has no
        "rdk:builtin:" before it.
    collectors: [Collector] without the disabled ones. The period is period_us + period_rem /
        period_den microseconds: to keep it for ever, wait 1 µs more each time the remainders add
        up to period_den.
    problems: [Problem]: path ("components[0].name"; "" is the whole), message, and level: "error"
        (that entry is refused), "warning" or "info".
    """

    def __init__(self):
        self.service = Service()
        self.components = []
        self.collectors = []
        self.problems = []

    def ring_bytes(self):
        """RAM that all rings take together."""
        return sum(c.ring_bytes for c in self.collectors)


def load(text):
    """The object that a JSON text (str, or bytes in UTF-8) holds; ConfigError if it holds none.

    Stricter than json.loads: MicroPython's takes '{"a":}' and '[1 2]', and both take a key twice.
    So every text goes through the scanner first, and means the same on a PC and on the chip.
    """
    if isinstance(text, str):
        text = text.encode()
    if text[:3] == b"\xef\xbb\xbf":
        text = text[3:]  # RFC 8259, 8.1: a byte order mark may be ignored
    if len(text) > MAX_TEXT:
        raise ConfigError("the text has %d bytes; at most %d fit" % (len(text), MAX_TEXT), 1, 1)
    found = borrow("cistern.config.scan").mistake(text)
    if found:
        raise ConfigError(*found)
    return json.loads(text)


def plan(machine, catalog):
    """The Plan of a machine configuration, which may be any JSON value.

    catalog: answers models(type), methods(type), method_params(type, method) and check(type,
        model, attributes) as the module cistern.resources does.
    """
    made, found = borrow("cistern.config.planner").plan(machine, catalog)
    if found:
        made.problems = borrow("cistern.config.explain").problems(found)
    return made


def borrow(name):
    """A module that the interpreter does not keep: its heap is free after use."""
    __import__(name)
    module = sys.modules.pop(name)
    room, _, name = name.rpartition(".")
    delattr(sys.modules[room], name)  # an import also binds it there
    return module
