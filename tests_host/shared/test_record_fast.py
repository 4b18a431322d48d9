"""The machine code of the capture path does what the plain code does, and allocates nothing."""

import random

from cistern.record import Reader, Ring, Shape, Stream, plain, read_definition, ring

MICROPYTHON_ONLY = {
    "test_machine_code_and_plain_code_make_the_same_parcels": "CPython has no viper",
    "test_put_allocates_nothing": "CPython has no heap to lock",
    "test_put_payload_of_numbers_allocates_little": "CPython has no heap to lock",
}
STREAM = Stream("rdk:component:board", "b", "Analogs", {"reader_name": "A1"})
MASK = 2**30 - 1
FIELDS = {
    "u16": ((("value",), "u16"),),
    "bool": ((("high",), "bool"),),
    "mixed": ((("a", "x"), "u16"), (("a", "y"), "bool"), (("b",), "int"), (("c",), "f32")),
    "int": ((("ticks",), "int"),),
    "integers": ((("a",), "int"), (("b",), "bool"), (("c",), "u16"), (("d",), "int")),
    "vector": tuple((("v", k), "f32") for k in "xyz"),
}


class PlainRing(Ring):
    put = plain.put


def value(name):
    if name == "u16":
        return random.choice((0, 1, 255, 256, 65535, random.getrandbits(16), 65536, -1))
    if name == "bool":
        return random.choice((True, False, 0, 1))
    if name == "int":
        edges = (0, 63, 64, 8191, 8192, 2**29, 2**30, 2**31, 2**32, 2**40, 2**63, 2**64)
        return random.choice((1, -1)) * random.choice(edges) + random.choice((0, 0, -1, 1))
    return random.choice((0.0, -0.0, 1.5, -2.25, 0.1, 1e30, 1e-40, float("inf"), float("nan"), 3))


def sealed(ring_, run, tick, uptime, size):
    out = []
    real, ring.run = ring.run, run
    try:
        while True:
            buf = bytearray(size)
            s = ring_.seal(buf, tick, uptime)
            if s is None:
                return out
            out.append((s.definition, bytes(s.payload), s.readings))
            if random.getrandbits(3):
                ring_.release()
            else:
                return out
    finally:
        ring.run = real


def test_machine_code_and_plain_code_make_the_same_parcels():
    assert ring.put is not plain.put
    for seed in range(300):
        random.seed(seed)
        name = random.choice(sorted(FIELDS))
        fields = FIELDS[name]
        size = random.choice((200, 201, 500, 2000))
        period = random.choice((0, 1000, 10000, 10**6))
        both = [kind(STREAM, size, period, Shape(fields)) for kind in (Ring, PlainRing)]
        uptime = random.getrandbits(30) << 10
        for step in range(60):
            uptime += random.choice(
                (period, period, period, 10, 2**20, 2**29 - 1, random.getrandbits(14))
            )
            latency = random.choice((0, 5, 127, 128, 70000, 2**20 - 1, 2**20, 2**28, -3))
            values = [value(n) for _, n in fields]
            for r in both:
                r.put(uptime & MASK, latency, values)
            if random.getrandbits(4) == 0:
                state = random.getstate() if hasattr(random, "getstate") else step
                results = []
                for r, run in ((both[0], ring.run), (both[1], plain.run)):
                    random.seed(seed * 1000 + step)
                    results.append(sealed(r, run, uptime + 50 & MASK, uptime + 50, 150))
                assert results[0] == results[1], (seed, step, state)
            a, b = both
            assert (a.readings, a.used, a.overwritten, a.oldest_tick) == (
                b.readings,
                b.used,
                b.overwritten,
                b.oldest_tick,
            )


def locked(action):
    import micropython

    micropython.heap_lock()
    try:
        action()
    finally:
        micropython.heap_unlock()


def test_put_allocates_nothing():
    for name in ("u16", "bool", "int"):
        r = Ring(STREAM, 400, 10000, Shape(FIELDS[name]))
        values = [1 if name == "bool" else 40000]
        put = r.put

        def many(put=put, values=values):
            tick = 2**30 - 500000
            for _ in range(100):  # past the end of the ring, and of the ticks
                tick = tick + 10000 & MASK
                put(tick, 30, values)

        many()
        locked(many)
        assert r.overwritten > 50


def test_put_payload_of_numbers_allocates_little():
    # Floats of a PC are not those of the chip: there they go this way, which copies through two
    # slices.
    r = Ring(STREAM, 400, 10000, Shape(FIELDS["vector"]))
    r.put(0, 5, [1.0, 2.0, 3.0])
    assert r.readings == 1


def test_values_that_do_not_fit_the_fields_are_kept_all_the_same():
    r = Ring(STREAM, 2000, 1000, Shape(FIELDS["mixed"]))
    rows = [
        [1, True, 5, 1.5],
        [70000, False, 2**40, 0.1],
        [3, True, -5, 2.0],
        [-1, False, 0, float("inf")],
    ]
    for i, row in enumerate(rows):
        r.put(i * 1000, 7, row)
    out = []
    buf = bytearray(1100)
    while r.readings:
        s = r.seal(buf, 5000, 5000)
        _, shape = read_definition(s.definition)
        out += [shape.payload(v) for _, _, v in Reader(shape, s.payload)]
        r.release()
    assert out == [{"a": {"x": w, "y": x}, "b": y, "c": z} for w, x, y, z in rows]
