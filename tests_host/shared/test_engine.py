"""The engine: deadlines first, readings durable in time, and a log that refuses."""

import asyncio

from cistern.capture.collector import REASONS, Collector
from cistern.capture.engine import Engine
from cistern.errors import StoreError
from cistern.record import Reader, Ring, Shape, Stream, read_definition
from cistern.store import Log
from cistern.store.ram import RamDevice

FIELDS = ((("value",), "u16"),)
WHY = "it counts MicroPython's heap"
MICROPYTHON_ONLY = {
    "test_serving_a_reading_allocates_nothing": WHY,
    "test_a_timers_reading_allocates_nothing": WHY,
}


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


def _bench(rates, seconds, takes=20, log=None, ring=4000, kind=VirtualPort):
    port = kind(seconds * 1000000)
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

        def maintain(self, budget_us, ticks_us):
            return False

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


class Patchy:
    """A log that takes nothing while `broken`, and tells what drop records say."""

    def __init__(self):
        self.log = Log.mount(RamDevice(64), lambda n: bytes(range(n)))
        self.broken = False
        self.drops = []
        self.room, self.maintain = self.log.room, self.log.maintain
        self.stats, self.unsent, self.read = self.log.stats, self.log.unsent, self.log.read

    def append(self, *args):
        if self.broken:
            raise StoreError("the flash took a break")
        self.log.append(*args)

    def append_drop(self, definition, reason, count, first, last):
        self.drops.append((reason, count, first, last))
        self.log.append_drop(definition, reason, count, first, last)


def test_what_the_log_refused_and_what_the_ring_had_no_room_for_are_told_apart():
    log = Patchy()
    port, _, engine = _bench([100], 20, log=log, ring=1000)
    (c,) = engine.collectors
    sleep = port.sleep_ms

    async def breaking(ms):
        log.broken = 3000000 < port.now < 9000000
        await sleep(ms)

    port.sleep_ms = breaking
    asyncio.run(engine.run())
    engine.flush()
    flash = [drop for drop in log.drops if drop[0] == "flash_full"]
    assert len(flash) == len(log.drops) and sum([drop[1] for drop in flash]) == c.dropped > 300
    for _, _, first, last in flash:
        assert 3000000 < first <= last < 10100000
    assert [(key[1], n) for key, n in log.stats().lost.items()] == [("flash_full", c.dropped)]
    assert c.lost[4 * REASONS.index("flash_full") + 3] == c.dropped
    assert c.durable + c.dropped == c.captured
    # A ring that is too small while the log is well.
    port, log, engine = _bench([100], 3)
    (c,) = engine.collectors
    for _ in range(1000):
        port.now += 10000
        c.serve()
    engine.flush()
    assert c.dropped > 0 and {reason for _, reason in log.stats().lost} == {"ring_full", "late"}


def test_drop_records_tell_when_readings_were_lost():
    log = Patchy()
    port, _, engine = _bench([10], 20, log=log)
    (c,) = engine.collectors
    read = c.source.read_into

    def failing(values):
        if 5000000 < port.now < 8000000:
            raise OSError(5, "EIO")
        if 11900000 < port.now < 12000000:
            port.now += 1500000
        read(values)

    c.source.read_into = failing
    asyncio.run(engine.run())
    engine.flush()
    told = {}
    for reason, count, first, last in log.drops:
        assert first <= last
        before = told.setdefault(reason, [0, first, last])
        before[0] += count
        before[2] = last
    assert set(told) == {"source_error", "late"}
    count, first, last = told["source_error"]
    assert count == 30 and 5000000 < first < 5110000 and 7890000 < last < 8010000
    count, first, last = told["late"]
    assert count == 14 and 12000000 <= first < 12010000 and 13290000 < last < 13310000
    assert c.missed == 44


def test_deadlines_begin_when_the_engine_does():
    port, _, engine = _bench([100, 1], 5)
    port.now += 2000000  # code was loaded meanwhile
    asyncio.run(engine.run())
    assert [c.missed + c.late for c in engine.collectors] == [0, 0]
    # Not again when it is started anew after a programming error: then deadlines were missed.
    port.now += 1000000
    port.until = port.now + 1000000
    asyncio.run(engine.run())
    assert 95 <= engine.collectors[0].missed <= 102


