"""Whatever is put into rings comes out of their parcels: bit for bit, to the microsecond."""

import math
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cistern.record import Reader, Ring, Shape, Stream, read_definition
from cistern.record.loose import Timestamp
from cistern.record.reading import MAX_DEFINITION
from cistern.record.stream import definition
from cistern.record.value import Source, is_short, put_int, put_uint

MASK = 2**30 - 1
leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(width=64)
    | st.floats(width=32)
    | st.text(max_size=30)
    | st.binary(max_size=30)
    | st.integers(-(2**60), 2**60).map(Timestamp)
)
keys = st.sampled_from(["a", "b", "temperature", "é", ""])
values = st.recursive(
    leaves, lambda v: st.lists(v, max_size=4) | st.dictionaries(keys, v, max_size=4), max_leaves=12
)
payloads = st.dictionaries(keys, values, max_size=4)


def same(a, b):
    """Equal in type and every bit."""
    if isinstance(a, float):
        return isinstance(b, float) and struct.pack("<d", a) == struct.pack("<d", b)
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and a == b


def emptied(ring, now, size=1100):
    out, buf = [], bytearray(size)
    while ring.readings:
        sealed = ring.seal(buf, now & MASK, now) or ring.seal(bytearray(1100), now & MASK, now)
        _, shape = read_definition(sealed.definition)
        readings = list(Reader(shape, bytes(sealed.payload)))
        assert len(readings) == sealed.readings
        out += [(a, b, shape.payload(v)) for a, b, v in readings]
        ring.release()
    return out


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 2**29 - 1), st.integers(0, 2**29 - 1), payloads), max_size=12
    ),
    st.integers(0, 2**50),
    st.sampled_from([0, 1, 1000, 10**6, 2**40]),
)
def test_any_payloads_at_any_times(readings, uptime, period):
    ring = Ring(Stream("rdk:component:sensor", "s", "Readings"), 60000, period)
    expected, start = [], uptime
    for gap, latency, payload in readings:
        if uptime + gap - start > 2**32 - 2**29:
            break  # older than the ring can tell
        uptime += gap
        ring.put_payload(uptime & MASK, latency, payload)
        expected.append((uptime, uptime + latency, payload))
    out = emptied(ring, uptime + 7)
    assert len(out) == len(expected)
    for (a, b, payload), (c, d, wanted) in zip(out, expected, strict=True):
        assert (a, b) == (c, d) and same(payload, wanted)


@settings(max_examples=100, deadline=None)
@given(st.integers(100, 900), st.integers(40, 400), st.lists(payloads, max_size=60))
def test_a_small_ring_keeps_the_newest(size, parcel, many):
    ring = Ring(Stream("rdk:component:sensor", "s", "Readings"), size, 1000)
    kept = []
    for i, payload in enumerate(many):
        try:
            ring.put_payload(i * 1000, 1, payload)
        except ValueError:
            continue
        kept.append((i * 1000, payload))
    left = ring.readings
    assert ring.overwritten + left == len(kept)
    out = emptied(ring, 10**6, parcel)
    for (at, _, payload), (when, wanted) in zip(out, kept[len(kept) - left :], strict=True):
        assert at == when and same(payload, wanted)


@given(st.integers(0), st.integers())
def test_ints_of_any_size(n, i):
    buf = bytearray(500)
    pos = put_int(buf, put_uint(buf, 0, n), i)
    source = Source(buf)
    assert (source.uint(), source.int(), source.pos) == (n, i, pos)


@given(st.floats(width=64) | st.floats(width=32))
def test_a_float_is_short_only_if_4_bytes_hold_it(x):
    if is_short(x):
        assert struct.pack("<d", struct.unpack("<f", struct.pack("<f", x))[0]) == struct.pack(
            "<d", x
        )
    elif not math.isnan(x) and x:
        try:
            short = struct.unpack("<f", struct.pack("<f", x))[0]
        except OverflowError:
            return
        assert short != x or abs(x) < 2**-126


@given(
    st.text(),
    st.text(),
    st.text(),
    st.dictionaries(st.text(), st.booleans() | st.text()),
    st.lists(st.text()),
)
def test_any_stream_has_a_definition(kind, name, method, params, tags):
    stream, shape = Stream(kind, name, method, params, tags), Shape(((("v",), "u16"),))
    shape.period_us = 1000
    if len(definition(stream, shape)) > MAX_DEFINITION:
        with pytest.raises(ValueError, match=f"at most {MAX_DEFINITION} are possible"):
            Ring(stream, 100, 1000, shape)
        return
    ring = Ring(stream, 100, 1000, shape)
    stream, shape = read_definition(ring.definition)
    assert stream == Stream(kind, name, method, params, tags)
    assert shape.period_us == 1000 and shape.payload([5]) == {"v": 5}
