"""What fast.py does, for CPython and for ports that cannot run native code."""

import struct

const = int  # MicroPython's compiler knows const() by its name

_BOOL = const(2)
_INT = const(4)
_F64 = const(6)
_U16 = const(12)

# The state of a ring, see ring.py.
_HEAD = const(0)
_TAIL = const(1)
_LIMIT = const(2)
_COUNT = const(3)
_LAST = const(4)
_EPOCH = const(5)
_SEALED = const(6)
_NEWEST = const(9)
_SHAPE = const(11)

_MASK = const(0x3FFFFFFF)
_HALF = const(0x20000000)
_MAX_GAP = const(0x10000000)


def put(self, tick, latency, values):
    """Ring.put(); `values` None: the reading in the ring's scratch buffer."""
    s, b, codes = self._s, self._buf, self._codes
    need = self._n if values is None else 8 * len(codes or b"")
    if values is not None and not _fast(self, codes, values):
        return self.put_payload(tick, latency, self.shape.payload(values))
    now = s[_LAST] + (tick - s[_LAST] + _HALF & _MASK) - _HALF
    epoch = s[_EPOCH] = s[_EPOCH] + (now >> 30) & 3
    s[_LAST] = tick
    pos = self._reserve(need)
    if s[_COUNT] and s[_NEWEST] != s[_SHAPE]:
        b[pos] = b[pos + 1] = 0
        b[pos + 2] = s[_SHAPE]
        pos += 3
    at = pos
    struct.pack_into("<I", b, pos + 2, tick | epoch << 30)
    pos = _put_uint(b, pos + 6, max(latency, 0))
    if values is None:
        b[pos : pos + need] = self._scratch[:need]
        pos += need
    else:
        for i in range(len(codes)):
            pos = _put_value(b, pos, codes[i], values[i])
    struct.pack_into("<H", b, at, pos - at - 2)
    s[_HEAD] = pos
    s[_COUNT] += 1
    s[_NEWEST] = s[_SHAPE]
    return None


def _fast(self, codes, values):
    """Whether put() may write these values itself."""
    if not codes:
        return False
    for i in range(len(codes)):
        code, v = codes[i], values[i]
        if code == _U16:
            ok = 0 <= v < 65536
        elif code == _INT:
            ok = -_HALF <= v < _HALF
        else:
            ok = code in (_BOOL, _F64) or not self._is_short or self._is_short(v)
        if not ok:
            return False
    return True


def _put_value(b, pos, code, v):
    if code == _U16:
        struct.pack_into("<H", b, pos, v)
        return pos + 2
    if code == _BOOL:
        b[pos] = 1 if v else 0
        return pos + 1
    if code == _INT:
        return _put_int(b, pos, v)
    if code == _F64:
        struct.pack_into("<d", b, pos, v)
        return pos + 8
    struct.pack_into("<f", b, pos, v)
    return pos + 4


def _put_uint(b, pos, n):
    while n > 127:
        b[pos] = n & 127 | 128
        n >>= 7
        pos += 1
    b[pos] = n
    return pos + 1


def _put_int(b, pos, n):
    return _put_uint(b, pos, n + n if n >= 0 else -n - n - 1)


def run(s, b, out, pos, period):
    """Copy readings from the ring's tail to `out` from `pos` on, as long as they fit and belong together.

    The position after them; how many becomes s[_SEALED].
    """
    n = last = epoch = latency = 0
    t = s[_TAIL]
    while n < s[_COUNT]:
        if t == s[_LIMIT]:
            t = 0
        size = b[t] | b[t + 1] << 8
        if not size:
            break
        tick = b[t + 2] | b[t + 3] << 8 | b[t + 4] << 16 | (b[t + 5] & 63) << 24
        gap = (tick - last + _HALF & _MASK) - _HALF
        at = t + 6
        t += 2 + size
        delay = shift = 0
        while True:
            x = b[at]
            at += 1
            delay |= (x & 127) << shift
            shift += 7
            if x < 128:
                break
        if pos + 10 + t - at > len(out):
            break
        e = b[t - size + 3] >> 6
        if n:
            if not -_MAX_GAP < gap < _MAX_GAP or (epoch + (last + gap >> 30) & 3) != e:
                break
            pos = _put_int(out, pos, gap - period)
        pos = _put_int(out, pos, delay - latency)
        out[pos : pos + t - at] = b[at:t]
        pos += t - at
        last, epoch, latency = tick, e, delay
        n += 1
    s[_SEALED] = n
    return pos
