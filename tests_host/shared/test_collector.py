"""Collectors: what a late, missed or failing read leaves behind."""

import asyncio

from cistern.capture.collector import REASONS, Collector
from cistern.capture.waiter import Waiter


class FakePort:
    """A port whose clock is set by hand."""

    def __init__(self):
        self.now = 0
        self.lines = []

    def ticks_us(self):
        return self.now & 0x3FFFFFFF

    def uptime_us(self):
        return self.now

    def ticks_diff(self, a, b):
        return ((a - b + (1 << 29)) & 0x3FFFFFFF) - (1 << 29)

    def log(self, level, text):
        self.lines.append((level, text))


class Ring:
    """Remembers what was put."""

    def __init__(self):
        self.put_at = []
        self.overwritten = 0

    def put(self, requested, latency_us, values):
        self.put_at.append((requested, latency_us, tuple(values)))

    def put_payload(self, requested, latency_us, payload):
        self.put_at.append((requested, latency_us, payload))


class Source:
    """A source that takes `takes` µs and raises on demand."""

    fields = ((("value",), "u16"),)
    waits = False

    def __init__(self, port, takes=20):
        self.port = port
        self.takes = takes
        self.raises = None

    def read_into(self, values):
        self.port.now += self.takes
        if self.raises:
            raise self.raises
        values[0] = 7


def _collector(hz=100, takes=20):
    port = FakePort()
    source = Source(port, takes)
    ring = Ring()
    return Collector("c", source, ring, (1000000 // hz, 0, 1), port), port, source, ring


def _lost(c):
    """What the next drop records will say."""
    return {reason: c.lost[4 * i] for i, reason in enumerate(REASONS) if c.lost[4 * i]}


def test_a_reading_keeps_the_times_before_and_after_the_read():
    c, port, _, ring = _collector()
    port.now = 10003
    c.serve()
    assert ring.put_at == [(10003, 20, (7,))]
    assert (c.captured, c.late, c.missed) == (1, 0, 0)
    assert c.tick == 20000


def test_nothing_is_read_before_its_time():
    c, port, _, ring = _collector()
    port.now = 9999
    c.serve()
    assert ring.put_at == [] and c.captured == 0


def test_a_reading_over_half_a_period_late_is_taken_and_counted_late():
    c, port, _, ring = _collector()
    port.now = 15001
    c.serve()
    assert len(ring.put_at) == 1 and ring.put_at[0][0] == 15001
    assert (c.captured, c.late, c.missed) == (1, 1, 0)


def test_deadlines_slept_through_are_missed_not_made_up_for():
    c, port, _, ring = _collector()
    port.now = 55000
    c.serve()
    assert len(ring.put_at) == 1
    assert (c.captured, c.missed) == (1, 4)
    assert _lost(c) == {"late": 4}
    assert list(c.lost[1:3]) == [10000, 40000]
    assert c.tick == 60000


def test_a_source_that_raises_is_counted_logged_once_and_tried_again():
    c, port, source, ring = _collector()
    source.raises = OSError(110, "no answer from 0x68")
    for _ in range(5):
        port.now += 10000
        c.serve()
    assert (c.captured, c.missed) == (0, 5)
    assert _lost(c) == {"source_error": 5}
    assert len(port.lines) == 1 and "0x68" in port.lines[0][1]
    source.raises = None
    port.now += 10000
    c.serve()
    assert c.captured == 1 and len(ring.put_at) == 1


class WaitingSource:
    """A source that needs `turns` turns of the event loop, or raises."""

    fields = None

    def __init__(self):
        self.turns = 1
        self.raises = None
        self.running = 0

    async def read(self):
        self.running += 1
        assert self.running == 1, "a device is asked one thing at a time"
        try:
            for _ in range(self.turns):
                await asyncio.sleep(0)
            if self.raises:
                raise self.raises
            return {"readings": {"n": 1}}
        finally:
            self.running -= 1


def _waiter(script):
    port = FakePort()
    source = WaitingSource()
    ring = Ring()
    c = Waiter("w", source, ring, (1000000, 0, 1), port)

    async def run():
        for turns, raises, loops in script:
            source.turns, source.raises = turns, raises
            port.now += 1000000
            c.serve()
            for _ in range(loops):
                await asyncio.sleep(0)

    asyncio.run(run())
    return c, port, ring


def test_a_reading_that_is_waited_for_has_the_time_it_was_asked_for():
    c, _, ring = _waiter([(3, None, 20), (3, None, 20)])
    assert [at for at, _, _ in ring.put_at] == [1000000, 2000000]
    assert (c.captured, c.missed) == (2, 0)


def test_a_device_that_takes_longer_than_its_period_misses_and_says_source_slow():
    c, _, ring = _waiter([(60, None, 5), (60, None, 5), (1, None, 100)])
    assert (c.captured, c.missed) == (1, 2)
    assert _lost(c) == {"source_slow": 2} and len(ring.put_at) == 1


def test_a_device_that_fails_while_it_is_waited_for_is_counted_and_asked_again():
    c, port, _ = _waiter([(1, OSError(5, "EIO"), 20), (1, None, 20)])
    assert (c.captured, c.missed) == (1, 1)
    assert len(port.lines) == 1 and "EIO" in port.lines[0][1]
