"""Parcels to protobuf: the bytes that google's gives, in pieces, by both ways and without heap.

CASES and their checksums are those of google's protobuf: test_expand_protobuf.py holds it to that.
"""

import asyncio
import gc
import struct
import sys
from binascii import crc32, hexlify

from cistern.cloud import expand, plain
from cistern.cloud.expand import PIECE, Expander
from cistern.cloud.protobuf import MAX_DEPTH
from cistern.cloud.rare import sensor_data
from cistern.record import Reader, Shape, Stream
from cistern.record.loose import Timestamp, widened
from cistern.record.shape import node_of, put_leaf, shape_of
from cistern.record.stream import definition
from cistern.record.value import MAX_READING, put_int, put_uint
from cistern.store import Log
from cistern.store.ram import RamDevice
from cistern.sync.uploader import Uploader

STREAM = Stream("rdk:component:sensor", "s", "Readings")
UTC = 1795365111000000  # of the boot's start


class Parcel:
    """Readings as record writes them. payloads: [dict]; times, latencies: [µs], repeated if short.

    shape: which one, instead of the narrowest.
    """

    def __init__(self, payloads, times, latencies, period=10000, shape=None):
        if shape is None:
            shape = shape_of(node_of(payloads[0]))
            scratch = bytearray(MAX_READING + 16)
            for p in payloads:
                if shape.put(scratch, p) < 0:
                    shape = widened(shape, p)
        shape.period_us = period
        self.shape = shape
        self.definition = definition(STREAM, shape)
        self.payloads = payloads
        self.times = [times[i % len(times)] + i * period for i in range(len(payloads))]
        self.latencies = [latencies[i % len(latencies)] for i in range(len(payloads))]
        self.payload = self._written()

    def _written(self):
        buf = bytearray(32)
        scratch = bytearray(MAX_READING + 16)
        out = b""
        last = latency = 0
        for i in range(len(self.payloads)):
            t = self.times[i]
            at = put_int(buf, 0, t - last - self.shape.period_us) if i else put_uint(buf, 0, t)
            at = put_int(buf, at, self.latencies[i] - latency)
            n = self.shape.put(scratch, self.payloads[i])
            if n < 0:  # a float of 32 bits that record, on a PC, would have kept in 64
                n = put_leaf(scratch, 0, self.shape.codes[0], self.payloads[i]["v"])
            out += bytes(buf[:at]) + bytes(scratch[:n])
            last, latency = t, self.latencies[i]
        return out

    def readings(self, start=UTC):
        """[(requested, received, payload)] as SensorData has them, by record's own reader."""
        return [
            (start + a, start + b, self.shape.payload(values))
            for a, b, values in Reader(self.shape, self.payload)
        ]

    def expanded(self, start=UTC, size=PIECE):
        """What the Expander gives."""
        expander = Expander(self.definition, bytearray(size))
        return b"".join([bytes(x) for x in expander.pieces(memoryview(self.payload), start)])

    def generic(self, start=UTC):
        """What it is to give."""
        return b"".join([bytes(sensor_data(a, b, p)) for a, b, p in self.readings(start)])


def _f32(bits):
    return struct.unpack("<f", struct.pack("<I", bits))[0]


# Milliseconds whose nanoseconds take 0 to 5 bytes, a period for them all, seconds that turn.
TIMES = (0, 1, 16, 17, 2097, 2098, 268435, 268436, 999999, 1000000)
SHORT = (0, 1, 127, 128, 3000)
FLAT = {"readings": {"humidity": 41, "c": True, "b": None, "a": -1.5, "": 0}}
NUMBERS = (0, 1, -1, 63, 64, 8191, -8192, 1 << 20, (1 << 24) + 1, -(1 << 27), (1 << 27) - 1,
           1 << 27, -(1 << 27) - 1, (1 << 30) - 1, 1 << 31, (1 << 53) + 1, (1 << 54) + 2,
           -(1 << 63), (1 << 64) - 1)  # fmt: skip
