"""Readings and the definitions of their streams, from the bytes of a parcel."""

import json
import struct
from datetime import UTC, datetime, timedelta

NULL, FALSE, TRUE, INT, F32, F64, STRING, BYTES, TIME, STRUCT, LIST, U16, ANY, OPTIONAL = range(
    1, 15
)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Source:
    """Bytes that are read from the front."""

    def __init__(self, data):
        self.data = data
        self.pos = 0

    def uint(self):
        n = shift = 0
        while True:
            b = self.data[self.pos]
            self.pos += 1
            n |= (b & 127) << shift
            shift += 7
            if b < 128:
                return n

    def int(self):
        n = self.uint()
        return n >> 1 ^ -(n & 1)

    def take(self, n):
        data = self.data[self.pos : self.pos + n]
        if len(data) < n:
            raise ValueError("cut short")
        self.pos += n
        return data

    def unpack(self, code):
        return struct.unpack(code, self.take(struct.calcsize(code)))[0]

    def string(self):
        return self.take(self.uint()).decode()

    def value(self, node):
        """A value of a shape; None and absent differ, see ABSENT."""
        if isinstance(node, int):
            return self.any() if node == ANY else self.leaf(node)
        code, *rest = node
        if code == LIST:
            return [self.value(n) for n in rest]
        if code == OPTIONAL:
            if self.data[self.pos] != STRUCT:
                return self.any()
            self.pos += 1
        both = {key: self.value(n) for key, n in zip(rest[::2], rest[1::2], strict=True)}
        return {k: v for k, v in both.items() if v is not ABSENT}

    def leaf(self, code):
        simple = {F32: "<f", F64: "<d", U16: "<H", FALSE: "<?"}
        if code in simple:
            return self.unpack(simple[code])
        if code == INT:
            return self.int()
        if code == STRING:
            return self.string()
        if code == NULL:
            return None
        raise ValueError(f"unknown type {code}")

    def any(self):
        tag = self.unpack("<B")
        if tag == 0:
            return ABSENT
        if tag in (FALSE, TRUE):
            return tag == TRUE
        if tag == STRUCT:
            return {self.string(): self.any() for _ in range(self.uint())}
        if tag == LIST:
            return [self.any() for _ in range(self.uint())]
        if tag == BYTES:
            return self.take(self.uint())
        if tag == TIME:
            return EPOCH + timedelta(microseconds=self.int())
        return self.leaf(tag)


ABSENT = object()


def read_definition(data):
    """A definition as a dict: the stream's fields, period_us and shape (a tree of codes)."""
    kind, name, method, params, tags, period_us, shape = json.loads(data)
    kind = kind[1:] if kind.startswith("!") else "rdk:component:" + kind
    return {
        "component_type": kind,
        "component_name": name,
        "method": method,
        "params": params,
        "tags": tags,
        "period_us": period_us,
        "shape": shape,
    }