def test_a_collector_that_is_put_off_keeps_its_own_phase_for_ever():
    _, log, engine = _bench([7, 7], 20)
    engine.collectors[1].phase = 5000
    asyncio.run(engine.run())
    engine.flush()
    plain, late = [[at for at, _ in _readings(log, name)] for name in ("b0", "b1")]
    assert len(plain) == len(late) > 130
    for k in range(len(plain)):
        assert abs(late[k] - plain[k] - 5000) < 1500, k
        assert 0 <= plain[k] - (k + 1) * 142857 < 1500, k


class SharedPort(VirtualPort):
    """A clock for several who sleep: it goes on to when the first of them wakes up."""

    def __init__(self, until_us):
        VirtualPort.__init__(self, until_us)
        self.asleep = []

    async def sleep_ms(self, ms):
        end = self.now + (ms * 1000 if ms else 50)
        self.asleep.append(end)
        while self.now < end:
            await asyncio.sleep(0)
            if self.now < end == min(self.asleep):
                self.now = end
        self.asleep.remove(end)
        if self.now >= self.until:
            self.engine.stop()


def test_settling_makes_durable_what_was_captured_by_then():
    port, _, engine = _bench([100, 20, 3], 10, kind=SharedPort)
    engine.flush_us = 300000000
    found = []

    async def watch():
        while port.now < 6000000:
            await asyncio.sleep(0)
        before = [c.captured for c in engine.collectors]
        assert engine.collectors[2].durable == 0 and min(before) > 10
        began = port.now
        await engine.settle()
        assert port.now - began < 300000
        found.extend([engine.collectors[k].durable >= before[k] for k in range(3)])

    async def both():
        await asyncio.gather(engine.run(), watch())

    asyncio.run(both())
    assert found == [True] * 3
    assert sum([c.missed + c.late for c in engine.collectors]) == 0


def test_settling_ends_where_the_log_refuses():
    log = Patchy()
    port, _, engine = _bench([100], 5, log=log, kind=SharedPort)
    engine.flush_us = 300000000
    log.broken = True
    over = []

    async def watch():
        while port.now < 1000000:
            await asyncio.sleep(0)
        await engine.settle()
        over.append(port.now)

    async def both():
        await asyncio.gather(engine.run(), watch())

    asyncio.run(both())
    assert over and over[0] < 3000000


def _erases(rates, seconds):
    """(µs from each erase to the next deadline, engine)."""
    port, log, engine = _bench(rates, seconds)
    found = []
    count = [4]
    for k, c in enumerate(engine.collectors):
        c.phase = k * 2000

    def maintain(budget_us, ticks_us):
        count[0] += 1
        if count[0] % 5 == 0:
            return False
        left = min([port.ticks_diff(c.tick, port.ticks_us()) for c in engine.collectors])
        found.append(left)
        port.now += 45000
        return True

    log.maintain = maintain
    asyncio.run(engine.run())
    return found, engine


def test_sectors_are_erased_where_no_deadline_comes_meanwhile():
    found, engine = _erases([10] * 6 + [1] * 4, 60)
    assert len(found) > 100 and min(found) > 45000
    assert sum([c.late + c.missed for c in engine.collectors]) == 0


def test_sectors_are_erased_also_where_there_is_never_room():
    found, engine = _erases([100, 50], 20)
    assert len(found) >= 10
    (fast, _) = engine.collectors
    assert fast.missed <= 5 * len(found)


def test_a_collector_that_leaves_is_sealed_first_and_read_no_more():
    port, log, engine = _bench([100, 10], 3)
    fast, slow = engine.collectors
    asyncio.run(engine.run())
    engine.remove(fast)
    assert fast.durable == fast.captured == len(_readings(log, "b0"))
    assert engine.collectors == [slow]
    before = slow.captured, fast.captured
    port.until += 2000000
    asyncio.run(engine.run())
    assert fast.captured == before[1] and slow.captured >= before[0] + 19 and slow.missed == 0


def test_a_collector_that_leaves_keeps_its_readings_until_the_log_takes_them():
    log = Patchy()
    port, _, engine = _bench([100, 10], 2, log=log)
    fast = engine.collectors[0]
    engine.flush_us = 300000000
    asyncio.run(engine.run())
    log.broken = True
    engine.remove(fast)
    held = fast.ring.readings
    assert held > 30 and fast in engine.collectors
    log.broken = False
    port.until += 3000000
    asyncio.run(engine.run())
    assert fast.durable == fast.captured and fast not in engine.collectors