HUGE = ((1 << 70) + (1 << 17), 10**40, (1 << 1024) - (1 << 970) - 1, -(10**308), 10**400)
FLOATS = (0.0, -0.0, 1.0, -1.5, 65504.0, 2.0**-126, 2.0**127, -(2.0**100), 0.1, 42.42, 1e300,
          5e-324)  # fmt: skip
F32_BITS = (0, 1 << 31, 1, 0x007FFFFF, 0x80000001, 0x00400000, 0x00800000, 0x7F7FFFFF, 0x7F800000,
            0xFF800000, 0x7FC00000, 0xFFC12345, 0x3F800000, 0xBF800001, 0x42280000)  # fmt: skip
VALUES = (None, True, "", "Grüße 🌊", b"", b"\x00\xff", [], [1, [2.5, None]], {},
          {"k": {"l": "m"}},
          Timestamp(0), Timestamp(UTC), Timestamp(UTC + 120000), Timestamp(UTC + 1),
          Timestamp(-1), Timestamp(951782400000000), Timestamp(253402300799999999))  # fmt: skip


def _nested(depth):
    return {"d": _nested(depth - 1) if depth else 1}


VECTOR = Shape([(("angular_velocity", k), "f32") for k in "xyz"])
CASES = (
    ("analogs", [{"value": i * 331} for i in range(198)], TIMES, SHORT, 5050,
     Shape(((("value",), "u16"),))),
    ("gpios", [{"high": i % 3 == 0} for i in range(60)], TIMES, SHORT, 0, None),
    ("vector", [{"angular_velocity": {"x": i / 8, "y": -i * 1.0, "z": 0.0}} for i in range(60)],
     TIMES, SHORT, 1000000, VECTOR),
    ("float32", [{"v": _f32(b)} for b in F32_BITS], TIMES, SHORT, 10000,
     Shape(((("v",), "f32"),))),
    ("int", [{"n": n} for n in NUMBERS], TIMES, SHORT, 10000, None),
    ("huge", [{"n": n} for n in HUGE], TIMES, SHORT, 10000, None),
    ("floats", [{"v": x, "n": {"m": x}} for x in FLOATS], TIMES, SHORT, 10000, None),
    ("flat", [FLAT for _ in range(30)], TIMES, SHORT, 10000, None),
    ("lists", [{"a": [i, [1.5, {"z": 1, "y": i}], True], "Z": 2} for i in range(30)],
     TIMES, SHORT, 10000, None),
    ("nothing", [{}, {}, {}], TIMES, SHORT, 10000, None),
    ("values", [{"v": v, "a": 1} for v in VALUES], TIMES, SHORT, 10000, None),
    ("come and go",
     [{"r": dict.fromkeys("cab"[:i % 4], i), "x%d" % (i % 3): "y"} for i in range(40)],
     TIMES, SHORT, 10000, None),
    ("strings", [{"text": "é" * (i * 9), "n": i} for i in range(50)], TIMES, SHORT, 10000, None),
    ("keys", [{"b": 1, "a": 2, "ab": 3, "B": 4, "é": 5, "z" * 130: 6, "aa": 7}],
     TIMES, SHORT, 10000, None),
    ("twenty", [{"readings": {"field_%d" % (i * 7 % 20): i + 0.5 for i in range(20)}}] * 9,
     TIMES, SHORT, 10000, None),
    ("large", [{"spectrum": [i / 4 for i in range(200)]}] * 3, TIMES, SHORT, 10000, None),
    ("slow", [{"v": 1}] * 20, (0, 300000000, 5, 134217728, 1), (0, 1 << 27, 1 << 28, 1 << 30, 3),
     200000000, None),
    ("deep", [_nested(MAX_DEPTH - 1)], TIMES, SHORT, 10000, None),
)  # fmt: skip
# Length and CRC-32 of each.
SUMS = {
    "analogs": (10570, 0x8A1EF95D),
    "gpios": (2508, 0xDC594FA6),
    "vector": (6108, 0x6156AC4),
    "float32": (714, 0xC35E882C),
    "int": (910, 0x485F441A),
    "huge": (230, 0x9BAC8524),
    "floats": (870, 0x39AA6CF1),
    "flat": (3606, 0x9C8FFE12),
    "lists": (3696, 0x5C4576AB),
    "nothing": (86, 0x4EFE46B5),
    "values": (1195, 0x912E9188),
    "come and go": (3066, 0xA56CA5FF),
    "strings": (25314, 0x87810FE1),
    "keys": (270, 0xE6A7C82A),
    "twenty": (4521, 0xF8B20423),
    "large": (6749, 0x77E47912),
    "slow": (884, 0xFB10438D),
    "deep": (374, 0x5BD9F9AB),
}


