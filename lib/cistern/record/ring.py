"""A collector's ring in RAM: readings go in as bytes, parcels come out.

In the ring a reading is: u16 length of the rest, u32 time, varint latency, values. Time is the tick with two
bits of epoch above it, which count how often ticks have wrapped; so ages up to 71 minutes are unambiguous as
long as put or seal is called within 2^29 µs (9 min) while the ring holds anything. Where the shape changes, a
length of 0 and the number of the new shape stand before the reading. Readings are contiguous: one that does
not fit at the end of the buffer goes to its start. Times become differences when a parcel is sealed, so
dropping the oldest reading costs one addition.
"""

import array

from cistern.record.shape import Shape, node_of, shape_of
from cistern.record.stream import definition
from cistern.record.value import MAX_READING, WIDE, is_short, put_uint

try:
    from cistern.record.fast import put, run
except (ImportError, AttributeError):
    from cistern.record.plain import put, run

const = int  # MicroPython's compiler knows const() by its name

_NUMBERS = b"\2\4\5\6\14"  # codes that put() writes itself: bool, int, f32, f64, u16

# The state is an array of ints, so that fast code reaches it without attributes.
_HEAD = const(0)  # where the next reading goes
_TAIL = const(1)  # the oldest reading
_LIMIT = const(2)  # where data ends before it goes on at 0
_COUNT = const(3)
_LAST = const(4)  # the newest tick seen
_EPOCH = const(5)
_SEALED = const(6)  # readings at the tail that are in an unreleased parcel
_GONE = const(7)  # readings of that parcel that have been overwritten since
_OVER = const(8)  # readings overwritten that were in no parcel
_NEWEST = const(9)  # number of the newest reading's shape
_OLDEST = const(10)  # number of the oldest reading's shape
_SHAPE = const(11)  # number of the shape that readings now have

# Length, time and latency of a reading in the ring, and a change of shape before it.
_OVERHEAD = const(14)
_MASK = const(0x3FFFFFFF)
_HALF = const(0x20000000)
# Readings further apart than this (4.5 min) do not share a parcel; no period beyond it predicts anything.
_MAX_GAP = const(0x10000000)
# The first reading's time, of 9 bytes at most, precedes the readings of a parcel.
_BASE = const(9)


class Sealed:
    """A run of readings for the log: definition (bytes), payload (memoryview), readings (how many)."""

    def __init__(self, definition_, payload, readings):
        self.definition = definition_
        self.payload = payload
        self.readings = readings


