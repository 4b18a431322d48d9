"""Readings of a fixed size, from a parcel to protobuf, as machine code; plain.py has it in Python.

The types in here are viper's: int is the machine's, ptr8 and ptr32 are not checked against the end
of their buffers. What is written is bounded by _LIMIT. What is read: parcels have a CRC, so one
that ends within a reading is a defect in the first place; it is found before anything comes of it.
"""
# viper's names; and its calls cost too much to cut this into functions
# ruff: noqa: C901, F821

import micropython

const = int  # MicroPython's compiler knows const() by its name

# Kinds of items, see expand.py.
_GAP = const(1)
_BOOL = const(2)
_INT = const(3)
_F32 = const(8)

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


@micropython.viper
def expand(out: ptr8, p: int, state: ptr32, payload: ptr8, form: ptr8, items: ptr8) -> int:
    done = p
    while state[_POS] < state[_END] and done <= state[_LIMIT]:
        pos = state[_POS]
        us = state[_US]
        latency = 0
        i = 0
        while i < state[_LAST]:
            c = items[i] >> 4
            at = p + (items[i + 1] | (items[i] & 15) << 8)
            i += 2
            if c == _GAP and pos == state[_END]:
                break
            k = 0
            n = 0
            sign = 0
            if c & 1:
                x = 128
                while x & 128:
                    if n > 21:
                        return done
                    x = payload[pos]
                    pos += 1
                    k |= (x & 127) << n
                    n += 7
                sign = k & 1
                k = (k >> 1) + sign
                if c != _INT:
                    if sign:
                        k = 0 - k
                    if c == _GAP:
                        us += state[_PERIOD] + k
                        break
                    latency = state[_LATENCY] + k
                    if latency >> 28:
                        return done
                    # The SensorMetadata: for both times tag and length, then tags and varints of
                    # seconds and, if not 0, nanoseconds.
                    p = done + 4
                    k = us
                    c = 10
                    while c < 19:
                        at = p + 1
                        out[p] = c
                        p += 2
                        v = uint(state[_SECONDS] + k // _SECOND)
                        k = k % _SECOND * 1000
                        n = 8
                        while n:
                            out[p] = n
                            p += 1
                            while v >> 7:
                                out[p] = v | 128
                                v >>= 7
                                p += 1
                            out[p] = v
                            p += 1
                            n = n << 1 & 16
                            if not k:
                                n = 0
                            v = uint(k)
                        out[at] = p - at - 1
                        c += 8
                        k = us + latency
                    # What stands before it: tags and lengths of SensorData, of 1 or 2 bytes, and
                    # of the metadata.
                    x = p - done - 4
                    k = x + 2 + state[_SIZE]
                    at = done + 1
                    if k > 127:
                        n = p
                        while n > at:
                            out[n] = out[n - 1]
                            n -= 1
                        out[at] = k | 128
                        k >>= 7
                        at += 1
                        p += 1
                    out[done] = 18
                    out[at] = k
                    out[at + 1] = 10
                    out[at + 2] = x
                    n = 0
                    while n < state[_SIZE]:
                        out[p + n] = form[n]
                        n += 1
                    continue
            else:
                while n < c << 2:
                    k |= payload[pos] << n
                    pos += 1
                    n += 8
                if c == _BOOL:
                    out[at] = k
                    continue
            # k × 2^(e - 1052) with 30 bits of k, as binary64.
            e = 1052
            if c == _F32:
                sign = k >> 31 & 1
                e = k >> 23 & 255
                k = (k & 0x7FFFFF) << 6
                if e == 255:
                    e = 2047
                    if k:  # processors make a NaN a quiet one when they convert it
                        k |= 1 << 28
                    k |= 1 << 29
                elif e:
                    e += 896
                    k |= 1 << 29
                else:
                    e = 897
            if k:
                while not k >> 29:
                    k <<= 1
                    e -= 1
            else:
                e = 0
            out[at + 2] = k << 7
            out[at + 3] = k >> 1
            k = (k >> 9 & 0xFFFFF) | e << 20 | sign << 31
            x = at + 4
            at += 8
            while x < at:
                out[x] = k
                k >>= 8
                x += 1
        if pos > state[_END]:
            return done
        p += state[_SIZE]
        done = p
        state[_POS] = pos
        state[_SECONDS] += us // _SECOND
        state[_US] = us % _SECOND
        state[_LATENCY] = latency
    return done
