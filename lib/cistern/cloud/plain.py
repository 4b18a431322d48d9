"""What fast.py does, for CPython and for ports that cannot run native code."""

from struct import unpack_from

from cistern.cloud.protobuf import Writer

const = int  # MicroPython's compiler knows const() by its name

# Kinds of items, see expand.py.
_GAP = const(1)
_BOOL = const(2)
_INT = const(3)
_U16 = const(4)

# The state.
_POS = const(0)
_SECONDS = const(1)
_US = const(2)
_LATENCY = const(3)
_PERIOD = const(4)
_END = const(5)
_SIZE = const(6)
_LAST = const(7)
_LIMIT = const(8)

_SECOND = const(1000000)


def field(number, data):
    """A length-delimited field: str or bytes."""
    w = Writer()
    w.field(number, data)
    return bytes(w.view())


def timestamp(us):
    """google.protobuf.Timestamp (and Duration) of microseconds."""
    w = Writer()
    w.timestamp(us)
    return bytes(w.view())


def value(v):
    """google.protobuf.Value of None, bool, number, str, bytes, a point in time, list or dict."""
    w = Writer()
    w.value(v)
    return bytes(w.view())


def expand(out, p, state, payload, form, items):
    """Write readings to `out` from `p` on while they fit: the position after them.

    The state then is that of the next reading. A reading with a varint of more than 4 bytes ends
    it, too.
    """
    try:
        while state[_POS] < state[_END] and p <= state[_LIMIT]:
            n = _reading(out, p, state, payload, form, items)
            if not n:
                break
            p += n
    except IndexError:  # cut off
        pass
    return p


def _reading(out, p, state, payload, form, items):
    """How many bytes were written, 0 if the reading does not fit the fast way."""
    pos, delta = _varint(payload, state[_POS])
    latency = state[_LATENCY] + delta
    if pos < 0 or latency >> 28:
        return 0
    us = state[_US]
    start = state[_SECONDS] * _SECOND + us
    metadata = field(1, field(1, timestamp(start)) + field(2, timestamp(start + latency)))
    data = bytearray(field(2, metadata + form))
    base = len(data) - len(form)
    for i in range(2, state[_LAST], 2):
        kind = items[i] >> 4
        at = base + (items[i + 1] | (items[i] & 15) << 8)
        if kind == _GAP:
            if pos != state[_END]:
                pos, delta = _varint(payload, pos)
                us += state[_PERIOD] + delta
        elif kind == _INT:
            pos, x = _varint(payload, pos)
            data[at : at + 8] = value(x)[1:]
        else:
            end = pos + kind // 2
            if end > state[_END]:
                return 0
            if kind == _BOOL:
                data[at] = payload[pos]
            else:
                x = unpack_from("<H" if kind == _U16 else "<f", payload, pos)[0]
                data[at : at + 8] = value(x)[1:]
            pos = end
        if pos < 0:
            return 0
    out[p : p + len(data)] = data
    state[_POS] = pos
    state[_SECONDS] += us // _SECOND
    state[_US] = us % _SECOND
    state[_LATENCY] = latency
    return len(data)


def _varint(buf, pos):
    """(position after it, value) of a zigzag varint of up to 4 bytes; a longer one: (-1, 0)."""
    n = shift = 0
    while shift < 28:
        x = buf[pos]
        pos += 1
        n |= (x & 127) << shift
        if x < 128:
            return pos, n >> 1 ^ -(n & 1)
        shift += 7
    return -1, 0
