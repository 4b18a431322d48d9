"""Streams whose readings differ from each other: keys that come and go, types that change, nesting
that varies.

The shape widens until all readings fit it: what comes and goes becomes optional, what changes its
type, or has bytes or a time in it, describes itself in every reading. Imported when a stream needs
it.
"""

from cistern.record import reading
from cistern.record.shape import Shape, code_of, node_of, put, put_leaf, read_leaf
from cistern.record.value import check, put_int, put_str, put_uint

const = int

_ABSENT = const(0)
_NULL = const(1)
_BOOL = const(2)  # as a tag: false
_TRUE = const(3)
_INT = const(4)
_F32 = const(5)
_F64 = const(6)
_BYTES = const(8)
_TIME = const(9)
_STRUCT = const(10)
_LIST = const(11)
_U16 = const(12)
_ANY = const(13)  # a leaf that describes itself, or is absent
_OPT = const(14)  # a struct of known fields, or anything else, or absent


class Timestamp:
    """A point in time as a value; us: microseconds since 1970, UTC."""

    def __init__(self, us):
        self.us = us

    def __eq__(self, other):
        return isinstance(other, Timestamp) and self.us == other.us

    def __hash__(self):
        return hash(self.us)

    def __repr__(self):
        return "Timestamp(%d)" % self.us


ABSENT = object()  # of a key that a reading lacks


def put_any(buf, pos, x):
    """Write a value with its type: a tag, then the value, in which structs have their keys."""
    check(pos)
    code = code_of(x)
    if not code and x is not ABSENT:
        code = _TIME if hasattr(x, "us") else _BYTES
    buf[pos] = _TRUE if x is True else code
    pos += 1
    if code in (_STRUCT, _LIST):
        pos = put_uint(buf, pos, len(x))
        for k in x:
            if code == _STRUCT:
                pos = put_str(buf, pos, k)
                k = x[k]
            pos = put_any(buf, pos, k)
    elif code == _TIME:
        pos = put_int(buf, pos, x.us)
    elif code == _BYTES:
        check(pos + len(x))
        pos = put_uint(buf, pos, len(x))
        buf[pos : pos + len(x)] = x
        pos += len(x)
    elif code not in (_BOOL, _ABSENT):
        pos = put_leaf(buf, pos, code, x)
    return pos


def read_any(source):
    """Read what put_any wrote."""
    tag = source.take(1)[0]
    if tag == _ABSENT:
        return ABSENT
    if tag in (_BOOL, _TRUE):
        return tag == _TRUE
    if tag == _STRUCT:
        out = {}
        for _ in range(source.uint()):
            key = source.take(source.uint()).decode()
            out[key] = read_any(source)
        return out
    if tag == _LIST:
        return [read_any(source) for _ in range(source.uint())]
    if tag == _TIME:
        return Timestamp(source.int())
    if tag == _BYTES:
        return source.take(source.uint())
    return read_leaf(source, tag)


def _optional(node):
    if isinstance(node, list) and node[0] != _LIST:
        return [_OPT] + node[1:]
    return _ANY


def _merged(node, x):
    code = code_of(x)
    if isinstance(node, int):
        if {node, code} == {_F32, _F64}:
            return _F64
        if {node, code} == {_U16, _INT}:
            return _U16 if 0 <= x < 65536 else _INT
        return node if node == code and code else _ANY
    if node[0] == _LIST:
        if code != _LIST or len(x) + 1 != len(node):
            return _ANY
        return [_LIST] + [_merged(node[i + 1], x[i]) for i in range(len(x))]
    if code != _STRUCT:
        return _optional(node)
    out = [node[0]]
    for i in range(2, len(node), 2):
        key = node[i - 1]
        out += [key, _merged(node[i], x[key]) if key in x else _optional(node[i])]
    for key in x:
        if key not in node[1::2]:
            out += [key, _optional(node_of(x[key]))]
    return out


def _count(node):
    if isinstance(node, int):
        return 1
    return 1 + sum([_count(n) for n in node[1:] if not isinstance(n, str)])


def widened(shape, payload):
    """The narrowest shape that fits what `shape` fits and the payload too."""
    return reading.bounded(_merged(shape.root, payload))


def _put(buf, pos, node, x):
    if node == _ANY:
        return put_any(buf, pos, x)
    if isinstance(node, int):
        return put(buf, pos, node, x)
    if node[0] == _LIST:
        if not isinstance(x, (list, tuple)) or len(x) + 1 != len(node):
            return -1
        for i in range(len(x)):
            pos = _put(buf, pos, node[i + 1], x[i])
            if pos < 0:
                break
        return pos
    return _put_struct(buf, pos, node, x)


def _put_struct(buf, pos, node, x):
    optional = node[0] == _OPT
    if not isinstance(x, dict):
        return put_any(buf, pos, x) if optional else -1
    check(pos)
    if optional:
        buf[pos] = _STRUCT
        pos += 1
    left = len(x)
    for i in range(2, len(node), 2):
        if node[i - 1] in x:
            left -= 1
            pos = _put(buf, pos, node[i], x[node[i - 1]])
        elif _optional(node[i]) == node[i]:
            buf[pos] = _ABSENT
            pos += 1
        else:
            return -1
        if pos < 0:
            return -1
    return -1 if left else pos


def _read(source, node):
    if node == _ANY:
        return read_any(source)
    if isinstance(node, int):
        return read_leaf(source, node)
    if node[0] == _LIST:
        return [_read(source, n) for n in node[1:]]
    if node[0] == _OPT:
        if source.buf[source.pos] != _STRUCT:
            return read_any(source)
        source.pos += 1
    out = {}
    for i in range(2, len(node), 2):
        x = _read(source, node[i])
        if x is not ABSENT:
            out[node[i - 1]] = x
    return out


class LooseShape(Shape):
    """A shape of readings that differ. Its values are one: the payload itself."""

    _put = staticmethod(_put)

    def put(self, buf, payload):
        """As Shape's; such a shape does not tell what is in a reading."""
        reading.check(payload)
        return Shape.put(self, buf, payload)

    def values(self, source):
        """Read a reading."""
        return [_read(source, self.root)]

    def payload(self, values):
        """The dict."""
        return values[0]