class Ring:
    """Readings of one stream, at most `size` bytes of them; the oldest make room for new ones.

    period_us: nominal time between readings, 0 for none. shape: what put() takes; without it, and for readings
    that differ, put_payload() finds the shape.
    """

    _scratch = memoryview(bytearray(MAX_READING + 16))
    _is_short = is_short if WIDE else None
    put = put

    def __init__(self, stream, size, period_us, shape=None):
        self.size = size
        self._stream = stream
        self._period = period_us if period_us < _MAX_GAP else 0
        self._buf = bytearray(size)
        self._s = array.array("i", [0, 0, size, 0, 0, 0, 0, 0, 0, 0, 0, 0])
        self._definitions = {}
        self._n = 0
        self._use(shape or Shape())

    def _use(self, shape):
        s = self._s
        shape.period_us = self._period
        self.definition = definition(self._stream, shape)
        self.shape = shape
        # put() itself writes numbers only.
        self._codes = shape.codes
        for c in shape.codes:
            if c not in _NUMBERS:
                self._codes = None
        s[_SHAPE] = number = s[_SHAPE] + 1 & 255
        # Readings in the ring have the shapes from _OLDEST on.
        first = s[_OLDEST] if s[_COUNT] else number
        by = self._definitions
        by[number] = self.definition
        for k in list(by):
            if (k - first & 255) > (number - first & 255):
                del by[k]

    @property
    def readings(self):
        """How many are held, sealed ones included until they are released."""
        return self._s[_COUNT]

    @property
    def used(self):
        """Bytes held."""
        s = self._s
        n = s[_HEAD] - s[_TAIL]
        return n if n >= 0 else n + s[_LIMIT]

    @property
    def overwritten(self):
        """Readings lost because the ring was full; the caller sets it to 0 when it has counted them."""
        return self._s[_OVER]

    @overwritten.setter
    def overwritten(self, n):
        self._s[_OVER] = n

    @property
    def oldest_tick(self):
        """When the oldest reading was requested; None when there is none."""
        return self._time(2) & _MASK if self._s[_COUNT] else None

    def _time(self, skip):
        t, b = self._s[_TAIL] + skip, self._buf
        return b[t] | b[t + 1] << 8 | b[t + 2] << 16 | b[t + 3] << 24

    def put_payload(self, requested_tick, latency_us, payload):
        """Keep a reading; payload: the dict that becomes SensorData.struct.

        Raises TypeError or ValueError for what cannot be kept; the ring is then as it was.
        """
        n = self.shape.put(self._scratch, payload)
        if n < 0:
            if self.shape.codes:
                from cistern.record.loose import widened

                shape = widened(self.shape, payload)
            else:
                shape = shape_of(node_of(payload))
            n = shape.put(self._scratch, payload)
            self._use(shape)
        self._n = n
        self.put(requested_tick, latency_us, None)

    def _reserve(self, n):
        """Where n bytes and their overhead are free, after dropping what is in the way."""
        s = self._s
        n += _OVERHEAD
        if n > self.size:
            raise ValueError("a reading of %d bytes is too large for a ring of %d" % (n, self.size))
        while s[_COUNT]:
            head, tail = s[_HEAD], s[_TAIL]
            if head > tail:
                if self.size - head >= n:
                    return head
                if tail > n:
                    s[_LIMIT] = head
                    s[_HEAD] = 0
                    return 0
            elif tail - head > n:
                return head
            i = _GONE if s[_SEALED] else _OVER
            s[i] += 1
            s[_SEALED] -= i == _GONE
            self._drop()
        s[_OLDEST] = s[_SHAPE]
        return 0

    def _drop(self):
        s, b = self._s, self._buf
        t = s[_TAIL]
        t += 2 + b[t] + (b[t + 1] << 8)
        s[_COUNT] -= 1
        if not s[_COUNT]:
            t = s[_HEAD] = 0
            s[_LIMIT] = self.size
        elif t == s[_LIMIT]:
            t = 0
            s[_LIMIT] = self.size
        if s[_COUNT] and not b[t] | b[t + 1]:
            s[_OLDEST] = b[t + 2]
            t += 3
        s[_TAIL] = t

    def seal(self, buf, now_tick, now_uptime_us):
        """Write the oldest run of readings that fits `buf` as a parcel: Sealed, or None.

        None: the ring is empty, or `buf` takes not even one reading (MAX_READING + 24 bytes always do). The
        readings stay until release(); sealing again before that starts from the oldest again.
        """
        s = self._s
        s[_OVER] += s[_GONE]
        s[_GONE] = s[_SEALED] = 0
        now = s[_LAST] + (now_tick - s[_LAST] + _HALF & _MASK) - _HALF
        s[_EPOCH] = s[_EPOCH] + (now >> 30) & 3
        s[_LAST] = now_tick
        if not s[_COUNT] or len(buf) < _BASE:
            return None
        age = (now_tick | s[_EPOCH] << 30) - self._time(2) & 0xFFFFFFFF
        # A reading cannot be younger than now by more than its own duration.
        pos = put_uint(buf, 0, max(now_uptime_us - (age if age < 0x80000000 else 0), 0))
        pos = run(s, self._buf, buf, pos, self._period)
        if not s[_SEALED]:
            return None
        return Sealed(self._definitions[s[_OLDEST]], memoryview(buf)[:pos], s[_SEALED])

    def release(self):
        """The sealed parcel is durable: forget its readings."""
        s = self._s
        while s[_SEALED]:
            s[_SEALED] -= 1
            self._drop()
        s[_GONE] = 0
