"""Shapes: what all readings of a parcel have in common, so that a reading itself is values only.

A shape is a tree: a leaf is the code of a type; a struct is [STRUCT, key, node, key, node, …], a
list [LIST, node, …]. Streams whose readings differ from each other are for loose.py.
"""

from struct import pack_into, unpack_from

from cistern.record.value import check, is_short, put_int, put_str

const = int  # MicroPython's compiler knows const() by its name

_BOOL = const(2)
_INT = const(4)
_F32 = const(5)
_F64 = const(6)
_STR = const(7)
_STRUCT = const(10)
_LIST = const(11)
_U16 = const(12)
_ANY = const(13)
_OPT = const(14)
_CODES = {type(None): 1, bool: 2, int: 4, float: 6, str: 7, dict: 10, list: 11, tuple: 11}
# Bytes of a value by its code, 0 where that varies, and struct's format by the bytes.
_SIZES = b"\0\0\1\0\0\4\x08\0\0\0\0\0\2"
_FORMATS = ("", "<B", "<H", "", "<f", "", "", "", "<d")
# Names of codes in source.fields; a code is the index.
_NAMES = ("", "null", "bool", "", "int", "f32", "f64", "string", "", "", "", "", "u16")


def code_of(x):
    """The code of a value's type; 0 for a type that only loose.py knows."""
    code = _CODES.get(type(x), 0)
    return _F32 if code == _F64 and is_short(x) else code


def node_of(x):
    """The narrowest shape of a value that reading.check() has seen."""
    code = code_of(x)
    if code < _STRUCT:
        return code or _ANY
    node = [code]
    for k in x:
        if code == _STRUCT:
            node.append(k)
            k = x[k]
        node.append(node_of(k))
    return node


def put_leaf(buf, pos, code, x):
    """Write a value of known type; the position after it."""
    check(pos)
    n = _SIZES[code]
    if n:
        pack_into(_FORMATS[n], buf, pos, x)
        return pos + n
    if code == _STR:
        return put_str(buf, pos, x)
    return put_int(buf, pos, x) if code == _INT else pos


def read_leaf(source, code):
    """Read what put_leaf wrote."""
    n = _SIZES[code]
    if n:
        x = unpack_from(_FORMATS[n], source.take(n))[0]
        return x != 0 if code == _BOOL else x
    if code == _STR:
        return source.take(source.uint()).decode()
    return source.int() if code == _INT else None


def put(buf, pos, node, x):
    """Write a value in the shape `node`; the position after it, or -1 if it does not fit."""
    code = code_of(x)
    if isinstance(node, int):
        if node != code and not (
            (node == _F64 and code == _F32) or (node == _U16 and code == _INT and 0 <= x < 65536)
        ):
            return -1
        return put_leaf(buf, pos, node, x)
    step = 2 if code == _STRUCT else 1
    if code != node[0] or len(x) * step + 1 != len(node):
        return -1
    i = step
    while i < len(node) and pos >= 0:
        if step == 1:
            pos = put(buf, pos, node[i], x[i - 1])
        elif node[i - 1] in x:
            pos = put(buf, pos, node[i], x[node[i - 1]])
        else:
            return -1
        i += step
    return pos


def _codes(node, out):
    """The codes of the leaves, and of what makes a shape loose."""
    if isinstance(node, int):
        out.append(node)
    elif isinstance(node, list):
        if node[0] == _OPT:
            out.append(_OPT)
        for n in node[1:]:
            _codes(n, out)
    return out


def _built(node, values):
    if isinstance(node, int):
        return next(values)
    if node[0] == _LIST:
        return [_built(n, values) for n in node[1:]]
    out = {}
    for n in node[1:]:
        if isinstance(n, str):
            key = n
        else:
            out[key] = _built(n, values)
    return out


def shape_of(root, period_us=0):
    """The Shape of a tree."""
    codes = _codes(root, [])
    make = Shape
    if _ANY in codes or _OPT in codes:
        from cistern.record.loose import LooseShape

        make = LooseShape
    shape = make()
    shape.root = root
    shape.codes = bytes(codes)
    shape.period_us = period_us
    return shape


class Shape:
    """fields: ((path, name), …), path a tuple of keys, name one of _NAMES.

    root: of the tree. codes: of the leaves in order. period_us: nominal time between readings,
    which times are relative to.
    """

    period_us = 0
    _put = staticmethod(put)

    def __init__(self, fields=()):
        self.root = [_STRUCT]
        for path, name in fields:
            node = self.root
            for key in path[:-1]:
                if key not in node:
                    node += [key, [_STRUCT]]
                node = node[node.index(key) + 1]
            node += [path[-1], _NAMES.index(name)]
        self.codes = bytes(_codes(self.root, []))

    def put(self, buf, payload):
        """Write the payload's values; how many bytes, or -1 if it does not fit."""
        try:
            return self._put(buf, 0, self.root, payload)
        except IndexError:  # a number of a thousand digits
            return check(len(buf))

    def values(self, source):
        """Read the values of a reading, in the order of the leaves."""
        return [read_leaf(source, c) for c in self.codes]

    def payload(self, values):
        """The dict that these values came from."""
        return _built(self.root, iter(values))
