"""Numbers and strings as bytes. Writers take (buf, pos, x) and return the position after it.

docs/SPEC.md, "Values".
"""

import struct

# A parcel must hold a reading beside its own overhead; 5 strings of 200 bytes fit.
MAX_READING = 1024
# Values nested deeper are refused: google's parsers, but for Go's, stop at 100 messages in each
# other. A SensorData and its Struct are two, each value in a struct is three more, so 32 are 98.
MAX_DEPTH = 32
LONG_INT = 146  # bytes of a reading up to which it has no integer of more than 1,023 bits
# The chip's floats have 32 bits, those of a PC 64.
WIDE = 1.0 + 2.0**-40 != 1.0
_double = bytearray(8)


def put_uint(buf, pos, n):
    """LEB128: 7 bits a byte, the least significant first."""
    while n > 127:
        buf[pos] = n & 127 | 128
        n >>= 7
        pos += 1
    buf[pos] = n
    return pos + 1


def put_int(buf, pos, n):
    """Zigzag LEB128."""
    return put_uint(buf, pos, n + n if n >= 0 else -n - n - 1)


def put_str(buf, pos, text):
    """Length in bytes and UTF-8. Raises ValueError for what is no text."""
    try:
        data = text.encode()
    except UnicodeError:  # CPython
        data = b"\xff"
    if data and max(data) > 127:
        from cistern.record.reading import utf8

        data = utf8(text)
    n = len(data)
    check(pos + n)
    pos = put_uint(buf, pos, n)
    buf[pos : pos + n] = data
    return pos + n


def check(size):
    """Refuse a reading that grows too large."""
    if size > MAX_READING:
        raise ValueError("a reading of more than %d bytes cannot be kept" % MAX_READING)


def is_short(x):
    """Whether 4 bytes hold the float `x` exactly; NaN and subnormals are taken not to."""
    if not WIDE:
        return True
    b = _double
    struct.pack_into("<d", b, 0, x)
    if b[0] | b[1] | b[2] | b[3] & 31:
        return False
    e = (b[7] & 127) << 4 | b[6] >> 4
    # The exponents of binary32, or those of zero and infinity.
    return 897 <= e <= 1150 or (e in (0, 2047) and not b[6] & 15 | b[5] | b[4] | b[3])


class Source:
    """Reads values from `buf`; pos: of the next. Raises IndexError or ValueError on bytes cut
    short.
    """

    def __init__(self, buf, pos=0):
        self.buf = buf
        self.pos = pos

    def uint(self):
        """What put_uint wrote."""
        n = shift = 0
        while True:
            b = self.buf[self.pos]
            self.pos += 1
            n |= (b & 127) << shift
            if b < 128:
                return n
            shift += 7

    def int(self):
        """What put_int wrote."""
        n = self.uint()
        return n >> 1 ^ -(n & 1)

    def take(self, n):
        """The next n bytes, copied."""
        self.pos += n
        if self.pos > len(self.buf):
            raise IndexError
        return bytes(self.buf[self.pos - n : self.pos])
