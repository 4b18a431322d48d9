"""A collector's ring in RAM: readings go in as bytes, parcels come out.

In the ring a reading begins at a multiple of 4 with the words: length in bytes of it all | latency
<< 12, time. A latency of 2^20 - 1 µs and more is a word of its own after them. Then the values.
Time is the tick with two bits of epoch above it, which count how often ticks have wrapped; so ages
up to 71 minutes are unambiguous as long as put or seal is called within 2^29 µs (9 min) while the
ring holds anything. Where the shape changes, the words 0 and number of the new shape stand between
readings. What does not fit at the end of the buffer goes to its start. Times become differences
when a parcel is sealed, so dropping the oldest reading costs one addition.
"""

import array
from struct import pack_into, unpack_from

from cistern.borrow import keep, lend
from cistern.record.shape import Shape
from cistern.record.stream import definition
from cistern.record.value import LONG_INT, MAX_DEPTH, MAX_READING, WIDE, put_uint

try:
    from cistern.record.fast import put, run
except (
    ImportError,
    ValueError,
):  # CPython; a port without native code, or machine code of another one
    from cistern.record.plain import put, run

const = int  # MicroPython's compiler knows const() by its name

# The state is an array of ints, so that machine code reaches it without attributes.
_HEAD = const(0)  # where the next reading goes
_TAIL = const(1)  # the oldest reading
_LIMIT = const(2)  # where data ends before it goes on at 0
_COUNT = const(3)
_LAST = const(4)  # the newest tick seen
_EPOCH = const(5)
_SEALED = const(6)  # readings at the tail that are in an unreleased parcel
_OLDEST = const(9)  # number of the oldest reading's shape
_SHAPE = const(10)  # number of the shape that readings now have
_FREE = const(11)  # up to where the bytes from _HEAD on are free
_FIELDS = const(12)  # values that put() takes, -1 where it leaves that to put_payload()
_NEED = const(13)  # bytes that a reading from put() takes at most
_NEXT = const(14)  # where the readings of the sealed parcel end

_MASK = const(0x3FFFFFFF)
_HALF = const(0x20000000)
_LONG = const(0xFFFFF)
# Readings further apart than this (4.5 min) do not share a parcel; no period beyond it predicts
# anything.
_MAX_GAP = const(0x10000000)
# A definition up to here, of few levels and ASCII, needs no look: nothing in it is too long.
_PLAIN = const(512)
# What put() writes itself: bool, int, u16, and f32 where all floats are that short.
_NUMBERS = b"\2\4\14" if WIDE else b"\2\4\14\5"
_READING = "cistern.record.reading"


class Sealed:
    """A run of readings for the log: definition (bytes), payload (memoryview), readings (how
    many).
    """

    def __init__(self, definition_, payload, readings):
        self.definition = definition_
        self.payload = payload
        self.readings = readings


