"""Moving and scaling samples as machine code, which allocates nothing: a float that Python makes
is an object, one that is put together from its bits is not. mpu_plain.py is the same in plain
Python, and says what each does.
"""
# ruff: noqa: F821  (ptr8 and ptr32 are viper's own)

import micropython

const = int  # MicroPython's compiler knows const() by its name

_SLOTS = const(127)


@micropython.viper
def keep(burst, ring, first: int, n: int, size: int, at: int):
    b = ptr8(burst)
    r = ptr8(ring)
    i = 0
    p = 0
    while i < n:
        to = ((first + i) & _SLOTS) * 12 + at
        j = 0
        while j < size:
            r[to + j] = b[p]
            p += 1
            j += 1
        i += 1


@micropython.viper
def take(ring_times, first: int, n: int, times):
    r = ptr32(ring_times)
    t = ptr32(times)
    i = 0
    while i < n:
        t[i] = r[(first + i) & _SLOTS]
        i += 1


@micropython.viper
def scale(ring, first: int, n: int, at: int, values, to: int, width: int, factor: int, shift: int):
    r = ptr8(ring)
    out = ptr32(values)
    i = 0
    while i < n:
        p = ((first + i) & _SLOTS) * 12 + at
        j = 0
        while j < 3:
            x = r[p] << 8 | r[p + 1]
            p += 2
            sign = x >> 15
            if sign:
                x = 0x10000 - x
            # At most 2**15 * (2**16 - 1): 31 bits. IEEE 754, binary32: sign, exponent, fraction.
            x *= factor
            if x:
                exponent = 157 - shift
                while x <= 0x3FFFFFFF:
                    x <<= 1
                    exponent -= 1
                x = (x >> 7) & 0x7FFFFF | exponent << 23 | sign << 31
            out[i * width + to + j] = x
            j += 1
        i += 1