def parcels():
    """(name, Parcel) of all cases."""
    for name, payloads, times, latencies, period, shape in CASES:
        yield name, Parcel(payloads, times, latencies, period, shape)


def test_every_shape_becomes_the_bytes_of_protobuf():
    for name, parcel in parcels():
        out = parcel.expanded()
        assert (len(out), crc32(out)) == SUMS[name], name
        assert out == parcel.generic(), name


def test_golden_readings_of_every_collectable_method():
    # viam.md 3.11, but for the nanoseconds that microseconds do not have.
    times = "0a1a0a0b0880e2cfaa06108094ef3a120b0880e2cfaa061080d6c66a"
    for payload, struct_ in (
        ({"readings": {"fake_sensor": 42.42}},
         "122a0a280a0872656164696e6773121c2a1a0a180a0b66616b655f73656e736f72120911f6285c8fc2354540"),
        ({"angular_velocity": {"x": 1.0, "y": 2.0, "z": 3.0}},
         "12480a460a10616e67756c61725f76656c6f6369747912322a300a0e0a0178120911000000000000f03f"
         "0a0e0a017912091100000000000000400a0e0a017a1209110000000000000840"),
        ({"coordinate": {"latitude": 27.33, "longitude": 29.45}, "altitude_m": 4572.2},
         "125a0a170a0a616c7469747564655f6d1209113333333333dcb1400a3f0a0a636f6f7264696e61746512312a"
         "2f0a150a086c6174697475646512091114ae47e17a543b400a160a096c6f6e67697475646512091133333333"
         "33733d40"),
        ({"value": 42}, "12140a120a0576616c75651209110000000000004540"),
        ({"high": True}, "120c0a0a0a046869676812022001"),
        ({"ticks": 3}, "12140a120a057469636b731209110000000000000840"),
        ({"position_deg": 90}, "121b0a190a0c706f736974696f6e5f6465671209110000000000805640"),
        ({"position": 10}, "12170a150a08706f736974696f6e1209110000000000002440"),
    ):  # fmt: skip
        out = Parcel([payload], (123456,), (100000,)).expanded(1700000000000000)
        body = times + struct_
        assert str(hexlify(out), "ascii") == "12%02x" % (len(body) // 2) + body, payload


def test_golden_second_reading_of_an_upload():
    out = Parcel([{"readings": {"fake_sensor": 1.5}}], (1000000,), (1,)).expanded(1700000000000000)
    assert str(hexlify(out), "ascii") == (
        "12410a130a060881e2cfaa0612090881e2cfaa0610e807122a0a280a0872656164696e6773121c2a1a0a18"
        "0a0b66616b655f73656e736f72120911000000000000f83f"
    )


def test_every_length_around_that_of_two_bytes():
    for n in range(50, 105):
        parcel = Parcel([{"k" * n: i} for i in range(20)], TIMES, SHORT)
        assert parcel.expanded() == parcel.generic(), n


def test_more_holes_than_a_form_can_have():
    for n in (300, 320, 400):
        parcel = Parcel([{"a": [i] * n} for i in range(3)], TIMES, SHORT)
        assert parcel.expanded() == parcel.generic(), n


def test_a_signalling_nan_becomes_what_a_conversion_makes_of_it():
    parcel = Parcel([{"v": 1.5}] * 3, TIMES, SHORT, shape=Shape(((("v",), "f32"),)))
    for bits in (0x7FA00001, 0xFF800001):
        was = parcel.payload
        parcel.payload = was.replace(struct.pack("<f", 1.5), struct.pack("<I", bits))
        assert parcel.payload != was
        assert parcel.expanded() == parcel.generic()
        parcel.payload = was


def test_latencies_of_hours_and_back():
    parcel = Parcel([{"v": i} for i in range(12)], TIMES, (3, (1 << 33) + 7, 1 << 33, 1 << 28, 0))
    assert parcel.expanded() == parcel.generic()


def test_years_that_few_machines_see():
    for start in (0, -1, 5 * 10**12, 2**24 * 10**6 - 1, 2**31 * 10**6 - 5, 2**32 * 10**6 - 10**12,
                  2**32 * 10**6 + 7, 250000000000 * 10**6):  # fmt: skip
        parcel = Parcel([{"value": i} for i in range(40)], TIMES, SHORT)
        assert parcel.expanded(start) == parcel.generic(start), start


def test_the_fast_way_and_the_plain_one_are_the_same():
    fast = expand.expand
    for start in (UTC, 2**31 * 10**6 - 500000):
        for name, parcel in parcels():
            found = []
            for way in (fast, plain.expand):
                expand.expand = way
                try:
                    expander = Expander(parcel.definition, bytearray(PIECE))
                    found.append([bytes(x) for x in expander.pieces(parcel.payload, start)])
                finally:
                    expand.expand = fast
            # Piece by piece: they also stop at the same readings.
            assert found[0] == found[1], name


def test_pieces_fill_their_buffer_and_larger_readings_get_their_own():
    for name, parcel in parcels():
        longest = max([len(sensor_data(a, b, p)) for a, b, p in parcel.readings()])
        sizes = []
        for size in (300, PIECE):
            expander = Expander(parcel.definition, bytearray(size))
            pieces = [len(x) for x in expander.pieces(parcel.payload, UTC)]
            assert max(pieces) <= max(size, longest), name
            sizes.append(len(pieces))
        if name in ("analogs", "gpios", "vector"):
            assert sizes[1] <= len(parcel.expanded()) // (PIECE - longest - 10) + 1, name
            assert sizes[1] < sizes[0]


def test_a_buffer_is_used_again_for_the_next_parcel():
    buf = bytearray(PIECE)
    first = Parcel([{"a": "x" * 300}], (0,), (5,))
    expander = Expander(first.definition, buf)
    for _ in range(2):
        out = b"".join([bytes(x) for x in expander.pieces(first.payload, UTC)])
        assert out == first.generic()
    second = Parcel([{"a": 1.5, "b": -2}] * 50, TIMES, SHORT)
    expander = Expander(second.definition, buf)
    for _ in range(2):
        out = b"".join([bytes(x) for x in expander.pieces(second.payload, UTC)])
        assert out == second.generic()


def test_a_parcel_cut_off_ends_with_an_error_and_nothing_false():
    for name, parcel in parcels():
        if name in ("strings", "large", "deep"):
            continue
        whole = parcel.expanded()
        ends = [0]
        for a, b, p in parcel.readings():
            ends.append(ends[-1] + len(sensor_data(a, b, p)))
        expander = Expander(parcel.definition, bytearray(PIECE))
        for n in range(1, min(len(parcel.payload), 300)):
            out = b""
            try:
                for piece in expander.pieces(parcel.payload[:n], UTC):
                    out += bytes(piece)
            except (IndexError, ValueError):
                pass
            assert len(out) in ends and whole.startswith(out), (name, n)


def test_expanding_takes_little_heap():
    # 2 KB beside the buffer, with what is made for a piece; this machine's objects may be larger.
    limit = 2048 * (2 if sys.maxsize >> 32 else 1)
    buf = bytearray(PIECE)
    for name, parcel in parcels():
        if name in ("large", "huge"):  # readings larger than a piece, ints far above 64 bits
            continue
        for _ in Expander(parcel.definition, buf).pieces(parcel.payload, UTC):
            pass  # imports what such readings need
        gc.collect()
        gc.disable()
        before = gc.mem_alloc()
        pieces = Expander(parcel.definition, buf).pieces(parcel.payload, UTC)
        while True:
            gc.collect()
            if next(pieces, None) is None:
                break
            used = gc.mem_alloc() - before
            assert used <= limit, (name, used)
        gc.enable()


def test_nothing_is_allocated_for_a_reading_of_the_fast_way():
    limit = 640 * (2 if sys.maxsize >> 32 else 1)  # an iteration, and a memoryview a piece
    for name, parcel in parcels():
        if name not in ("analogs", "gpios", "vector", "flat", "lists", "twenty"):
            continue
        expander = Expander(parcel.definition, bytearray(PIECE))
        gc.collect()
        gc.disable()
        before = gc.mem_alloc()
        for _ in expander.pieces(parcel.payload, UTC):
            pass
        used = gc.mem_alloc() - before
        gc.enable()
        assert used <= limit, (name, used)


class FakePort:
    """A port whose sleeps take no time."""

    def __init__(self):
        self.lines = []

    async def sleep_ms(self, ms):
        await asyncio.sleep(0)

    def uptime_us(self):
        return 0

    def urandom(self, n):
        return bytes([128] * n)

    def log(self, level, text):
        self.lines.append(text)


class FakeCloud:
    """Takes uploads. turns: how often something else ran before the first one came."""

    part_id = token = "p"

    def __init__(self):
        self.taken = []
        self.turns = self.ran = 0
        self.on_call = lambda: None

    async def call(self, path, message, size):
        self.turns = self.turns or self.ran
        self.on_call()
        whole = b"".join([bytes(x) for x in message()])
        assert len(whole) == size
        self.taken.append(whole)

    async def else_runs(self):
        while True:
            self.ran += 1
            await asyncio.sleep(0)


def _synced(parcels_, cloud, clock_changes=False):
    """An uploader that has synced a log of these parcels."""
    log = Log.mount(RamDevice(16), lambda n: bytes(range(n)))
    for parcel in parcels_:
        log.append(parcel.definition, parcel.payload, len(parcel.payloads))
    log.append_anchor(0, UTC, 1000)
    port = FakePort()
    uploader = Uploader(port, log, cloud, 4096, lambda d, n: None)
    uploader.lines = port.lines
    if clock_changes:
        cloud.on_call = lambda: log.anchors().update({log.boot: (0, UTC - 7, 0)})

    async def run():
        other = asyncio.create_task(cloud.else_runs())
        await uploader.sync()
        other.cancel()

    asyncio.run(run())
    return uploader


def test_counting_the_bytes_of_a_parcel_lets_others_run():
    cloud = FakeCloud()
    _synced([Parcel([{"s": "text"}] * 60, TIMES, SHORT)], cloud)
    assert cloud.turns > 60 // 16, "a turn for every 16 readings at least"
    cloud = FakeCloud()
    _synced([p for name, p in parcels() if name == "analogs"], cloud)
    assert cloud.turns > 10, "a turn for every KB of those that take little time"


def test_a_clock_set_during_an_upload_does_not_change_its_size():
    cloud = FakeCloud()
    parcel = Parcel([{"v": 1}], (0,), (0,))
    uploader = _synced([parcel], cloud, True)
    # 7 µs earlier there would have been nanoseconds.
    assert cloud.taken[0].endswith(parcel.expanded()) and uploader.link == "up"


def test_a_parcel_that_cannot_be_expanded_does_not_hold_up_the_others():
    bad = Parcel([_nested(MAX_DEPTH)], TIMES, SHORT)
    good = Parcel([{"v": 1}], TIMES, SHORT)
    cloud = FakeCloud()
    uploader = _synced([good, bad, good], cloud)
    assert len(cloud.taken) == 1 and cloud.taken[0].endswith(good.expanded() * 2)
    assert "deeper" in uploader.lines[0] and "not sent again" in uploader.lines[0]
    assert uploader.set_aside == 1 and uploader.link == "up"


MICROPYTHON_ONLY = {
    "test_expanding_takes_little_heap": "CPython's heap says nothing about the chip's",
    "test_nothing_is_allocated_for_a_reading_of_the_fast_way": "CPython has no fast way",
    "test_the_fast_way_and_the_plain_one_are_the_same": "CPython has the plain one only",
}
