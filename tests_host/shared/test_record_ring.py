"""A collector's ring: what goes in as readings comes out of its parcels unchanged."""

from cistern.record import Reader, Ring, Shape, Stream, read_definition

STREAM = Stream("rdk:component:sensor", "tmp36", "Readings", {}, ("a",))
MASK = 2**30 - 1


def emptied(ring, now_tick, now_uptime, size=1100):
    """All readings of the ring, as (requested, received, payload), parcel by parcel."""
    out = []
    buf = bytearray(size)
    while True:
        sealed = ring.seal(buf, now_tick & MASK, now_uptime)
        if sealed is None:
            break
        stream, shape = read_definition(sealed.definition)
        assert stream == STREAM
        readings = [(a, b, shape.payload(v)) for a, b, v in Reader(shape, sealed.payload)]
        assert len(readings) == sealed.readings
        ring.release()
        out.append(readings)
    assert ring.readings == 0 and ring.used == 0 and ring.oldest_tick is None
    return out


def test_a_fixed_shape_comes_back_with_exact_times():
    ring = Ring(STREAM, 1000, 10000, Shape(((("value",), "u16"),)))
    values = [0]
    for i in range(50):
        values[0] = i * 1300
        ring.put(MASK - 200000 + i * 10007 & MASK, 30 + i % 7, values)
    now = MASK - 200000 + 50 * 10007
    (parcel,) = emptied(ring, now, 10**13)
    for i, (requested, received, payload) in enumerate(parcel):
        assert requested == 10**13 - (50 - i) * 10007
        assert received - requested == 30 + i % 7
        assert payload == {"value": i * 1300}


def test_the_oldest_make_room_and_are_counted():
    ring = Ring(STREAM, 300, 1000)
    for i in range(100):
        ring.put_payload(i * 1000, 5, {"n": i, "s": "x" * (i % 20)})
    held = ring.readings
    assert held + ring.overwritten == 100 and held > 5
    ring.overwritten = 0
    out = emptied(ring, 100000, 100000)[0]
    assert [p["n"] for _, _, p in out] == list(range(100 - held, 100))
    assert [a for a, _, _ in out] == [i * 1000 for i in range(100 - held, 100)]


def test_put_goes_on_while_a_parcel_is_sealed():
    ring = Ring(STREAM, 200, 1000)
    for i in range(10):
        ring.put_payload(i * 1000, 5, {"n": i})
    buf = bytearray(1100)
    sealed = ring.seal(buf, 10000, 10000)
    for i in range(10, 40):
        ring.put_payload(i * 1000, 5, {"n": i})
    held = ring.readings
    # Those of the parcel are not lost, though the ring has forgotten them.
    assert ring.overwritten == 40 - held - sealed.readings
    ring.release()
    assert [p["n"] for _, _, p in emptied(ring, 40000, 40000)[0]] == list(range(40 - held, 40))


def test_what_a_failed_append_could_not_keep_is_counted():
    ring = Ring(STREAM, 200, 1000)
    for i in range(10):
        ring.put_payload(i * 1000, 5, {"n": i})
    buf = bytearray(1100)
    ring.seal(buf, 10000, 10000)
    for i in range(10, 40):
        ring.put_payload(i * 1000, 5, {"n": i})
    ring.seal(buf, 40000, 40000)  # again, without release
    assert ring.overwritten == 40 - ring.readings


def test_readings_far_apart_do_not_share_a_parcel_and_keep_their_times():
    ring = Ring(STREAM, 500, 0)
    uptime = 5 * 10**9
    times = [uptime, uptime + 10**8, uptime + 5 * 10**8, uptime + 9 * 10**8, uptime + 15 * 10**8]
    buf = bytearray(1)
    for t in times:
        # A log that takes nothing: sealing is tried every few minutes, to no avail.
        for t_ in (t - 4 * 10**8, t - 10**8):
            assert ring.seal(buf, t_ & MASK, t_) is None
        ring.put_payload(t & MASK, 5, {"n": 1})
    now = times[0] + 19 * 10**8
    out = emptied(ring, now, now)
    assert [len(p) for p in out] == [2, 1, 1, 1]
    assert [a for p in out for a, _, _ in p] == times


def test_a_reading_requested_before_the_last_seal_keeps_its_time():
    ring = Ring(STREAM, 500, 0)
    ring.put_payload(MASK - 100, 5, {"n": 1})
    buf = bytearray(100)
    ring.seal(buf, 50, 2**30 + 50)
    ring.put_payload(MASK - 10, 70, {"n": 2})
    ((a, b),) = emptied(ring, 100, 2**30 + 100)
    assert a[0] == 2**30 - 1 - 100 and b[0] == 2**30 - 1 - 10


def test_flapping_shapes_settle_on_one_definition():
    ring = Ring(STREAM, 8000, 1000)
    payloads = []
    for i in range(60):
        p = {"readings": {"a": 1.5, "b": i}}
        if i % 2:
            p["readings"]["c"] = "sometimes"
        if i % 3 == 0:
            p["readings"]["b"] = None
        if i % 5 == 0:
            p["readings"]["d"] = {"x": 1, "y": [1, 2, 3][: i % 4]}
        if i % 7 == 0:
            p["readings"]["d"] = True
        payloads.append(p)
    for i, p in enumerate(payloads):
        ring.put_payload(i * 1000, 5, p)
    out = emptied(ring, 100000, 100000)
    assert [p for parcel in out for _, _, p in parcel] == payloads
    assert len(out) < 12
    for i, p in enumerate(payloads):
        ring.put_payload(i * 1000, 5, p)
    assert len(emptied(ring, 100000, 100000, 4000)) == 1


def test_what_cannot_be_stored_is_refused_and_leaves_the_ring_whole():
    ring = Ring(STREAM, 500, 1000)
    ring.put_payload(0, 5, {"a": 1})
    for bad in ({"a": object()}, {"a": "x" * 2000}, {"a": {1: 2}}, {"a": "y" * 700}):
        try:
            ring.put_payload(0, 5, bad)
            refused = False
        except (TypeError, ValueError):
            refused = True
        assert refused, bad
    assert [p for q in emptied(ring, 9, 9) for _, _, p in q] == [{"a": 1}]


def test_a_number_that_would_not_end_is_refused_and_the_ring_is_as_it_was():
    for loose in (False, True):
        r = Ring(Stream("sensor", "s", "Readings"), 4000, 0)
        first = {"n": 1, "text": "a"}
        r.put_payload(0, 0, first)
        if loose:
            r.put_payload(1, 0, {"n": None, "text": "a"})
        held = r.readings, r.used
        for size in (1023, 1010, 1000):
            try:
                r.put_payload(2, 0, {"n": 1 << 400, "text": "a" * size})
                raise AssertionError("kept")
            except ValueError as e:
                assert "1024 bytes" in str(e)
        assert (r.readings, r.used) == held
        r.put_payload(3, 0, first)
        assert r.readings == held[0] + 1
