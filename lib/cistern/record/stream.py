"""Streams and their definitions: JSON that every sector with parcels of the stream repeats."""

import json

from cistern.record.shape import shape_of

_PREFIX = "rdk:component:"  # of nearly all types; not stored, a type without it begins with "!"


class Stream:
    """What is captured: component type, component name, method, params (a dict), tags (a tuple of
    str).
    """

    def __init__(self, component_type, component_name, method, params=None, tags=()):
        self.component_type = component_type
        self.component_name = component_name
        self.method = method
        self.params = params or {}
        self.tags = tuple(tags)

    def __eq__(self, other):
        return isinstance(other, Stream) and self.fields() == other.fields()

    def __hash__(self):
        return hash(self.fields()[:3])

    def fields(self):
        """All five of them."""
        return self.component_type, self.component_name, self.method, self.params, self.tags


def definition(stream, shape):
    """The bytes of a stream with one shape."""
    kind = stream.component_type
    kind = kind[len(_PREFIX) :] if kind.startswith(_PREFIX) else "!" + kind
    parts = (kind,) + stream.fields()[1:] + (shape.period_us, shape.root)
    return json.dumps(parts, separators=(",", ":")).encode()


def read_definition(data):
    """(Stream, Shape) of a definition's bytes."""
    kind, name, method, params, tags, period_us, root = json.loads(bytes(data).decode())
    kind = kind[1:] if kind.startswith("!") else _PREFIX + kind
    return Stream(kind, name, method, params, tags), shape_of(root, period_us)
