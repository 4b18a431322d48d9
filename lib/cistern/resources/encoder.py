"""The encoder `incremental`: two phases, counted by the chip's pulse counter."""

from cistern.resources import Source, fields
from cistern.resources.attributes import check as check_table
from cistern.resources.pins import claim, number

_TABLE = {"board": (str, False, 1, 60), "pins": (dict, True, None, None)}
_PINS = {"a": ("in", True, None, None), "b": ("in", True, None, None)}


def check(kind, model, attributes):
    """Problems of the attributes."""
    found = check_table(_TABLE, attributes)
    if not found:
        pins = attributes["pins"]
        found = check_table(_PINS, pins, "pins.")
        if not found and number(pins["a"]) == number(pins["b"]):
            found.append(("pins.b", "a and b are the same pin"))
    return found


def build(component, port, others):
    """Make the encoder."""
    return Incremental(component, port, others)


class Incremental:
    """ticks: edges of both phases since start, four a cycle; down when b leads.

    The counter counts on while Python does something else, so none is lost between readings.
    """

    def __init__(self, component, port, others):
        pins = component.attributes["pins"]
        a, b = number(pins["a"]), number(pins["b"])
        uses = {"GPIO %d" % a: "pins.a", "GPIO %d" % b: "pins.b"}
        self.uses = claim(component, port, others, uses)
        self._counter = port.encoder(a, b)
        self._end = port.end_encoder
        self.ticks = self._counter.value

    def source(self, method, params):
        """TicksCount."""
        return Source(self._read, fields("int", "ticks"))

    def _read(self, values):
        values[0] = self.ticks()

    def close(self):
        """Give the pulse counter back."""
        self._end(self._counter)
