"""The protobuf encoding, as far as Viam's messages need it (protobuf.dev, "Encoding").

Values that their default would stand for are left out, but for the members of a oneof, which are
always written, and the parts of a map's entry.
"""

from struct import pack_into

from cistern.record.value import MAX_DEPTH

const = int  # MicroPython's compiler knows const() by its name

# Integers up to here are the same as floats of 32 bits, which is what the chip has.
_EXACT = const(1 << 24)


class Writer:
    """Writes a message from its end to its beginning: a length is known when its turn comes.

    What is written are the last `n` bytes of `buf`, which grows when it must.
    """

    def __init__(self, buf=None):
        self.buf = buf or bytearray(64)
        self.n = 0

    def view(self):
        """What is written, valid until more is."""
        return memoryview(self.buf)[len(self.buf) - self.n :]

    def room(self, size):
        """Where the next `size` bytes of buf go."""
        at = len(self.buf) - self.n - size
        while at < 0:
            at += len(self.buf)
            self.buf = bytearray(len(self.buf)) + self.buf
        self.n += size
        return at

    def varint(self, tag, n):
        """An unsigned number, and before it the tag: fields 1 to 15."""
        size = 2
        k = n >> 7
        while k:
            k >>= 7
            size += 1
        at = self.room(size)
        self.buf[at] = tag
        at += 1
        while n > 127:
            self.buf[at] = n & 127 | 128
            n >>= 7
            at += 1
        self.buf[at] = n

    def head(self, number, n):
        """Tag and length of a field: of what was written since there were `n` bytes."""
        self.varint(number << 3 | 2, self.n - n)

    def field(self, number, data):
        """A length-delimited field: str or bytes."""
        if isinstance(data, str):
            data = data.encode()
        size = len(data)
        at = self.room(size)
        self.buf[at : at + size] = data
        self.head(number, self.n - size)

    def timestamp(self, us):
        """google.protobuf.Timestamp (and Duration) of microseconds."""
        second = us // 1000000
        us -= second * 1000000
        if us:
            self.varint(16, us * 1000)
        if second:
            self.varint(8, second if second > 0 else second + (1 << 64))

    def struct(self, d, depth=1):
        """google.protobuf.Struct of a dict, keys sorted as by deterministic serialization; or
        ListValue of a list.

        It calls itself once for each level, for a chip's stack is small.
        """
        if d and depth > MAX_DEPTH:
            raise ValueError("values nested deeper than %d" % MAX_DEPTH)
        named = isinstance(d, dict)
        for v in sorted(d, reverse=True) if named else reversed(d):
            n = self.n
            key = v
            if named:
                v = d[key]
            if isinstance(v, (dict, list, tuple)):
                self.struct(v, depth + 1)
                self.head(5 if isinstance(v, dict) else 6, n)
            else:
                self.leaf(v)
            if named:
                self.head(2, n)
                self.field(1, key)
            self.head(1, n)

    def value(self, v):
        """google.protobuf.Value; bytes and points in time go as text."""
        n = self.n
        if isinstance(v, (dict, list, tuple)):
            self.struct(v, 2)
            self.head(5 if isinstance(v, dict) else 6, n)
        else:
            self.leaf(v)

    def leaf(self, v):
        """A Value that has no others in it."""
        if isinstance(v, str):
            self.field(3, v)
        elif v is None or isinstance(v, bool):
            self.varint(8 if v is None else 32, 1 if v else 0)
        elif isinstance(v, float) or (isinstance(v, int) and -_EXACT <= v <= _EXACT):
            at = self.room(9)
            self.buf[at] = 17
            pack_into("<d", self.buf, at + 1, v)
        else:
            from cistern.cloud.rare import put

            put(self, v)


def _varint(view, at):
    n = shift = 0
    while shift < 64:
        b = view[at]
        at += 1
        n |= (b & 127) << shift
        if b < 128:
            return n, at
        shift += 7
    raise IndexError


def fields(buf):
    """Iterate over (field number, value): an int, or a memoryview of a length-delimited or fixed
    field.

    Raises ValueError for what is no protobuf message.
    """
    view = memoryview(buf)
    at = 0
    try:
        while at < len(view):
            key, at = _varint(view, at)
            wire = key & 7
            if wire == 0:
                v, at = _varint(view, at)
            else:
                size = 8 if wire == 1 else 4
                if wire == 2:
                    size, at = _varint(view, at)
                elif wire & 3 != 1:  # 1 and 5
                    raise IndexError
                v = view[at : at + size]
                at += size
                if at > len(view):
                    raise IndexError
            yield key >> 3, v
    except IndexError:
        raise ValueError("this is no protobuf message") from None


def find(message, number):
    """The last value of field `number` of a message, None where there is none."""
    found = None
    for n, v in fields(message):
        if n == number:
            found = v
    return found
