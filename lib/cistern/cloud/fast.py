"""Readings of a fixed size, from a parcel to protobuf, as machine code; plain.py has it in Python.

The casts and types in here are viper's: int is the machine's, ptr8 and ptr32 are not checked against
the end of their buffers. What is written is bounded by `limit`; what is read, by a check at every
item, which is at most 8 bytes.
"""
# viper's own names and casts, and its calls cost too much to cut this into functions
# ruff: noqa: C901, F821, RUF046

import micropython

const = int  # MicroPython's compiler knows const() by its name

_GAP = const(1)  # items below _BOOL are times
_BOOL = const(2)
_INT = const(4)
_F32 = const(5)
_F64 = const(6)
_U16 = const(12)

# The state, see expand.py.
_POS = const(0)
_HIGH = const(1)
_LOW = const(2)
_US = const(3)
_LATENCY = const(4)
_PERIOD = const(5)

_MASK = const(0xFFFFFFF)
_SECOND = const(1000000)


@micropython.viper
def expand(state, payload, form, items, out) -> int:
    s = ptr32(state)
    b = ptr8(payload)
    f = ptr8(form)
    t = ptr8(items)
    o = ptr8(out)
    size = int(len(form))
    last = int(len(items))
    end = int(len(payload))
    limit = int(len(out)) - size - 33
    done = 0
    while s[_POS] < end and done <= limit:
        pos = s[_POS]
        us = s[_US]
        latency = 0
        p = done
        i = 0
        while i < last:
            c = t[i] >> 4
            at = p + (t[i + 1] | (t[i] & 15) << 8)
            i += 2
            if pos >= end:
                if c == _GAP and pos == end:
                    break
                return done
            k = b[pos]
            pos += 1
            if c == _BOOL:
                o[at] = k
                continue
            sign = 0
            e = 1052
            if c == _U16:
                k |= b[pos] << 8
                pos += 1
            elif c == _F64:
                e = 0
                o[at] = k
                while e < 7:
                    e += 1
                    o[at + e] = b[pos]
                    pos += 1
                continue
            elif c == _F32:
                x = b[pos + 2]
                sign = x & 128
                e = x << 1 & 255 | b[pos + 1] >> 7
                k = k << 6 | b[pos] << 14 | (b[pos + 1] & 127) << 22
                pos += 3
                if e == 0:  # zero or subnormal
                    e = 897
                elif e < 255:
                    e += 896
                    k |= 1 << 29
                else:
                    e = 2047
                    if k:  # converting a NaN makes it a quiet one
                        k |= 1 << 28
                    k |= 1 << 29
            else:
                x = k
                k &= 127
                e = 7
                while x > 127:
                    if e == 28:
                        return done
                    x = b[pos]
                    pos += 1
                    k |= (x & 127) << e
                    e += 7
                sign = (k & 1) << 7
                k = (k >> 1) + (k & 1)
                e = 1052
                if c <= _GAP:
                    if sign:
                        k = 0 - k
                    if c == _GAP:
                        us += s[_PERIOD] + k
                        continue
                    latency = s[_LATENCY] + k
                    if latency >> 28:
                        return done
                    # The SensorMetadata.
                    c = p = done + 4
                    e = 10  # tag of the first Timestamp, then of the second
                    k = us
                    while e <= 18:
                        low = s[_LOW] + k // _SECOND
                        k = k % _SECOND * 1000
                        at = p + 1
                        o[p] = e
                        o[p + 2] = 8
                        o[p + 3] = low | 128
                        o[p + 4] = low >> 7 | 128
                        o[p + 5] = low >> 14 | 128
                        o[p + 6] = low >> 21 | 128
                        o[p + 7] = s[_HIGH] + (low >> 28)
                        p += 8
                        if k:
                            o[p] = 16
                            p += 1
                            while k > 127:
                                o[p] = k | 128
                                k >>= 7
                                p += 1
                            o[p] = k
                            p += 1
                        o[at] = p - at - 1
                        e += 8
                        k = us + latency
                    # What is before it: tag and length of the SensorData and of the metadata.
                    x = p - c
                    k = x + 2 + size
                    c = done + 1
                    if k > 127:
                        e = p
                        while e > c:
                            o[e] = o[e - 1]
                            e -= 1
                        o[c] = k | 128
                        k >>= 7
                        c += 1
                        p += 1
                    o[done] = 18
                    o[c] = k
                    o[c + 1] = 10
                    o[c + 2] = x
                    e = 0
                    while e < size:
                        o[p + e] = f[e]
                        e += 1
                    continue
            # k × 2^(e - 1052) with the sign, as binary64.
            if k == 0:
                e = 0
            else:
                while k >> 29 == 0:
                    k <<= 1
                    e -= 1
            o[at + 2] = k << 7
            o[at + 3] = k >> 1
            o[at + 4] = k >> 9
            o[at + 5] = k >> 17
            o[at + 6] = k >> 25 & 15 | e << 4
            o[at + 7] = e >> 4 | sign
        done = p + size
        low = s[_LOW] + us // _SECOND
        s[_POS] = pos
        s[_HIGH] += low >> 28
        s[_LOW] = low & _MASK
        s[_US] = us % _SECOND
        s[_LATENCY] = latency
    return done
