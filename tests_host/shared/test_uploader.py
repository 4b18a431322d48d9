"""The uploader: what it sends, what it marks, and what it makes of refusals."""

import asyncio

from cistern.cloud.protobuf import fields
from cistern.errors import GrpcError, LinkError
from cistern.record import Ring, Stream
from cistern.store import Log
from cistern.store.ram import RamDevice
from cistern.sync.selective import asking
from cistern.sync.uploader import HIGH_WATER, MAX_PARCELS, MAX_UPLOAD, Uploader

UTC = 1795365111000000
BUFFER = 2048


class FakePort:
    """A port whose sleeps take no time but its own."""

    def __init__(self):
        self.lines = []
        self.now = 0
        self.on_sleep = None
        self.utc = None  # the clock: UTC at start

    def utc_us(self):
        return self.utc and self.utc + self.now

    async def sleep_ms(self, ms):
        self.now += ms * 1000
        if self.on_sleep and ms:
            self.on_sleep()
        await asyncio.sleep(0)

    def uptime_us(self):
        return self.now

    def urandom(self, n):
        return bytes([128] * n)

    def log(self, level, text):
        self.lines.append((level, text))


class FakeCloud:
    """Takes uploads, after a login; `answers` are raised one after the other before any is
    taken.
    """

    part_id = "p"
    token = None

    def __init__(self, answers=(), refuses=None):
        self.answers = list(answers)
        self.refuses = refuses
        self.taken = []
        self.logins = 0
        self.on_login = None

    async def login(self):
        self.logins += 1
        if self.on_login:
            self.on_login()
        self.token = "t"

    async def call(self, path, message, size):
        assert path == "/viam.app.datasync.v1.DataSyncService/DataCaptureUpload"
        if not self.token:
            await self.login()
        whole = b"".join([bytes(x) for x in message()])
        assert len(whole) == size, "the announced size is the real one"
        if self.answers:
            answer = self.answers.pop(0)
            if answer:
                raise answer
        metadata, readings = {}, []
        for number, value in fields(whole):
            if number == 1:
                for n, v in fields(value):
                    metadata.setdefault(n, []).append(v if isinstance(v, int) else bytes(v))
            else:
                readings.append(bytes(value))
        if self.refuses and self.refuses in readings[0]:
            raise GrpcError(3, "malformed reading")
        self.taken.append((metadata, readings))


def _log(parcels, anchored=True, boots=1):
    """A log with parcels given as (component, [n, …])."""
    device = RamDevice(16)
    log = Log.mount(device, lambda n: bytes(range(n)))
    buf = bytearray(BUFFER)
    second = 0
    for component, numbers in parcels:
        stream = Stream("rdk:component:sensor", component, "Readings", {}, ("t",))
        ring = Ring(stream, 4000, 1000000)
        for n in numbers:
            second += 1
            ring.put_payload(second * 1000000, 100, {"readings": {"n": n}})
        sealed = ring.seal(buf, second * 1000000, second * 1000000)
        log.append(sealed.definition, sealed.payload, sealed.readings)
    if anchored:
        log.append_anchor(0, UTC, 1000)
    return log


def _uploader(log, cloud, port=None):
    done = []
    uploader = Uploader(port or FakePort(), log, cloud, BUFFER, lambda d, n: done.append(n))
    uploader.interval_ms = 6000
    uploader.done = done
    return uploader


def _sync(uploader, times=1):
    async def run():
        wait = 0
        for _ in range(times):
            wait = await uploader.sync()
        return wait

    return asyncio.run(run())


def _unsent(log):
    cursor = log.unsent()
    found = []
    while True:
        ref = cursor.next()
        if ref is None:
            return found
        found.append(ref.readings)


def test_parcels_of_a_stream_travel_together_and_are_named():
    log = _log([("a", [1, 2]), ("b", [3]), ("a", [4, 5, 6])])
    cloud = FakeCloud()
    uploader = _uploader(log, cloud)
    assert _sync(uploader) == 6000
    assert [m[3] for m, _ in cloud.taken] == [[b"a"], [b"b"]]
    name = str(cloud.taken[0][0][7][0], "ascii")
    assert name.startswith("cistern1:0001020304050607:")
    parcels = name.split(":")[2].split(",")
    assert [p.split("*")[1] for p in parcels] == ["2", "3"]
    assert len(cloud.taken[0][1]) == 5
    assert cloud.taken[0][0][10] == [b"t"]
    assert _unsent(log) == [] and uploader.done == [2, 3, 1]
    assert uploader.link == "up"


