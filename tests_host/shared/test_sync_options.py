"""Sync that is asked a sensor, has several threads, and tells how it is."""

import asyncio
import gc

from test_uploader import (
    UTC,
    FakeCloud,
    FakePort,
    _captured,
    _log,
    _readings,
    _sync,
    _unsent,
    _uploader,
)

from cistern.errors import LinkError
from cistern.figures import sync
from cistern.resources import Source
from cistern.store import Log
from cistern.store.ram import RamDevice
from cistern.sync.failed import pause_ms
from cistern.sync.selective import should_sync
from cistern.sync.threads import MAX_THREADS


class Component:
    """A sensor with one source."""

    def __init__(self, source):
        self._source = source

    def source(self, method, params):
        assert method == "Readings" and params == {}
        return self._source


def _asked(source):
    return asyncio.run(should_sync({"s": Component(source)}, "s"))


def test_only_true_is_true():
    for value, wanted in (
        (True, True),
        (False, False),
        (1, False),
        ("true", False),
        (None, False),
    ):
        assert _asked(Source(lambda v=value: {"readings": {"should_sync": v}})) is wanted
    assert _asked(Source(lambda: {"readings": {"other": True}})) is False


def test_a_sensor_with_fields_or_that_is_waited_for_may_say_it():
    path = (("readings", "x"), "int"), (("readings", "should_sync"), "bool")

    def read_into(values):
        values[0], values[1] = 7, True

    async def read_later(values):
        read_into(values)

    async def read():
        return {"readings": {"should_sync": True}}

    assert _asked(Source(read_into, path)) and _asked(Source(read_later, path, True))
    assert _asked(Source(read, None, True))
    other = (("readings", "x"), "int"), (("readings", "y"), "bool")
    assert not _asked(Source(read_into, other))


def test_an_absent_sensor_is_named():
    try:
        asyncio.run(should_sync({}, "switch"))
    except ValueError as e:
        assert "switch" in str(e)
    else:
        raise AssertionError("accepted")


class SlowCloud(FakeCloud):
    """Takes a while for each call; counts how many are under way."""

    def __init__(self, *args):
        super().__init__(*args)
        self.running = {}
        self.most = 0
        self.ready = lambda: self.logins

    async def call(self, path, message, size):
        key = len(self.running)
        self.running[key] = None
        pieces = [bytes(x) for x in message()]
        under_way = [k for k in self.running if self.running[k] is None]
        self.most = max(self.most, len(under_way))
        for _ in range(500):
            await asyncio.sleep(0)
        self.running[key] = True
        await super().call(path, lambda: pieces, size)


def _streams(count):
    return _log([("s%d" % (i % count), [i, i + 1]) for i in range(4 * count)])


def test_threads_send_streams_at_once_each_reading_once():
    for threads, streams, most in ((4, 8, 4), (100, 20, MAX_THREADS), (4, 2, 2)):
        log, cloud = _streams(streams), SlowCloud()
        uploader = _uploader(log, cloud)
        uploader.threads = threads
        assert _sync(uploader) == 6000
        assert cloud.most == most
        assert _unsent(log) == [] and sum(uploader.done) == 8 * streams
        assert sum([len(r) for _, r in cloud.taken]) == 8 * streams
        names = [n for m, _ in cloud.taken for n in m[7][0].split(b":")[2].split(b",")]
        assert len(set(names)) == len(names) == 4 * streams
        assert uploader.link == "up" and uploader.synced_us is not None
        assert cloud.logins == 1


def test_threads_send_each_reading_of_a_boot_without_a_clock_once_and_at_one_time():
    for threads in (1, 2, 4, 8):
        device = RamDevice(32)
        log = Log.mount(device, lambda n: bytes(range(n)))
        for second in range(40):
            _captured(log, "s%d" % (second % 5), [0], second * 1000000)
        log = Log.mount(device, lambda n: bytes(range(n)))
        log.append_anchor(0, UTC, 1)
        cloud = SlowCloud()
        uploader = _uploader(log, cloud)
        uploader.threads = threads
        assert _sync(uploader) == 6000 and _unsent(log) == []
        got = []
        for i in range(5):
            got += _readings(cloud, b"s%d" % i)
        start = UTC // 1000000 - 40  # its last reading was not later than the next boot's start
        wanted = [(start + second, [b"time-bounded"]) for second in range(1, 41)]
        assert sorted(got) == wanted, threads


