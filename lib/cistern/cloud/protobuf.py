"""The protobuf encoding, as far as Viam's messages need it (protobuf.dev, "Encoding").

Encoders return bytes. Values that their default would stand for are left out, but for the members
of a oneof, which are always written.
"""

import struct

# Nested Struct values deeper than this are refused: google's parsers stop at 100 levels of
# messages, and a Value in a Struct is three of them.
MAX_DEPTH = 32


def varint(n):
    """An unsigned or, as two's complement of 64 bits, a negative number."""
    if n < 0:
        n += 1 << 64
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    out.append(n)
    return bytes(out)


def field(number, data):
    """A length-delimited field: str or bytes."""
    if isinstance(data, str):
        data = data.encode()
    return varint(number << 3 | 2) + varint(len(data)) + bytes(data)


def text(number, value):
    """A string field, left out when empty."""
    return field(number, value) if value else b""


def number(number, value):
    """A varint field, left out when zero."""
    return varint(number << 3) + varint(value) if value else b""


def timestamp(us):
    """google.protobuf.Timestamp (and Duration) of microseconds."""
    return number(1, us // 1000000) + number(2, us % 1000000 * 1000)


def value(v, depth=0):
    """google.protobuf.Value of None, bool, number, str, list, tuple or dict; bytes go as base64
    text.
    """
    if v is None:
        return b"\x08\x00"
    if v is True:
        return b"\x20\x01"
    if v is False:
        return b"\x20\x00"
    if isinstance(v, (int, float)):
        return b"\x11" + struct.pack("<d", v)
    if isinstance(v, str):
        return field(3, v)
    if isinstance(v, dict):
        return field(5, struct_(v, depth + 1))
    if isinstance(v, (list, tuple)):
        if depth >= MAX_DEPTH:
            raise ValueError("values nested deeper than %d" % MAX_DEPTH)
        return field(6, b"".join([field(1, value(x, depth + 1)) for x in v]))
    if isinstance(v, (bytes, bytearray, memoryview)):
        from binascii import b2a_base64

        return field(3, b2a_base64(v).rstrip())
    raise ValueError("a %s cannot be sent" % type(v).__name__)


def struct_(d, depth=0):
    """google.protobuf.Struct of a dict, keys sorted as by deterministic serialization."""
    if depth >= MAX_DEPTH:
        raise ValueError("values nested deeper than %d" % MAX_DEPTH)
    return b"".join([field(1, field(1, k) + field(2, value(d[k], depth))) for k in sorted(d)])


def read_varint(buf, at):
    """(value, position after it); ValueError when it does not end in `buf` or in 10 bytes."""
    n = shift = 0
    while True:
        if at >= len(buf) or shift > 63:
            raise ValueError("malformed protobuf varint")
        b = buf[at]
        at += 1
        n |= (b & 127) << shift
        if b < 128:
            return n, at
        shift += 7


def fields(buf):
    """Iterate over (field number, value): an int, or a memoryview of a length-delimited or fixed
    field.

    Raises ValueError for what is no protobuf message.
    """
    view = memoryview(buf)
    at = 0
    while at < len(view):
        key, at = read_varint(view, at)
        wire = key & 7
        if wire == 0:
            v, at = read_varint(view, at)
            yield key >> 3, v
            continue
        if wire == 2:
            size, at = read_varint(view, at)
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
        else:
            raise ValueError("protobuf wire type %d" % wire)
        if at + size > len(view):
            raise ValueError("protobuf field is cut short")
        yield key >> 3, view[at : at + size]
        at += size


def string(message, number):
    """The last string field `number` of a message, "" where there is none."""
    found = ""
    for n, v in fields(message):
        if n == number and not isinstance(v, int):
            found = str(bytes(v), "utf-8")
    return found