def test_times_are_absolute_and_to_the_microsecond():
    log = _log([("a", [1])])
    cloud = FakeCloud()
    _sync(_uploader(log, cloud))
    metadata = dict(fields(dict(fields(cloud.taken[0][1][0]))[1]))
    requested, received = dict(fields(metadata[1])), dict(fields(metadata[2]))
    assert requested == {1: UTC // 1000000 + 1}
    assert received == {1: UTC // 1000000 + 1, 2: 100000}


def test_an_upload_stays_below_the_limit():
    log = _log([("a", list(range(150))) for _ in range(6)])
    cloud = FakeCloud()
    _sync(_uploader(log, cloud))
    assert len(cloud.taken) > 1
    for _, readings in cloud.taken:
        assert sum([len(r) for r in readings]) <= MAX_UPLOAD
    assert sum([len(r) for _, r in cloud.taken]) == 900


class Narrow(FakeCloud):
    """A cloud behind a link that takes so many bytes within a call's time. sizes: of all calls."""

    def __init__(self, most):
        super().__init__()
        self.most = most
        self.sizes = []

    async def call(self, path, message, size):
        self.sizes.append(size)
        if size > self.most:
            raise LinkError("deadline", "no answer within 20000 ms", True)
        await super().call(path, message, size)


def _parcels(count, numbers):
    log = _mounted(RamDevice(32))
    for i in range(count):
        _captured(log, "a", numbers, i * 60000000)
    log.append_anchor(0, UTC, 1000)
    return log


def test_a_link_too_slow_for_a_whole_upload_takes_smaller_ones():
    for threads in (1, 4):
        log = _parcels(20, range(60))
        cloud = Narrow(7000)
        cloud.ready = lambda: True
        uploader = _uploader(log, cloud)
        uploader.threads = threads
        _sync(uploader, 12)
        assert _unsent(log) == [] and sum([len(r) for _, r in cloud.taken]) == 1200
        failed = [n for n in cloud.sizes if n > cloud.most]
        assert len(failed) * 3 < len(cloud.sizes), "what fails is the exception"


def test_one_parcel_is_the_smallest_upload_and_a_faster_link_takes_large_ones_again():
    log = _parcels(80, range(60))
    cloud = Narrow(100)
    uploader = _uploader(log, cloud)
    _sync(uploader, 12)
    assert cloud.sizes[-1] == min(cloud.sizes) > 3000 and len(_unsent(log)) == 80
    cloud.most = 10**6
    _sync(uploader)
    assert _unsent(log) == [] and max(cloud.sizes[12:]) > MAX_UPLOAD // 2


def test_small_parcels_are_fewer_too():
    log = _parcels(2 * MAX_PARCELS, [1])
    cloud = Narrow(1500)
    _sync(_uploader(log, cloud), 3)
    assert len(cloud.taken[0][1]) == MAX_PARCELS // 2 and _unsent(log) == []


def test_an_upload_that_fails_otherwise_stays_as_large_as_it_was():
    log = _parcels(20, range(60))
    cloud = Narrow(10**6)
    cloud.answers = [LinkError("call", "closed"), LinkError("http2", "x"), GrpcError(14, "x")]
    _sync(_uploader(log, cloud), 4)
    assert cloud.sizes[0] == cloud.sizes[3]


def test_a_failed_upload_is_sent_again_under_the_same_name():
    log = _log([("a", [1, 2])])
    port = FakePort()
    cloud = FakeCloud([LinkError("call", "no answer", True, True), GrpcError(13, "broken disk")])
    uploader = _uploader(log, cloud, port)
    waits = [_sync(uploader) for _ in range(3)]
    assert waits[0] < waits[1] <= 400 and waits[2] == 6000
    assert len(cloud.taken) == 1 and _unsent(log) == []
    texts = [t for _, t in port.lines]
    assert "no answer" in texts[0] and "broken disk" in texts[1] and "works again" in texts[2]


def test_nothing_is_marked_before_the_answer():
    log = _log([("a", [1, 2])])
    cloud = FakeCloud([LinkError("http2", "connection lost", True, True)])
    uploader = _uploader(log, cloud)
    _sync(uploader)
    assert _unsent(log) == [2] and uploader.done == []
    assert uploader.link == "down: connection lost"


def test_the_same_failure_is_reported_once():
    log = _log([("a", [1])])
    port = FakePort()
    _sync(_uploader(log, FakeCloud([GrpcError(14, "away")] * 5), port), 5)
    assert len(port.lines) == 1


def test_a_sync_that_finds_no_memory_is_tried_again_later():
    cloud = FakeCloud()
    log = _log([("a", [1, 2])])
    uploader = _uploader(log, cloud)
    send = uploader.send

    async def fails(*what):
        raise MemoryError("memory allocation failed")

    uploader.send = fails
    _sync(uploader)
    assert "not enough memory" in uploader.link and _unsent(log) == [2]
    uploader.send = send
    _sync(uploader)
    assert _unsent(log) == []


def test_what_is_captured_is_made_durable_before_a_sync_and_travels_with_it():
    log = _log([("a", [1])])
    cloud = FakeCloud([None, GrpcError(14, "away")])
    uploader = _uploader(log, cloud)
    calls = []

    async def before():
        calls.append(len(cloud.taken))
        ring = Ring(Stream("rdk:component:sensor", "b", "Readings"), 1000, 0)
        ring.put_payload(0, 0, {"readings": {"n": len(calls)}})
        sealed = ring.seal(bytearray(2048), 1000, 1000)
        log.append(sealed.definition, sealed.payload, sealed.readings)

    uploader.before = before
    _sync(uploader)
    assert calls == [0] and len(cloud.taken) == 1  # the second upload, of b, failed
    # Not while nobody answers: it would cost flash for nothing.
    cloud.answers = [GrpcError(14, "away")]
    _sync(uploader)
    assert calls == [0] and len(cloud.taken) == 1
    _sync(uploader, 2)
    assert calls == [0, 2] and not _unsent(log)


def test_a_bad_parcel_is_set_aside_and_the_others_arrive():
    log = _log([("a", [1, 2]), ("a", [77]), ("a", [4])])
    port = FakePort()
    # 77.0 as a double, little-endian: what only the bad parcel holds
    cloud = FakeCloud(refuses=b"\x00\x00\x00\x00\x00\x40\x53\x40")
    cloud.answers = [GrpcError(3, "malformed reading")]
    uploader = _uploader(log, cloud, port)
    _sync(uploader)
    assert [len(r) for _, r in cloud.taken] == [2, 1]
    assert uploader.set_aside == 1 and _unsent(log) == []
    assert "not sent again" in port.lines[0][1]


def test_a_board_without_a_clock_asks_the_cloud_first():
    log = _log([("a", [1])], anchored=False)
    cloud = FakeCloud()
    uploader = _uploader(log, cloud)

    def learn():
        log.append_anchor(5000000, UTC, 1000000)

    cloud.on_login = learn
    _sync(uploader)
    assert cloud.logins == 1 and len(cloud.taken) == 1


def test_a_clock_that_the_login_corrects_is_right_in_the_first_upload_too():
    log = _log([("a", [1, 2]), ("b", [3])])
    cloud = FakeCloud()
    cloud.on_login = lambda: log.append_anchor(0, UTC + 3600000000, 1000)
    _sync(_uploader(log, cloud))
    start = UTC // 1000000 + 3600
    assert _readings(cloud, b"a") == [(start + 1, [b"t"]), (start + 2, [b"t"])]
    assert _readings(cloud, b"b") == [(start + 3, [b"t"])] and cloud.logins == 1


def test_a_board_that_cannot_learn_the_time_keeps_its_readings():
    log = _log([("a", [1])], anchored=False)
    uploader = _uploader(log, FakeCloud())
    _sync(uploader)
    assert "date" in uploader.link and _unsent(log) == [1]


class Timeless(FakePort):
    """A chip without a clock; it was no earlier than `floor` when it started. A time server
    answers from `server_us` of uptime on.
    """

    no_time = "no answer"
    server_us = 1 << 60

    def __init__(self, floor=UTC - 86400000000):
        super().__init__()
        self.floor = floor
        self.asked = []
        self.raised = []

    async def learn_time(self):
        self.asked.append(self.now)
        if self.now >= self.server_us:
            self.utc = UTC

    def at_least_us(self):
        return self.floor + self.now

    def raise_clock(self, utc_us):
        self.floor = max(self.floor, utc_us - self.now)
        self.raised.append(utc_us)


def _sync_until(uploader, now):
    """Sync as run() does until so much uptime; seconds at which something arrived."""
    port, cloud = uploader.port, uploader.cloud
    arrived = []
    while port.now < now:
        before = len(cloud.taken)
        port.now += max(_sync(uploader), 1000) * 1000
        if len(cloud.taken) > before:
            arrived.append(port.now // 1000000)
    return arrived


def test_a_board_without_any_time_waits_for_one_and_then_sends_by_what_it_knows():
    for threads in (1, 4):
        log = _log([("a", [1, 2]), ("b", [3])], anchored=False)
        cloud, port = FakeCloud(), Timeless()
        cloud.ready = lambda: True
        uploader = _uploader(log, cloud, port)
        uploader.threads = threads
        assert _sync_until(uploader, 100000000) == [] and _unsent(log) == [2, 1]
        for words in ("no clock", "(no answer)", "cistern sync --port"):
            assert words in uploader.error
        _sync_until(uploader, 240000000)
        assert _unsent(log) == [] and uploader.link == "up"
        start = port.floor // 1000000
        bounded = [b"t", b"time-bounded"]
        assert _readings(cloud, b"a") == [(start + 1, bounded), (start + 2, bounded)]
        assert _readings(cloud, b"b") == [(start + 3, bounded)]
        said = [text for _, text in port.lines if "no clock" in text]
        assert len(said) == 2, "that it waits, and that it does not any more"
        assert "wait 120 s" in said[0] and "time-bounded" in said[1]
        # What comes later has the same bound, and it goes at once.
        _captured(log, "a", [4], 300000000)
        _sync(uploader)
        assert _readings(cloud, b"a")[2] == (start + 301, [b"time-bounded"])
        # A time server is asked now and then; what the board knows is kept.
        asked = len(port.asked)
        for k in range(1, 13):
            port.now += 310000000
            _captured(log, "a", [4], 300000000 + k * 60000000)
            _sync(uploader)
        assert len(port.asked) - asked == 6 and len(port.raised) > 6


def test_a_time_server_that_answers_in_time_makes_no_bounds():
    log = _log([("a", [1, 2])], anchored=False)
    cloud, port = FakeCloud(), Timeless()
    port.server_us = 60000000
    uploader = _uploader(log, cloud, port)
    _sync_until(uploader, 200000000)
    start = UTC // 1000000
    assert _readings(cloud, b"a") == [(start + 1, [b"t"]), (start + 2, [b"t"])]
    assert not port.raised


def test_a_time_that_comes_after_bounds_dates_all_that_is_not_sent_yet():
    device = RamDevice(64)
    log = _mounted(device)
    _captured(log, "old", [1])  # of a boot that never comes to it
    log = _mounted(device)
    _captured(log, "a", range(3))
    cloud, port = FakeCloud(), Timeless()
    port.server_us = 500000000
    uploader = _uploader(log, cloud, port)
    _sync_until(uploader, 240000000)
    assert [tags for _, tags in _readings(cloud, b"a")] == [[b"time-bounded"]] * 3
    (old,) = _readings(cloud, b"old")
    assert old[1] == [b"time-bounded"] and old[0] <= _readings(cloud, b"a")[0][0]
    port.now = 1000000000
    _captured(log, "a", range(2), 1000000000)
    _sync(uploader)
    start = UTC // 1000000
    assert _readings(cloud, b"a")[3:] == [(start + 1001, []), (start + 1002, [])]
    # The next start has a clock, and all is well.
    log = _mounted(device)
    log.append_anchor(0, UTC + 2000000000, 1000000)
    _captured(log, "a", [1])
    _sync(_uploader(log, cloud))
    assert _readings(cloud, b"a")[5:] == [(start + 2001, [])]


def test_a_date_that_comes_after_bounds_counts_as_well():
    log = _log([("a", [1])], anchored=False)
    cloud, port = FakeCloud(), Timeless()
    uploader = _uploader(log, cloud, port)
    _sync_until(uploader, 240000000)
    cloud.on_login = lambda: log.append_anchor(port.now, UTC + port.now, 1000000)
    _captured(log, "a", [2], 250000000)
    port.now = uploader.again_us
    _sync(uploader)
    assert _readings(cloud, b"a")[1:] == [(UTC // 1000000 + 251, [])]


def test_a_log_that_is_nearly_full_does_not_wait():
    log = _mounted(RamDevice(8))
    for i in range(400):
        _captured(log, "a", range(20), i * 20000000)
        if log.used() * 100 >= HIGH_WATER * 8:
            break
    cloud, port = FakeCloud(), Timeless()
    _sync(_uploader(log, cloud, port))
    assert _unsent(log) == [] and port.now < 10000000


# {"alg":"HS256"}.{"iat":…}: what a login answers.
def _token(claims):
    from binascii import b2a_base64

    text = b2a_base64(claims.encode()).decode().strip().rstrip("=")
    return "eyJhbGciOiJIUzI1NiJ9." + text.replace("+", "-").replace("/", "_") + ".c2ln"


class WithToken(FakeCloud):
    """Its login answers such a token."""

    def __init__(self, claims):
        super().__init__()
        self.claims = claims

    async def login(self):
        await super().login()
        self.token = _token(self.claims)


def test_a_bound_is_when_the_login_was_answered():
    for claims, issued in (
        ('{"iat": %d}' % (UTC // 1000000), UTC),
        ('{"sub": "p?~\u00e4", "iat": %d}' % (UTC // 1000000), UTC),
        ('{"iat": 1}', None),
        ('{"iat": "x"}', None),
        ('{"iat": 1e300}', None),
        ('{"iat": -5}', None),
        ('{"exp": %d}' % (UTC // 1000000), None),
        ("[]", None),
        ("", None),
        ("{", None),
    ):
        log = _log([("a", [1])], anchored=False)
        cloud, port = WithToken(claims), Timeless()
        uploader = _uploader(log, cloud, port)
        _sync_until(uploader, 240000000)
        ((second, tags),) = _readings(cloud, b"a")
        assert tags == [b"t", b"time-bounded"], claims
        start = second - 1 - UTC // 1000000
        if issued:
            # It is a new one each time: sent two minutes and more after the start.
            assert -240 <= start <= -100, (claims, start)
        else:
            assert start == -86400, claims


def test_a_boot_by_bounds_comes_after_all_that_knew_the_time_and_those_in_between():
    device = RamDevice(64)
    log = _mounted(device)
    log.append_anchor(5000000, UTC, 1000000)
    _captured(log, "a", [1])
    for _ in range(2):
        log = _mounted(device)
        _captured(log, "a", range(30))
    log = _mounted(device)
    _captured(log, "a", [9])
    cloud = FakeCloud()
    uploader = _uploader(log, cloud, Timeless())
    _sync_until(uploader, 240000000)
    got = _readings(cloud, b"a")
    times = [t - UTC // 1000000 for t, _ in got]
    assert times[0] == -4 and times[1:] == list(range(1, 62))
    assert not got[0][1] and {len(tags) for _, tags in got[1:]} == {1}


def test_a_parcel_that_cannot_be_read_does_not_keep_others_of_boots_without_a_time():
    device = RamDevice(16)
    log = _mounted(device)
    _captured(log, "a", [1, 2])
    log = _mounted(device)
    log.append_anchor(0, UTC, 1000000)
    _captured(log, "a", [3])
    cloud = FakeCloud()
    uploader = _uploader(log, cloud)
    read = log.read
    log.read = lambda ref, buf: None if ref.boot != log.boot else read(ref, buf)
    for _ in range(3):
        _sync(uploader)
    assert _readings(cloud, b"a") == [(UTC // 1000000 + 1, [])] and "no clock" not in uploader.link


def test_readings_with_bounded_times_say_so():
    device = RamDevice(16)
    log = Log.mount(device, lambda n: bytes(range(n)))
    ring = Ring(Stream("rdk:component:sensor", "a", "Readings"), 4000, 1000000)
    ring.put_payload(1000000, 100, {"readings": {"n": 1}})
    sealed = ring.seal(bytearray(BUFFER), 2000000, 2000000)
    log.append(sealed.definition, sealed.payload, sealed.readings)
    log = Log.mount(device, lambda n: bytes(range(n)))
    log.append_anchor(0, UTC, 1000)
    cloud = FakeCloud()
    _sync(_uploader(log, cloud))
    assert cloud.taken[0][0][10] == [b"time-bounded"]


def _captured(log, component, numbers, from_us=0, stream=None):
    """Append a parcel with a reading each second after from_us."""
    stream = stream or Stream("rdk:component:sensor", component, "Readings")
    ring = Ring(stream, 8000, 1000000)
    second = from_us // 1000000
    for n in numbers:
        second += 1
        tick = second * 1000000 & 0x3FFFFFFF
        ring.put_payload(tick, 100, {"readings": {"n": n}})
    sealed = ring.seal(bytearray(BUFFER), tick, second * 1000000)
    log.append(sealed.definition, sealed.payload, sealed.readings)


def _readings(cloud, component):
    """[(seconds UTC, tags)] of what the cloud has of a component, in the order of arrival."""
    found = []
    for metadata, readings in cloud.taken:
        if metadata[3][0] == component:
            for reading in readings:
                times = dict(fields(dict(fields(reading))[1]))
                found.append((dict(fields(times[1]))[1], metadata.get(10, [])))
    return found


def _mounted(device):
    return Log.mount(device, lambda n: bytes(range(n)))


def test_three_boots_without_a_clock_and_then_a_clock():
    """Each boot ended before the next began; nothing is reordered, and all that is said."""
    device = RamDevice(16)
    for boot in range(3):
        log = _mounted(device)
        _captured(log, "a", range(20))
        _captured(log, "b", range(10 + boot), 15000000)
    log = _mounted(device)
    _captured(log, "a", range(5))
    cloud = FakeCloud()
    uploader = _uploader(log, cloud)

    def learn():
        if log.boot not in log.anchors():
            log.append_anchor(7000000, UTC, 1000000)

    cloud.on_login = learn
    _sync(uploader)
    assert _unsent(log) == [] and cloud.logins == 1
    got = _readings(cloud, b"a")
    start = UTC // 1000000 - 7  # of the fourth boot
    assert got[60:] == [(start + n, []) for n in range(1, 6)]
    # The third boot's last reading is b's, 27 s after its start; the others' 26 and 25.
    starts = start - 27 - 26 - 25, start - 27 - 26, start - 27
    bounded = [b"time-bounded"]
    assert got[:60] == [(s + n, bounded) for s in starts for n in range(1, 21)]
    assert _readings(cloud, b"b")[-1] == (start, bounded)


def test_a_boot_between_two_that_knew_the_time_is_bounded_by_the_later_one():
    device = RamDevice(16)
    for anchored in (True, False, True):
        log = _mounted(device)
        _captured(log, "a", [1, 2])
        if anchored:
            log.append_anchor(0, UTC + log.boot * 1000000000, 1000)
    cloud = FakeCloud()
    _sync(_uploader(log, cloud))
    base = UTC // 1000000
    assert [t - base for t, _ in _readings(cloud, b"a")] == [1001, 1002, 2999, 3000, 3001, 3002]
    assert [len(m.get(10, [])) for m, _ in cloud.taken] == [0, 1, 0]


def test_times_are_right_after_however_many_starts_without_a_network():
    for readings in 0, 1:  # of each start
        device = RamDevice(64)
        log = _mounted(device)
        log.append_anchor(0, UTC - 7000000000, 1000000)  # by a clock that is found to be wrong
        for hour in range(24):
            _captured(log, "a", [hour], hour * 3600000000)
        log.append_anchor(0, UTC, 1000000)
        wanted = [UTC // 1000000 + hour * 3600 + 1 for hour in range(24)]
        now = UTC + 86400000000
        for _ in range(60):
            log = _mounted(device)
            log.append_anchor(0, now, 1000000)
            for n in range(readings):
                _captured(log, "a", [n])
                wanted.append(now // 1000000 + 1)
            now += 120000000
        cloud = FakeCloud()
        _sync(_uploader(log, cloud))
        assert _readings(cloud, b"a") == [(second, []) for second in wanted]


def test_a_start_without_a_clock_before_many_with_one_is_bounded():
    device = RamDevice(64)
    log = _mounted(device)
    _captured(log, "a", range(9))
    for k in range(30):
        log = _mounted(device)
        log.append_anchor(0, UTC + k * 100000000, 1000000)
        _captured(log, "a", [1, 2])
    cloud = FakeCloud()
    _sync(_uploader(log, cloud))
    got = _readings(cloud, b"a")
    # Not later than the start after it; as for the others, they have their times.
    assert len(got) == 69 and got[8][0] <= UTC // 1000000 and got[8][1] == [b"time-bounded"]
    starts = [UTC // 1000000 + k * 100 for k in range(30)]
    assert got[9:] == [(s + n, []) for s in starts for n in (1, 2)]


def test_a_fast_stream_does_not_keep_a_slow_one_waiting():
    log = Log.mount(RamDevice(32), lambda n: bytes(range(n)))
    for i in range(70):
        _captured(log, "fast", range(20), i * 20000000)
        _captured(log, "slow", [i], i * 20000000)
    log.append_anchor(0, UTC, 1000)
    cloud = FakeCloud()
    _sync(_uploader(log, cloud))
    order = [m[3][0] for m, _ in cloud.taken]
    assert order[:2] == [b"fast", b"slow"]
    assert order.count(b"slow") == -(-70 // MAX_PARCELS), "it goes along at the pace of the oldest"
    oldest = [_readings(cloud, c)[0][0] for c in (b"fast", b"slow")]
    assert oldest[0] == oldest[1]


def _run(uploader, until):
    """Run the uploader until until() is true."""

    async def main():
        task = asyncio.create_task(uploader.run())
        for _ in range(20000):
            if until():
                break
            await asyncio.sleep(0)
        else:
            raise AssertionError("it never came")
        task.cancel()

    asyncio.run(main())


def test_the_first_sync_comes_within_the_interval_and_the_next_after_it():
    log, cloud, port = _log([("a", [1])]), FakeCloud(), FakePort()
    _run(_uploader(log, cloud, port), lambda: cloud.taken)
    assert 3000000 <= port.now < 4000000, "half the interval: its random byte is 128"
    start = port.now
    _captured(log, "a", [2])
    cloud.taken = []
    uploader = _uploader(log, cloud, port)
    uploader.interval_ms = 60000
    _run(uploader, lambda: cloud.taken)
    assert 30000000 <= port.now - start < 31000000


def test_a_wish_is_served_at_once_and_where_sync_is_disabled_too():
    for interval in (3600000, 0):
        log, cloud, port = _log([("a", [1])]), FakeCloud(), FakePort()
        uploader = _uploader(log, cloud, port)
        uploader.interval_ms = interval

        async def never(uploader):
            return False

        uploader.allowed = never

        def wish(port=port, uploader=uploader, cloud=cloud):
            uploader.asked = port.now >= 5000000 and not cloud.taken

        port.on_sleep = wish
        _run(uploader, lambda cloud=cloud: cloud.taken)
        assert 5000000 <= port.now <= 6000000


def test_disabled_sync_sends_nothing():
    log, cloud, port = _log([("a", [1])]), FakeCloud(), FakePort()
    uploader = _uploader(log, cloud, port)
    uploader.interval_ms = 0
    _run(uploader, lambda: port.now > 1000000000)
    assert not cloud.taken


def test_a_log_that_fills_up_is_synced_before_its_time():
    log, cloud, port = _log([]), FakeCloud(), FakePort()
    uploader = _uploader(log, cloud, port)
    uploader.interval_ms = 10**9
    seen = []

    def capture():
        used = sum([n > 0 for n in log.sequence])
        if cloud.taken and not seen:
            seen.append(used)
        if not cloud.taken:
            _captured(log, "a", range(150))
            assert used * 100 <= (HIGH_WATER + 7) * 16, "the one sector that passes the mark"

    port.on_sleep = capture
    _run(uploader, lambda: cloud.taken and _unsent(log) == [])
    assert port.now < 10**9


def test_a_damaged_parcel_does_not_hold_up_the_others():
    device = RamDevice(16)
    log = _mounted(device)
    log.append_anchor(0, UTC, 1000)
    for n in range(3):
        _captured(log, "a", [n, n + 10], n * 9000000)
    cursor = log.unsent()
    cursor.next()
    ref = cursor.next()
    device.writeblocks(ref.block, b"\0", ref.index + ref.size)
    cloud, port = FakeCloud(), FakePort()
    uploader = _uploader(log, cloud, port)
    assert _sync(uploader) == 6000
    assert [len(r) for _, r in cloud.taken] == [4]
    assert uploader.link == "up"


def test_parcels_that_are_overwritten_meanwhile_do_not_hold_up_the_others():
    log, cloud, port = _log([]), FakeCloud(), FakePort()
    for i in range(102):  # all but full
        _captured(log, "a", range(150), i * 150000000)

    async def sleep_ms(ms):
        port.now += 1
        if port.now % 8 == 0 and port.now < 1200:
            _captured(log, "a", range(150), 0)
        await asyncio.sleep(0)

    port.sleep_ms = sleep_ms
    uploader = _uploader(log, cloud, port)
    log.append_anchor(0, UTC, 1000)
    assert _sync(uploader) == 6000, "without a failure"
    assert _unsent(log) == [] and uploader.set_aside == 0 and not port.lines
    assert log.stats().lost and len(cloud.taken) > 8


def test_a_parcel_that_cannot_be_marked_as_sent_is_sent_once_and_counted_once():
    log, cloud, port = _log([("a", [1, 2]), ("b", [3])]), FakeCloud(), FakePort()
    real = log.device.writeblocks

    def writeblocks(n, buf, off=0):
        if len(buf) == 1:
            assert len(cloud.taken) < 9
            raise OSError(28)
        real(n, buf, off)

    log.device.writeblocks = writeblocks
    uploader = _uploader(log, cloud, port)
    assert _sync(uploader, 3) == 6000
    assert len(cloud.taken) == 2 and uploader.done == [2, 1]


def test_what_can_neither_be_marked_nor_remembered_is_tried_again_later():
    log, cloud, port = _log([("a", [1, 2])]), FakeCloud(), FakePort()

    def mark_sent(ref):
        raise MemoryError("marks")

    log.mark_sent = mark_sent
    uploader = _uploader(log, cloud, port)
    waits = [_sync(uploader) for _ in range(4)]
    assert len(cloud.taken) == 4 and uploader.done == []
    assert waits[3] > 4 * waits[0] > 0 and "marks" in port.lines[0][1]


def test_a_log_that_fills_up_does_not_hurry_a_cloud_that_is_away():
    log, port = _log([]), FakePort()
    _captured(log, "a", [1])
    tries = []
    cloud = FakeCloud()

    async def call(path, message, size):
        tries.append(port.now // 1000000)
        raise LinkError("connect", "refused")

    cloud.call = call

    def fill():
        if port.now > 900000000 and sum([n > 0 for n in log.sequence]) < 15:
            _captured(log, "a", range(150))

    port.on_sleep = fill
    _run(_uploader(log, cloud, port), lambda: port.now > 1500000000)
    late = [at for at in tries if at > 700]
    assert len(late) > 8
    gaps = [late[i + 1] - late[i] for i in range(len(late) - 1)]
    assert min(gaps) >= 45, "once a minute"


def test_an_interval_that_becomes_shorter_counts_from_now_on():
    log, cloud, port = _log([("a", [1])]), FakeCloud(), FakePort()
    uploader = _uploader(log, cloud, port)
    uploader.interval_ms = 10**9

    def shorten():
        if port.now > 2000000 and uploader.interval_ms > 1000:
            uploader.interval_ms = 1000
            uploader.wait_ms = min(uploader.wait_ms, 1000)

    port.on_sleep = shorten
    _run(uploader, lambda: cloud.taken)
    assert port.now < 5000000


def test_a_sensor_may_say_when_to_sync():
    log, cloud, port = _log([("a", [1])]), FakeCloud(), FakePort()
    uploader = _uploader(log, cloud, port)
    asked = []

    class Wish:
        fields = None
        waits = False

        def source(self, method, params):
            return self

        def read(self):
            asked.append(port.now)
            if len(asked) == 2:
                raise OSError(5)
            return {"readings": {"should_sync": len(asked) == 4}}

    uploader.allowed = asking({"wish": Wish()}, "wish")
    _run(uploader, lambda: cloud.taken)
    assert [at // 1000000 for at in asked] == [3, 9, 15, 21]
    assert len([t for _, t in port.lines if "selective_syncer" in t]) == 1


def test_an_error_is_kept_in_words_and_a_success_has_its_time():
    log, port = _log([("a", [1])]), FakePort()
    uploader = _uploader(log, FakeCloud([LinkError("dns", "no such host")]), port)
    assert uploader.synced_us is None
    _sync(uploader)
    assert uploader.error == "no such host" and uploader.synced_us is None
    port.now = 9000000
    _sync(uploader)
    assert uploader.error == "no such host" and uploader.synced_us == 9000000
    assert uploader.link == "up"


def test_parcels_keep_their_names_however_they_are_grouped():
    """The answer to an upload of two was lost; after a restart they go out with a third one."""
    device = RamDevice(16)
    log = _mounted(device)
    log.append_anchor(0, UTC, 1000)
    _captured(log, "a", [1, 2])
    _captured(log, "a", [3], 9000000)
    cloud = FakeCloud()
    lost = []

    async def call(path, message, size):
        lost.append(b"".join([bytes(x) for x in message()]))
        raise LinkError("call", "no answer", True, True)

    cloud.call = call
    _sync(_uploader(log, cloud))
    log = _mounted(device)
    _captured(log, "a", [4])
    cloud = FakeCloud(answers=[None])
    log.append_anchor(0, UTC + 10**12, 1000)
    _sync(_uploader(log, cloud))
    sent = dict(fields(dict(fields(lost[0]))[1]))
    first, again = bytes(sent[7]), cloud.taken[0][0][7][0]
    assert again.startswith(first + b","), "the same names, and one more"
    body = b"".join([bytes(v) for n, v in fields(lost[0]) if n == 2])
    assert b"".join(cloud.taken[0][1]).startswith(body), "and the same readings and times"
