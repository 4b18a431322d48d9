"""What fast.py does, for CPython and for ports that cannot run native code."""

from struct import pack_into, unpack_from

from cistern.record.value import is_short, put_int

const = int  # MicroPython's compiler knows const() by its name

_BOOL = const(2)
_INT = const(4)
_U16 = const(12)

# The state of a ring, see ring.py.
_HEAD = const(0)
_TAIL = const(1)
_LIMIT = const(2)
_COUNT = const(3)
_LAST = const(4)
_EPOCH = const(5)
_SEALED = const(6)
_FREE = const(11)
_FIELDS = const(12)
_NEED = const(13)
_NEXT = const(14)

_MASK = const(0x3FFFFFFF)
_HALF = const(0x20000000)
_MAX_GAP = const(0x10000000)
_LONG = const(0xFFFFF)


def put(self, tick, latency, values):
    """Ring.put()."""
    s, b, codes = self._s, self.buffer, self._codes
    if len(values) != s[_FIELDS] or latency >> 19:
        self._other(tick, latency, values)
        return
    if s[_HEAD] + s[_NEED] > s[_FREE]:
        self._reserve(s[_NEED])
    at = s[_HEAD] + 8
    for i in range(len(values)):
        v = values[i]
        if codes[i] == _U16:
            if v >> 16:
                self._other(tick, latency, values)
                return
            pack_into("<H", b, at, v)
            at += 2
        elif codes[i] == _BOOL:
            b[at] = 1 if v else 0
            at += 1
        elif codes[i] == _INT:
            if v + _HALF >> 30:
                self._other(tick, latency, values)
                return
            at = put_int(b, at, v)
        else:
            if not is_short(v):
                self._other(tick, latency, values)
                return
            pack_into("<f", b, at, v)
            at += 4
    last = s[_LAST]
    s[_LAST] = tick
    s[_EPOCH] += last + (tick - last + _HALF & _MASK) - _HALF >> 30
    i = s[_HEAD]
    pack_into("<II", b, i, at - i | latency << 12, tick | (s[_EPOCH] & 3) << 30)
    s[_HEAD] = at + 3 & -4
    s[_COUNT] += 1


def run(s, b, out, pos, period):
    """Copy readings from the ring's tail to `out`, from `pos` on, as long as they fit and belong
    together.

    The position after them; how many becomes s[_SEALED].
    """
    n = last = epoch = latency = 0
    t = s[_TAIL]
    while n < s[_COUNT]:
        if t == s[_LIMIT]:
            t = 0
        x, tick, delay = unpack_from("<III", b, t)
        if not x:
            break
        at = t + 8
        t += x & 0xFFF
        if x >> 12 == _LONG:
            at += 4
        else:
            delay = x >> 12
        if pos + t - at > len(out) - 10:
            break
        e = tick >> 30
        tick &= _MASK
        if n:
            gap = (tick - last + _HALF & _MASK) - _HALF
            if not -_MAX_GAP < gap < _MAX_GAP or epoch + (last + gap >> 30) & 3 != e:
                break
            pos = put_int(out, pos, gap - period)
        pos = put_int(out, pos, delay - latency)
        out[pos : pos + t - at] = b[at:t]
        pos += t - at
        s[_NEXT] = t = t + 3 & -4
        last, epoch, latency = tick, e, delay
        n += 1
    s[_SEALED] = n
    return pos
