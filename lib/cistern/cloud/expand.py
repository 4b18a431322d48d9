"""Parcels → the SensorData of a DataCaptureUploadRequest, piece by piece.

What the readings of a shape have in common is laid out once: the form, field 2 (struct) of
SensorData with holes for the values. Where all values become numbers or bools, fast.py fills
copies of it from the items of a reading: latency, values in the parcel's order, time to the next
reading. An item is described in 2 bytes: 4 bits of kind, 12 bits of where its hole begins. Kinds
are odd for varints (5 latency, 1 time, 3 int), else the size in bits / 4. What does not suit this,
a reading or a whole parcel, goes the way of rare.sensor_data().
"""

from array import array

from cistern.cloud.protobuf import Writer
from cistern.record import read_definition
from cistern.record.value import Source

try:
    from cistern.cloud.fast import expand
except (ImportError, AttributeError):
    from cistern.cloud.plain import expand

const = int  # MicroPython's compiler knows const() by its name

# Bytes of a piece, for the caller's buffer: what one call makes of readings (20 of Analogs).
PIECE = const(1024)
# A SensorData's tag and length (3 bytes), its metadata's (2), two timestamps of up to 14.
_HEAD = const(33)
# Kinds of the shape's codes: null has no hole; bool, int, f32, u16; the others have no fixed size.
_NULL = const(15)
_BOOL = const(2)
_KINDS = b"\0\17\2\0\3\10\0\0\0\0\0\0\4\0\0"


class _Form(Writer):
    """Writes a Struct whose leaves are numbers of leaves, and notes where their values are."""

    def __init__(self, kinds, buf):
        super().__init__(buf)
        self.kinds = kinds
        self.holes = [0] * len(kinds)

    def leaf(self, i):
        kind = self.kinds[i]
        data = b"\x08\0" if kind == _NULL else b"\x20\0"
        if kind not in (_NULL, _BOOL):
            data = b"\x11\0\0\0\0\0\0\0\0"
        at = self.room(len(data))
        self.buf[at : at + len(data)] = data
        # From the end, which does not move.
        self.holes[i] = 0 if kind == _NULL else self.n - 1


class Expander:
    """Parcels with one definition; stream: what it is of. buf: what pieces are made in.

    last_us: the time of the last reading that was expanded.
    """

    def __init__(self, definition, buf):
        self.definition = definition
        self.stream, self._shape = read_definition(definition)
        self._buf = buf
        self._form = b""
        kinds = bytes([_KINDS[c] for c in self._shape.codes])
        if 0 not in kinds:
            self._lay(kinds)

    def _lay(self, kinds):
        w = _Form(kinds, self._buf)
        w.struct(self._shape.payload(range(len(kinds))))
        w.head(2, 0)
        if w.n >> 12:
            return
        self._form = bytes(w.view())
        items = bytearray(b"\x50\0")
        for i in range(len(kinds)):
            if w.holes[i]:
                at = w.n - w.holes[i]
                items += bytes((kinds[i] << 4 | at >> 8, at & 255))
        self._items = items + b"\x10\0"
        if w.n + _HEAD > len(self._buf):
            self._buf = bytearray(w.n + _HEAD)

    def pieces(self, payload, start_us):
        """Iterate over bytes-likes that together are the readings as fields 2 of the request.

        start_us: UTC of the boot's start in µs. A piece is valid until the next one.
        """
        shape, form, buf = self._shape, self._form, self._buf
        view = memoryview(buf)
        source = Source(payload)
        end = len(payload)
        time = start_us + source.uint()
        latency = 0
        while source.pos < end:
            second = time // 1000000
            # The fast way has 32 bits for seconds and 28 for latencies.
            if form and 0 < second >> 24 < 254 and not latency >> 28:
                s = array(
                    "I",
                    (
                        source.pos,
                        second,
                        time % 1000000,
                        latency,
                        shape.period_us,
                        end,
                        len(form),
                        len(self._items),
                        len(buf) - len(form) - _HEAD,
                    ),
                )
                n = 1
                while n:
                    n = expand(buf, 0, s, payload, form, self._items)
                    if n:
                        yield view[:n]
                source.pos, time, latency = s[0], s[1] * 1000000 + s[2], s[3]
                if source.pos >= end:
                    break
            from cistern.cloud.rare import sensor_data

            latency += source.int()
            yield sensor_data(time, time + latency, shape.payload(shape.values(source)), buf)
            if source.pos < end:
                time += shape.period_us + source.int()
        self.last_us = time