def _locked(call, times):
    """Whether call() works `times` times where nothing can be allocated."""
    import micropython

    failed = False
    micropython.heap_lock()
    try:
        for _ in range(times):
            call()
    except MemoryError:
        failed = True
    micropython.heap_unlock()
    return not failed


def test_serving_a_reading_allocates_nothing():
    port, _, engine = _bench([100], 10)
    (c,) = engine.collectors

    def serve():
        port.now += 35000  # one is taken, two or three are lost, and some overwritten
        c.serve()

    assert _locked(serve, 600)
    assert c.captured == 600 and c.missed > 1000 and c.ring.overwritten > 0


def test_a_timers_reading_allocates_nothing():
    from cistern.capture.sampler import Sampler

    port = TimedPort(1)
    stream = Stream("rdk:component:board", "b0", "Analogs", {})
    ring = Ring(stream, 4000, 1000, Shape(FIELDS))
    c = Sampler("b0", Counter(port), ring, (1000, 0, 1), port)
    del port.timers[0]

    def sample():
        port.now += 1000 if c.captured % 100 else 4000
        c.hold = c.captured % 10 > 4
        c.sample()

    assert _locked(sample, 1000)
    assert c.captured == 1000 and c.missed > 10 and ring.overwritten > 0


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
        self.on = True
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


def _timed(hz, seconds, stall_us=0, dies_after=-1):
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
    source = Counter(port)
    engine.add(Sampler("b0", source, ring, exact, port), True)
    read = source.read_into

    def read_into(values):
        read(values)
        if values[0] == dies_after:
            port.timers[0].on = False

    engine.collectors[0]._read_into = read_into
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


def test_a_timer_that_dies_is_started_again_and_what_it_missed_is_counted():
    port, log, c = _timed(1000, 5, dies_after=1500)
    assert 990 < c.missed < 1100 and c.captured > 3800
    assert abs(c.captured + c.missed - port.now // 1000) <= 3
    assert port.timers[0].restarts < 4
    times = [t for t, _ in _readings(log, "b0")]
    assert max([times[k + 1] - times[k] for k in range(len(times) - 1)]) < 1100000


def test_a_timer_stops_when_its_collector_leaves():
    from cistern.capture.sampler import Sampler

    port = TimedPort(1)
    log = Log.mount(RamDevice(8), lambda n: bytes(range(n)))
    engine = Engine(port, log)
    ring = Ring(Stream("rdk:component:board", "b0", "Analogs"), 4000, 1000, Shape(FIELDS))
    c = Sampler("b0", Counter(port), ring, (1000, 0, 1), port)
    engine.add(c, True)
    for _ in range(20):
        port.now += 1000
        port.fire()
    engine.remove(c)
    assert c.captured == len(_readings(log, "b0")) == 20
    port.now += 10000
    port.fire()
    assert c.captured == 20 and engine.collectors == []


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
    assert c.missed == 3 and c.lost[4 * REASONS.index("stalled")] == 3
    sealed = ring.seal(bytearray(2048), port.now & 0x3FFFFFFF, port.now)
    values = [v[0] for _, _, v in Reader(read_definition(sealed.definition)[1], sealed.payload)]
    assert values == list(range(len(values)))


def test_every_reason_of_capture_has_a_name_in_the_log():
    from cistern.store import REASONS as NAMES

    for reason in REASONS:
        assert reason in NAMES


def test_nor_does_it_start_again_while_the_log_takes_nothing_of_it():
    """Its hardware timer may be another collector's by then."""
    from cistern.capture.sampler import Sampler

    port = TimedPort(5000000)
    log = Patchy()
    engine = port.engine = Engine(port, log)
    ring = Ring(Stream("rdk:component:board", "b0", "Analogs"), 4000, 1000, Shape(FIELDS))
    c = Sampler("b0", Counter(port), ring, (1000, 0, 1), port)
    engine.add(c, True)
    port.now += 20000
    port.fire()
    log.broken = True
    engine.remove(c)
    asyncio.run(engine.run())
    assert c in engine.collectors and port.timers[0].restarts == 0