class Ring:
    """Readings of one stream, at most `size` bytes of them; the oldest make room for new ones.

    period_us: nominal time between readings, 0 for none. shape: what put() takes; without it, and
    for readings that differ, put_payload() finds the shape. definition: of the shape that readings
    now have. overwritten: readings lost because the ring was full; the caller sets it to 0 when it
    has counted them. gone: of the sealed ones, those overwritten before their parcel was released,
    which are lost where it never is. memory: makes a bytearray of a size; buffer: the one that has
    the readings. scratch: a memoryview of MAX_READING + 16 bytes, which rings may share.
    """

    put = put

    def __init__(self, stream, size, period_us, shape=None, memory=bytearray, scratch=None):
        self.size = size & -4
        self.overwritten = 0
        self.gone = 0
        self._stream = stream
        self._period = period_us if period_us < _MAX_GAP else 0
        # A reading's head may be read where only 8 bytes are one.
        self.buffer = memory(size + 8)
        self._scratch = scratch
        self._s = array.array("i", bytes(64))
        self._empty()
        self._definitions = {}
        self._fields = shape or Shape()
        self._use(self._fields)
        d = self.definition
        odd = float in [type(v) for v in stream.params.values()]
        deep = d.count(b"[") > MAX_DEPTH
        if odd or deep or len(d) > _PLAIN or max(d) > 127 or b"\\u" in d:
            lend(_READING).check_stream(stream, self.shape)

    def _empty(self):
        s = self._s
        s[_HEAD] = s[_TAIL] = 0
        s[_LIMIT] = s[_FREE] = self.size

    def _use(self, shape):
        s = self._s
        shape.period_us = self._period
        self.definition = definition(self._stream, shape)
        self.shape = shape
        self._codes = codes = shape.codes
        s[_FIELDS] = n = len(codes)
        s[_NEED] = 8 + 4 * n + codes.count(b"\4")
        for c in codes:
            if c not in _NUMBERS:
                s[_FIELDS] = -1
        s[_SHAPE] = number = s[_SHAPE] + 1 & 255
        by = self._definitions
        if s[_COUNT]:
            self._reserve(8)
        if s[_COUNT]:
            pack_into("<II", self.buffer, s[_HEAD], 0, number)
            s[_HEAD] += 8
        else:
            s[_OLDEST] = number
        # Readings in the ring have the shapes from _OLDEST on.
        first = s[_OLDEST]
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
    def oldest_tick(self):
        """When the oldest reading was requested; None when there is none."""
        if not self._s[_COUNT]:
            return None
        # Asked fifty times a second: without numbers of more than 30 bits, which take heap.
        b, t = self.buffer, self._s[_TAIL]
        return b[t + 4] | b[t + 5] << 8 | b[t + 6] << 16 | (b[t + 7] & 63) << 24

    def put_payload(self, requested_tick, latency_us, payload):
        """Keep a reading; payload: the dict that becomes SensorData.struct.

        Raises TypeError or ValueError for what cannot be kept; the ring is then as it was.
        """
        s = self._s
        if self._scratch is None:
            self._scratch = memoryview(bytearray(MAX_READING + 16))
        n = self.shape.put(self._scratch, payload)
        if n < 0:
            shape = lend(_READING).shape_for(self.shape, payload, self._stream)
            n = shape.put(self._scratch, payload)
            self._use(shape)
        elif n > LONG_INT:
            keep(_READING).check(payload)
        self._reserve(n + 12)
        at = s[_HEAD] + 8
        last = s[_LAST]
        s[_LAST] = requested_tick
        s[_EPOCH] += last + (requested_tick - last + _HALF & _MASK) - _HALF >> 30
        latency = max(latency_us, 0)
        if latency >= _LONG:
            pack_into("<I", self.buffer, at, latency)
            at += 4
            latency = _LONG
        self.buffer[at : at + n] = self._scratch[:n]
        n += at - s[_HEAD]
        time = requested_tick | (s[_EPOCH] & 3) << 30
        pack_into("<II", self.buffer, s[_HEAD], n | latency << 12, time)
        s[_HEAD] += n + 3 & -4
        s[_COUNT] += 1

    def _other(self, tick, latency, values):
        fields = self._fields
        if len(values) != len(fields.codes):
            raise ValueError("%d values for %d fields" % (len(values), len(fields.codes)))
        self.put_payload(tick, latency, fields.payload(values))

    def _reserve(self, n):
        """Make n bytes free from _HEAD on, by dropping what is in the way."""
        s = self._s
        n += 3
        if n > self.size:
            raise ValueError(
                "a reading of %d bytes is too large for a ring of %d" % (n, self.size)
            )
        while s[_HEAD] + n > s[_FREE]:
            if s[_HEAD] > s[_TAIL] > n:
                s[_LIMIT] = s[_HEAD]
                s[_HEAD] = 0
                s[_FREE] = s[_TAIL] - 1
            else:
                if s[_SEALED]:
                    s[_SEALED] -= 1
                    self.gone += 1
                else:
                    self.overwritten += 1
                self._drop()

    def _drop(self):
        b, t = self.buffer, self._s[_TAIL]
        self._forget(t + (b[t] | (b[t + 1] & 15) << 8) + 3 & -4, 1)

    def _forget(self, t, n):
        """The n oldest readings, which end at t, make room."""
        s, b = self._s, self.buffer
        s[_COUNT] -= n
        if not s[_COUNT]:
            s[_OLDEST] = s[_SHAPE]
            self._empty()
            return
        while True:
            if t == s[_LIMIT]:
                t = 0
            if t < s[_TAIL]:
                s[_LIMIT] = s[_FREE] = self.size
                s[_TAIL] = 0
            if b[t] | b[t + 1] & 15:
                break
            s[_OLDEST] = b[t + 4]
            t += 8
        s[_TAIL] = t
        if t > s[_HEAD]:
            s[_FREE] = t - 1

    def seal(self, buf, now_tick, now_uptime_us):
        """Write the oldest run of readings that fits `buf` as a parcel: Sealed, or None.

        None: the ring is empty, or `buf` takes not even one reading (MAX_READING + 24 bytes always
        do). The readings stay until release(); sealing again before that starts from the oldest
        again.
        """
        s = self._s
        self.overwritten += self.gone
        self.gone = s[_SEALED] = 0
        last = s[_LAST]
        s[_LAST] = now_tick
        s[_EPOCH] += last + (now_tick - last + _HALF & _MASK) - _HALF >> 30
        if not s[_COUNT] or len(buf) < 10:
            return None
        oldest = unpack_from("<I", self.buffer, s[_TAIL] + 4)[0]
        age = (now_tick | s[_EPOCH] << 30) - oldest & 0xFFFFFFFF
        if age >> 31:
            age = 0
        pos = run(s, self.buffer, buf, put_uint(buf, 0, max(now_uptime_us - age, 0)), self._period)
        if not s[_SEALED]:
            return None
        return Sealed(self._definitions[s[_OLDEST]], memoryview(buf)[:pos], s[_SEALED])

    def release(self):
        """The sealed parcel is durable: forget its readings."""
        s = self._s
        if s[_SEALED]:
            self._forget(s[_NEXT], s[_SEALED])
        self.gone = s[_SEALED] = 0
