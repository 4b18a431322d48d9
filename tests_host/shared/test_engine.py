"""The engine: deadlines first, readings durable in time, and a log that refuses."""

import asyncio

from cistern.capture.collector import Collector
from cistern.capture.engine import Engine
from cistern.errors import StoreError
from cistern.record import Reader, Ring, Shape, Stream, read_definition
from cistern.store import Log
from cistern.store.ram import RamDevice

FIELDS = ((("value",), "u16"),)


class VirtualPort:
    """A clock that goes on only when somebody sleeps or works."""

    def __init__(self, until_us):
        self.now = 0
        self.until = until_us
        self.engine = None
        self.lines = []

    def ticks_us(self):
        self.now += 1
        return self.now & 0x3FFFFFFF

    def uptime_us(self):
        return self.now

    def ticks_diff(self, a, b):
        return ((a - b + (1 << 29)) & 0x3FFFFFFF) - (1 << 29)

    def log(self, level, text):
        self.lines.append(text)

    async def sleep_ms(self, ms):
        self.now += ms * 1000 if ms else 50
        if self.now >= self.until:
            self.engine.stop()
        await asyncio.sleep(0)


class Counter:
    """A source that counts its reads; each takes `takes` µs."""

    fields = FIELDS

    def __init__(self, port, takes=20):
        self.port = port
        self.takes = takes
        self.n = 0

    def read_into(self, values):
        self.port.now += self.takes
        values[0] = self.n & 0xFFFF
        self.n += 1


def _bench(rates, seconds, takes=20, log=None, ring=4000):
    port = VirtualPort(seconds * 1000000)
    log = log or Log.mount(RamDevice(64), lambda n: bytes(range(n)))
    engine = Engine(port, log, 1000000)
    port.engine = engine
    for i, hz in enumerate(rates):
        stream = Stream("rdk:component:board", "b%d" % i, "Analogs", {"reader_name": "a"})
        period = 1000000 // hz
        made = Ring(stream, ring, period, Shape(FIELDS))
        collector = Collector("b%d" % i, Counter(port, takes), made, (period, 0, 1), port)
        engine.collectors.append(collector)
    return port, log, engine


def _readings(log, name):
    """[(requested, value)] of a component, as they are in the log."""
    found = []
    buf = bytearray(2048)
    cursor = log.unsent()
    ref = cursor.next()
    while ref:
        stream, shape = read_definition(ref.definition)
        if stream.component_name == name:
            for requested, _, values in Reader(shape, log.read(ref, buf)):
                found.append((requested, shape.payload(values)["value"]))
        ref = cursor.next()
    return found


def test_each_collector_keeps_its_own_rate():
    _, log, engine = _bench([100, 20, 3], 10)
    asyncio.run(engine.run())
    engine.flush()
    for c, expected in zip(engine.collectors, (999, 199, 29)):  # noqa: B905 - not on MicroPython
        assert abs(c.captured - expected) <= 1, c.name
        assert (c.late, c.missed, c.dropped) == (0, 0, 0)
        assert c.durable == c.captured == len(_readings(log, c.name))


def test_readings_arrive_in_order_with_times_near_their_deadlines():
    _, log, engine = _bench([50], 5)
    asyncio.run(engine.run())
    engine.flush()
    found = _readings(log, "b0")
    assert [v for _, v in found] == list(range(len(found)))
    for k, (requested, _) in enumerate(found):
        assert 0 <= requested - (k + 1) * 20000 < 1500, k


def test_nothing_stays_in_ram_much_longer_than_the_flush_age():
    port, _, engine = _bench([10, 1], 20)
    oldest = [0]
    sleep = port.sleep_ms

    async def watching(ms):
        for c in engine.collectors:
            if c.ring.oldest_tick is not None:
                oldest[0] = max(oldest[0], port.now - c.ring.oldest_tick)
        await sleep(ms)

    port.sleep_ms = watching
    asyncio.run(engine.run())
    assert 900000 < oldest[0] < 1350000


def test_a_slow_source_costs_itself_deadlines_and_others_at_most_its_own_call():
    _, _, engine = _bench([100, 1], 10, takes=3000)
    engine.collectors[1].source.takes = 30000
    asyncio.run(engine.run())
    fast, slow = engine.collectors
    assert slow.missed == 0
    assert 0 < fast.missed <= 3 * slow.captured
    assert fast.captured + fast.missed >= 997


def test_an_overloaded_board_loses_readings_but_counts_each():
    _, log, engine = _bench([1000, 1000], 2, takes=900)
    asyncio.run(engine.run())
    engine.flush()
    for c in engine.collectors:
        assert abs(c.captured + c.missed - 2000) <= 4
        assert c.durable + c.dropped == c.captured
        assert c.durable == len(_readings(log, c.name)) > 0


def test_a_log_that_refuses_costs_the_oldest_readings_and_they_are_counted():
    class Refusing:
        broken = True
        boot = 1

        def room(self, definition):
            return 4000

        def append(self, definition, payload, readings):
            raise StoreError("the flash is worn out")

        append_drop = append

    port, _, engine = _bench([100], 10, log=Refusing(), ring=1000)
    asyncio.run(engine.run())
    (c,) = engine.collectors
    port.now += 2000000  # until it is tried again
    assert not engine.flush()
    assert c.dropped > 500 and c.dropped + c.ring.readings == c.captured
    assert port.lines == ["flash log: the flash is worn out"]


def test_losses_reach_the_log_even_where_no_reading_does():
    _, log, engine = _bench([10], 5)
    (c,) = engine.collectors

    def broken(values):
        raise OSError(5, "EIO")

    c.source.read_into = broken
    asyncio.run(engine.run())
    engine.flush()
    lost = log.stats().lost
    assert sum(lost.values()) == c.missed > 40
    assert {reason for _, reason in lost} == {"source_error"}
