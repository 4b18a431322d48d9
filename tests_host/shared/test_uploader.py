"""The uploader: what it sends, what it marks, and what it makes of refusals."""

import asyncio

from cistern.cloud.protobuf import fields
from cistern.errors import GrpcError, LinkError
from cistern.record import Ring, Stream
from cistern.store import Log
from cistern.store.ram import RamDevice
from cistern.sync.clock import Clock
from cistern.sync.uploader import MAX_UPLOAD, Uploader

UTC = 1795365111000000
BUFFER = 2048


class FakePort:
    """A port whose sleeps take no time."""

    def __init__(self):
        self.lines = []

    async def sleep_ms(self, ms):
        await asyncio.sleep(0)

    def urandom(self, n):
        return bytes([128] * n)

    def log(self, level, text):
        self.lines.append((level, text))


class FakeCloud:
    """Takes uploads; `answers` are raised one after the other before any is taken."""

    part_id = "p"

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

    async def call(self, path, message, size):
        assert path == "/viam.app.datasync.v1.DataSyncService/DataCaptureUpload"
        whole = b"".join([bytes(x) for x in message])
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
    clock = Clock(log.anchors())
    done = []
    uploader = Uploader(
        port or FakePort(), log, clock, cloud, 6000, BUFFER, lambda d, n: done.append(n)
    )
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
        uploader._clock.anchors = log.anchors()

    cloud.on_login = learn
    _sync(uploader)
    assert cloud.logins == 1 and len(cloud.taken) == 1


def test_a_board_that_cannot_learn_the_time_keeps_its_readings():
    log = _log([("a", [1])], anchored=False)
    uploader = _uploader(log, FakeCloud())
    _sync(uploader)
    assert "date" in uploader.link and _unsent(log) == [1]


def test_boots_without_a_clock_end_before_the_next_one_began():
    clock = Clock({3: (1000, UTC, 0)})
    clock.ends = {1: 500, 2: 300}
    assert clock.utc_us(3, 1000) == (UTC, False)
    assert clock.utc_us(2, 300) == (UTC - 1000, True)
    assert clock.utc_us(1, 500) == (UTC - 1300, True)
    assert clock.utc_us(4, 0) is None


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
