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
        engine.add(collector)
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


class Timer:
    """A hardware timer of a VirtualPort: fires whenever the clock has passed its time."""

    def __init__(self, port, period_us, callback):
        self.port = port
        self.period = period_us
        self.callback = callback
        self.next = port.now + period_us
        self.on = True
        self.restarts = 0

    def restart(self):
        self.restarts += 1
        self.next = self.port.now + 30 + self.period

    def stop(self):
        self.on = False


class TimedPort(VirtualPort):
    """Timers fire between any two looks at the clock, as callbacks do between bytecodes."""

    def __init__(self, until_us):
        VirtualPort.__init__(self, until_us)
        self.timers = []
        self.firing = False

    def timer(self, period_us, callback):
        self.timers.append(Timer(self, period_us, callback))
        return self.timers[-1]

    def ticks_us(self):
        self.fire()
        return VirtualPort.ticks_us(self)

    def fire(self):
        if self.firing:
            return
        self.firing = True
        for t in self.timers:
            queued = 0
            while t.on and t.next <= self.now:
                t.next += t.period
                queued += 1
                if queued <= 8:  # MICROPY_SCHEDULER_DEPTH
                    t.callback(t)
        self.firing = False

    async def sleep_ms(self, ms):
        end = self.now + (ms * 1000 if ms else 50)
        while self.now < end:
            self.now = min([end] + [t.next for t in self.timers if t.on and t.next > self.now])
            self.fire()
        await VirtualPort.sleep_ms(self, 0)


def _timed(hz, seconds, stall_us=0):
    from cistern.capture.sampler import Sampler
    from cistern.config.planner import period

    port = TimedPort(seconds * 1000000)
    log = Log.mount(RamDevice(64), lambda n: bytes(range(n)))
    append = log.append

    def slow_append(definition, payload, readings):
        port.now += stall_us  # flash stops everything
        port.fire()
        append(definition, payload, readings)

    log.append = slow_append
    engine = port.engine = Engine(port, log, 1000000)
    stream = Stream("rdk:component:board", "b0", "Analogs", {"reader_name": "a"})
    exact = period(hz)
    ring = Ring(stream, 8000, exact[0], Shape(FIELDS))
    engine.add(Sampler("b0", Counter(port), ring, exact, port), True)
    asyncio.run(engine.run())
    engine.flush()
    return port, log, engine.collectors[0]


def test_a_timer_serves_a_kilohertz_without_loss_or_drift():
    port, log, c = _timed(1000, 5)
    assert (c.late, c.missed, c.dropped) == (0, 0, 0)
    assert abs(c.captured - port.now // 1000) <= 3
    found = _readings(log, "b0")
    assert [v for _, v in found] == list(range(len(found))) and len(found) == c.captured
    for k, (requested, _) in enumerate(found):
        assert 0 <= requested - (k + 1) * 1000 < 100, k


def test_a_rate_that_is_no_whole_number_of_microseconds_does_not_drift():
    port, log, c = _timed(300, 20)
    found = _readings(log, "b0")
    assert port.timers[0].restarts > 1
    assert (c.late, c.missed) == (0, 0)
    for k, (requested, _) in enumerate(found):
        assert abs(requested - (k + 1) * 10000 / 3) < 200, k


def test_what_a_flash_stall_costs_a_fast_collector_is_counted_not_caught_up():
    port, log, c = _timed(1000, 5, stall_us=45000)
    assert c.late >= 4 and c.missed > 100
    assert abs(c.captured + c.missed - port.now // 1000) <= 60
    times = [requested for requested, _ in _readings(log, "b0")]
    assert times == sorted(times)
    # a late reading may come close before the next deadline, but never two of them
    assert min([times[k + 2] - times[k] for k in range(len(times) - 2)]) >= 900


def test_callbacks_while_the_engine_has_the_ring_lose_nothing_and_keep_the_order():
    from cistern.capture.sampler import STASH, Sampler

    port = TimedPort(1)
    stream = Stream("rdk:component:board", "b0", "Analogs", {})
    ring = Ring(stream, 4000, 1000, Shape(FIELDS))
    c = Sampler("b0", Counter(port), ring, (1000, 0, 1), port)
    for locked in (False, True, False, True):
        if locked:
            c.lock()
        for _ in range(STASH - 2):
            port.now += 1000
            port.fire()
        if locked:
            c.unlock()
    assert c.missed == 0 and c.captured == ring.readings == 4 * (STASH - 2)
    c.lock()
    for _ in range(STASH + 3):
        port.now += 1000
        port.fire()
    c.unlock()
    assert c.missed == 3 and c.losses[3].count == 3
    sealed = ring.seal(bytearray(2048), port.now & 0x3FFFFFFF, port.now)
    values = [v[0] for _, _, v in Reader(read_definition(sealed.definition)[1], sealed.payload)]
    assert values == list(range(len(values)))


def test_every_reason_of_capture_has_a_name_in_the_log():
    from cistern.capture import collector
    from cistern.store import REASONS

    for reason in ("LATE", "SOURCE_ERROR", "RING_FULL", "STALLED", "SOURCE_SLOW"):
        assert getattr(collector, reason) in REASONS
