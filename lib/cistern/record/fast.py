"""The paths that run for every reading, as machine code; plain.py is the same in plain Python.

The casts and types in here are viper's: int is the machine's, ptr8 and ptr32 are not checked against the end of
their buffers; what is written is bounded by what _reserve() was asked for.
"""
# ruff: noqa: F821  (ptr8, ptr32, uint are viper's own)

from struct import pack_into

import micropython

const = int  # MicroPython's compiler knows const() by its name

_BOOL = const(2)
_INT = const(4)
_F32 = const(5)
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


@micropython.viper
def put(self, tick: int, latency: int, values):
    s = ptr32(self._s)
    codes = self._codes
    n = 0
    if values is None:
        need = int(self._n)
    elif codes is None:
        self._other(tick, latency, values)
        return
    else:
        n = int(len(codes))
        need = 8 * n
    pos = int(self._reserve(need))
    b = ptr8(self._buf)
    if s[_COUNT] and s[_NEWEST] != s[_SHAPE]:
        b[pos] = 0
        b[pos + 1] = 0
        b[pos + 2] = s[_SHAPE]
        pos += 3
    at = pos
    pos += 6
    if latency < 0:
        latency = 0
    while latency > 127:
        b[pos] = latency & 127 | 128
        latency >>= 7
        pos += 1
    b[pos] = latency
    pos += 1
    if values is None:
        x = ptr8(self._scratch)
        i = 0
        while i < need:
            b[pos + i] = x[i]
            i += 1
        pos += need
    else:
        t = ptr8(codes)
        i = 0
        while i < n:
            c = t[i]
            v = values[i]
            i += 1
            if c == _U16:
                k = int(v)
                if k >> 16:
                    self._other(tick, latency, values)
                    return
                b[pos] = k
                b[pos + 1] = k >> 8
                pos += 2
            elif c == _BOOL:
                b[pos] = 1 if v else 0
                pos += 1
            elif c == _INT:
                k = int(v)
                # An int that does not fit the machine's was cut to its low bits.
                if (k + _HALF) >> 30 or object(k) != v:
                    self._other(tick, latency, values)
                    return
                k = k + k if k >= 0 else -k - k - 1
                while k > 127:
                    b[pos] = k & 127 | 128
                    k >>= 7
                    pos += 1
                b[pos] = k
                pos += 1
            elif c == _F32:
                short = self._is_short
                if short and not short(v):
                    self._other(tick, latency, values)
                    return
                pack_into("<f", self._buf, pos, v)
                pos += 4
            else:
                pack_into("<d", self._buf, pos, v)
                pos += 8
    now = s[_LAST] + ((tick - s[_LAST] + _HALF) & _MASK) - _HALF
    epoch = (s[_EPOCH] + (now >> 30)) & 3
    s[_EPOCH] = epoch
    s[_LAST] = tick
    n = pos - at - 2
    b[at] = n
    b[at + 1] = n >> 8
    b[at + 2] = tick
    b[at + 3] = tick >> 8
    b[at + 4] = tick >> 16
    b[at + 5] = tick >> 24 | epoch << 6
    s[_HEAD] = pos
    s[_COUNT] += 1
    s[_NEWEST] = s[_SHAPE]


@micropython.viper
def _varint(b: ptr8, pos: int, k: int) -> int:
    k = k + k if k >= 0 else -k - k - 1
    while k > 127:
        b[pos] = k & 127 | 128
        k >>= 7
        pos += 1
    b[pos] = k
    return pos + 1


@micropython.viper
def run(state, ring, out, start, period_us):
    s = ptr32(state)
    b = ptr8(ring)
    o = ptr8(out)
    pos = int(start)
    period = int(period_us)
    end = int(len(out)) - 10
    n = 0
    last = 0
    epoch = 0
    latency = 0
    t = s[_TAIL]
    while n < s[_COUNT]:
        if t == s[_LIMIT]:
            t = 0
        at = t + 6
        e = b[t + 5] >> 6
        tick = b[t + 2] | b[t + 3] << 8 | b[t + 4] << 16 | (b[t + 5] & 63) << 24
        size = b[t] | b[t + 1] << 8
        if size == 0:
            break
        t += 2 + size
        delay = 0
        shift = 0
        while True:
            x = b[at]
            at += 1
            delay |= (x & 127) << shift
            shift += 7
            if x < 128:
                break
        if pos + t - at > end:
            break
        if n:
            gap = ((tick - last + _HALF) & _MASK) - _HALF
            if gap <= 0 - _MAX_GAP or gap >= _MAX_GAP or (epoch + ((last + gap) >> 30)) & 3 != e:
                break
            pos = int(_varint(o, pos, gap - period))
        pos = int(_varint(o, pos, delay - latency))
        while at < t:
            o[pos] = b[at]
            pos += 1
            at += 1
        last = tick
        epoch = e
        latency = delay
        n += 1
    s[_SEALED] = n
    return pos