def test_one_thread_is_one_call():
    log, cloud = _streams(4), SlowCloud()
    _sync(_uploader(log, cloud))
    assert cloud.most == 1


def test_a_failure_ends_all_threads_and_nothing_is_lost():
    log, cloud = _streams(6), SlowCloud([LinkError("http2", "lost", True, True)])
    uploader = _uploader(log, cloud)
    uploader.threads = 3
    assert _sync(uploader) <= 200 and uploader.link == "down: lost"
    _sync(uploader)
    assert _unsent(log) == [] and uploader.link == "up"
    assert pause_ms(uploader.backoff, LinkError("call", "x")) <= 200, "success starts it over"
    assert sum([len(r) for _, r in cloud.taken]) >= 48


def test_uploads_that_fail_together_are_one_failure():
    uploader = _uploader(_streams(6), SlowCloud([LinkError("http2", "lost", True, True)] * 6))
    uploader.threads = 3
    heard = []

    async def run():
        loop = asyncio.get_event_loop()
        loop.set_exception_handler(lambda loop, context: heard.append(context["message"]))
        wait = await uploader.sync()
        gc.collect()  # CPython tells of an exception that nobody saw when its task goes
        await asyncio.sleep(0.05)
        return wait

    assert asyncio.run(run()) <= 200 and heard == []


def test_a_board_without_a_cloud_has_a_status_too():
    log = _log([])
    got = sync(None, FakePort(), log, bytearray(1280))
    assert got == {
        "link": "offline",
        "error": None,
        "synced_s": None,
        "retry_s": 0,
        "set_aside": 0,
        "pending_bytes": 0,
        "uncounted": 0,
        "oldest_s": None,
    }


def test_the_status_tells_link_error_backoff_backlog_and_ages():
    log, port = _log([]), FakePort()
    _captured(log, "a", [1, 2, 3], 10000000)
    port.now = 61000000
    cloud = FakeCloud([LinkError("connect", "refused")] * 4)
    uploader = _uploader(log, cloud, port)
    uploader.wait_ms = _sync(uploader, 4)
    got = sync(uploader, port, log, bytearray(1280))
    assert got["link"] == "down: refused" and got["error"] == "refused"
    assert got["oldest_s"] == 50 and got["pending_bytes"] == log.stats().unsent > 0
    assert got["retry_s"] == uploader.wait_ms // 1000 >= 1 and got["synced_s"] is None
    uploader.wait_ms = _sync(uploader)
    port.now += 7000000
    got = sync(uploader, port, log, bytearray(1280))
    assert (got["link"], got["error"], got["synced_s"]) == ("up", "refused", 7)
    assert (got["retry_s"], got["pending_bytes"], got["oldest_s"]) == (0, 0, None)


def test_the_age_of_an_earlier_boots_readings_is_told_if_its_time_is_known():
    for known in (True, False):
        device = RamDevice(16)
        log = Log.mount(device, lambda n: bytes(range(n)))
        _captured(log, "a", [1])
        if known:
            log.append_anchor(0, UTC, 1)
        log = Log.mount(device, lambda n: bytes(range(n)))
        log.append_anchor(0, UTC + 100000000, 1)
        port = FakePort()
        port.now = 5000000
        assert sync(None, port, log, bytearray(1280))["oldest_s"] == (104 if known else None)


def test_the_status_looks_through_what_earlier_boots_left_bit_by_bit():
    """It is also read by a sensor, and capture waits for it."""
    device = RamDevice(64)
    log = Log.mount(device, lambda n: bytes(range(n)))
    for i in range(100):
        _captured(log, "a", range(150), i * 150000000)
    log = Log.mount(device, lambda n: bytes(range(n)))
    whole = 100 * log.unsent().next().size
    real, reads = device.readblocks, []

    def readblocks(n, buf, off=0):
        reads.append(n)
        real(n, buf, off)

    device.readblocks = readblocks
    seen = [0]
    while seen[-1] < whole * 95 // 100:
        reads.clear()
        seen.append(sync(None, FakePort(), log, bytearray(1280))["pending_bytes"])
        assert len(reads) < 200 and seen[-1] > seen[-2]
    assert len(seen) > 10
