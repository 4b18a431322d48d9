"""The paths that run for every reading, as machine code. plain.py is the same in plain Python.

Types and casts in here are viper's: int is the machine's; ptr8 and ptr32 are not checked against
the end of their buffers, which _reserve() has seen to.

What put() takes for one u16 field, by esp32-costs.md in µs: the call of a bound method with three
arguments 11.3; len() of the values, a call into C like ticks_us(), 1.7; three attributes of self
as pointers 3.3; the value 1.0; 25 statements of machine code at 0.18, 4.5. Together 22 of the 25
that it may take; a bool takes the same, a float 10 more for pack_into().
"""
# ruff: noqa: F821, RUF046  (ptr8, ptr32 and what int() does are viper's own)

from struct import pack_into

import micropython

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
_INTEGER = const(15)  # a machine's int on its way to a Python int

_MASK = const(0x3FFFFFFF)
_HALF = const(0x20000000)
_MAX_GAP = const(0x10000000)
_LONG = const(0xFFFFF)


@micropython.viper
def put(self, tick: int, latency: int, values):
    state = self._s
    s = ptr32(state)
    n = int(len(values))
    # A negative latency has its upper bits set, too.
    if n != s[_FIELDS] or latency >> 19:
        self._other(tick, latency, values)
        return
    if s[_HEAD] + s[_NEED] > s[_FREE]:
        self._reserve(s[_NEED])
    at = s[_HEAD] + 8
    b = ptr8(self.buffer)
    codes = ptr8(self._codes)
    i = 0
    while i < n:
        v = values[i]
        if codes[i] == _U16:
            k = int(v)
            if k >> 16:
                self._other(tick, latency, values)
                return
            b[at] = k
            at += 1
            k >>= 8
        elif codes[i] == _BOOL:
            k = 1 if v else 0
        elif codes[i] == _INT:
            k = int(v)
            s[_INTEGER] = k
            # Of a long one int() takes the lowest bits; what is beyond 30 bits allocates.
            if (k + _HALF) >> 30 or state[_INTEGER] != v:
                self._other(tick, latency, values)
                return
            k = k + k if k >= 0 else 0 - k - k - 1
            while k > 127:
                b[at] = k & 127 | 128
                k >>= 7
                at += 1
        else:
            pack_into("<f", self.buffer, at, v)
            at += 3
            k = b[at]
        b[at] = k
        at += 1
        i += 1
    k = s[_LAST]
    s[_LAST] = tick
    k += ((tick - k + _HALF) & _MASK) - _HALF
    s[_EPOCH] += k >> 30
    w = ptr32(self.buffer)
    i = s[_HEAD]
    w[i >> 2] = at - i | latency << 12
    w[(i >> 2) + 1] = tick | s[_EPOCH] << 30
    s[_HEAD] = (at + 3) >> 2 << 2
    s[_COUNT] += 1


@micropython.viper
def run(state, ring, out, start: int, period: int) -> int:
    s = ptr32(state)
    b = ptr8(ring)
    w = ptr32(ring)
    o = ptr8(out)
    pos = start
    end = int(len(out)) - 10
    n = 0
    last = 0
    epoch = 0
    latency = 0
    gap = 0
    t = s[_TAIL]
    while n < s[_COUNT]:
        if t == s[_LIMIT]:
            t = 0
        at = t >> 2
        x = w[at]
        if x == 0:
            break
        t += x & 0xFFF
        delay = x >> 12 & _LONG
        tick = w[at + 1]
        if delay == _LONG:
            delay = w[at + 2]
            at += 1
        at = at + 2 << 2
        if pos + t - at > end:
            break
        e = tick >> 30 & 3
        tick &= _MASK
        if n:
            gap = ((tick - last + _HALF) & _MASK) - _HALF
            if gap >= _MAX_GAP or gap <= 0 - _MAX_GAP or (epoch + (last + gap >> 30)) & 3 != e:
                break
            gap -= period
        latency = delay - latency
        x = 0 if n else 1
        while x < 2:
            k = latency if x else gap
            k = k + k if k >= 0 else 0 - k - k - 1
            while k > 127:
                o[pos] = k & 127 | 128
                k >>= 7
                pos += 1
            o[pos] = k
            pos += 1
            x += 1
        while at < t:
            o[pos] = b[at]
            pos += 1
            at += 1
        t = (t + 3) >> 2 << 2
        s[_NEXT] = t
        last = tick
        epoch = e
        latency = delay
        n += 1
    s[_SEALED] = n
    return pos
