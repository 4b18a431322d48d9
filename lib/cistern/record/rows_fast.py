"""Ring.put() for many readings of 32-bit floats at once, as machine code: a float that Python
takes from an array is an object, its bits are not. rows_plain.py is the same in plain Python.
"""
# ruff: noqa: F821  (ptr32 is viper's own)

import micropython

const = int  # MicroPython's compiler knows const() by its name

# The state of a ring, see ring.py.
_HEAD = const(0)
_COUNT = const(3)
_LAST = const(4)
_EPOCH = const(5)
_FREE = const(11)
_NEED = const(13)

_MASK = const(0x3FFFFFFF)
_HALF = const(0x20000000)


@micropython.viper
def put_rows(ring, times, values, n: int):
    s = ptr32(ring._s)
    w = ptr32(ring.buffer)
    t = ptr32(times)
    v = ptr32(values)
    need = s[_NEED]
    i = 0
    j = 0
    while i < n:
        if s[_HEAD] + need > s[_FREE]:
            ring._reserve(need)
        tick = t[i]
        k = s[_LAST]
        s[_LAST] = tick
        k += ((tick - k + _HALF) & _MASK) - _HALF
        s[_EPOCH] += k >> 30
        at = s[_HEAD] >> 2
        s[_HEAD] += need
        w[at] = need
        w[at + 1] = tick | s[_EPOCH] << 30
        at += 2
        end = s[_HEAD] >> 2
        while at < end:
            w[at] = v[j]
            at += 1
            j += 1
        s[_COUNT] += 1
        i += 1
