"""What an upload's failure says about what is in it: the parcel is found, the rest goes on."""

from cistern.cloud.protobuf import fields
from cistern.cloud.verdict import AWAY, BAD, DOUBT, KINDS, LATER
from cistern.errors import GrpcError, LinkError
from cistern.record import Stream
from cistern.record.stream import definition
from cistern.store import Log
from cistern.store.ram import RamDevice
from cistern.sync import refused
from cistern.sync.refused import BUSY_TRIES, MAX_SUSPECTS, TRIES
from shared.test_uploader import UTC, FakeCloud, FakePort, _captured, _sync, _unsent, _uploader

POISON = 77
# As a double, little-endian: what only the bad reading holds.
MARK = b"\x00\x00\x00\x00\x00\x40\x53\x40"
WANTED = {
    1: AWAY,  # CANCELLED
    2: DOUBT,  # UNKNOWN
    3: BAD,  # INVALID_ARGUMENT
    4: AWAY,  # DEADLINE_EXCEEDED
    5: DOUBT,  # NOT_FOUND
    6: DOUBT,  # ALREADY_EXISTS
    7: LATER,  # PERMISSION_DENIED
    8: DOUBT,  # RESOURCE_EXHAUSTED
    9: DOUBT,  # FAILED_PRECONDITION
    10: AWAY,  # ABORTED
    11: BAD,  # OUT_OF_RANGE
    12: LATER,  # UNIMPLEMENTED
    13: DOUBT,  # INTERNAL
    14: AWAY,  # UNAVAILABLE
    15: DOUBT,  # DATA_LOSS
    16: AWAY,  # UNAUTHENTICATED
}


class Picky(FakeCloud):
    """A cloud that fails each upload with MARK in it by `error`, or where `all` is set each one.

    room: uploads that it takes before it fails all by status 8, until that is set again.
    """

    error = None
    all = False
    room = 10**9
    calls = 0

    def ready(self):
        return True

    async def call(self, path, message, size):
        self.calls += 1
        if self.error:
            whole = b"".join([bytes(x) for x in message()])
            if self.all or MARK in whole:
                raise self.error
        if self.room <= 0:
            raise GrpcError(8, "too many requests")
        self.room -= 1
        await super().call(path, message, size)


def _log(parcels=(), sectors=12):
    log = Log.mount(RamDevice(sectors), lambda n: bytes(range(n)))
    log.append_anchor(0, UTC, 1000)
    _add(log, parcels)
    return log


def _add(log, parcels):
    for component, numbers in parcels:
        _captured(log, component, numbers)


def _numbers(cloud):
    """{component: [n, …]} of what has arrived, in its order."""
    found = {}
    for metadata, readings in cloud.taken:
        for reading in readings:
            n = bytes(reading)[-8:]
            found.setdefault(str(metadata[3][0], "ascii"), []).append(n)
    return found


def _count(cloud):
    return sum([len(r) for _, r in cloud.taken])


def _good(log):
    """Parcels of three streams, one reading of which is bad."""
    _add(log, [("a", [1, 2]), ("b", [3]), ("a", [4]), ("a", [POISON, 5]), ("a", [6]), ("c", [7])])
    return 7


def _syncs(uploader, times):
    """The parcels that were set aside after each sync, in each of which something new is sent."""
    found = []
    for i in range(times):
        _captured(uploader.log, "new", [100 + i])
        _sync(uploader)
        found.append(uploader.set_aside)
    return found


def test_every_status_has_its_row():
    assert len(KINDS) == 17 and len(WANTED) == 16
    for status in range(1, 17):
        assert refused.kind_of(GrpcError(status, "x")) == KINDS[status] == WANTED[status], status
    assert refused.kind_of(GrpcError(99, "x")) == DOUBT
    for layer in ("dns", "connect", "tls", "http2", "call", "deadline"):
        assert refused.kind_of(LinkError(layer, "x")) == AWAY
    of_login = GrpcError(13, "x")
    of_login.of_login = True
    assert refused.kind_of(of_login) == AWAY, "it says nothing about what was to be sent"


def test_one_bad_parcel_costs_itself_only_whatever_the_status_is():
    for threads in (1, 4):
        for status in range(1, 19) if threads == 1 else (3, 8, 13):
            log = _log()
            good = _good(log)
            cloud, port = Picky(), FakePort()
            cloud.error = GrpcError(status, "no such value")
            uploader = _uploader(log, cloud, port)
            uploader.threads = threads
            aside = _syncs(uploader, BUSY_TRIES + 2)
            kind = KINDS[status] if status < 17 else DOUBT
            tries = {BAD: 1, DOUBT: BUSY_TRIES if status == 8 else TRIES}.get(kind)
            what = (status, threads, aside)
            if tries:
                # A suspect is sent alone at the end of the sync that found it, too.
                assert aside.index(1) in (tries - 2, tries - 1) and aside[-1] == 1, what
                assert _unsent(log) == [] and _count(cloud) == good - 1 + len(aside), what
                assert uploader.link == "up" and uploader.doubts.suspects == {}
                said = [t for level, t in port.lines if level == "error"]
                assert len(said) == 1 and "no such value" in said[0], said
                assert "a/Readings: a parcel of 2 readings" in said[0], said
                assert "status %d" % status in said[0] and "is kept but not sent again" in said[0]
            else:
                assert aside[-1] == 0 and 2 in _unsent(log), what
                arrived = _numbers(cloud)
                assert len(arrived["b"]) == len(arrived["c"]) == 1, what
                assert len(arrived["new"]) >= len(aside) - 1, what
                cloud.error = None
                uploader.threads = 1
                _sync(uploader, 2)
                assert _unsent(log) == [] and _count(cloud) == good + 1 + len(aside), what


def test_a_cloud_that_fails_everything_costs_nothing_and_is_not_asked_without_end():
    for threads in (1, 4):
        for status in (2, 5, 7, 8, 13, 14) if threads == 1 else (7, 13):
            log = _log([(c, [i]) for i in range(12) for c in "ab"])
            cloud = Picky()
            cloud.ready = lambda: True
            uploader = _uploader(log, cloud)
            uploader.threads = threads
            cloud.error, cloud.all = GrpcError(status, "disk full"), True
            for i in range(7):
                before = cloud.calls
                _add(log, [("a", [i]), ("new", [i])])
                wait = _sync(uploader)
                assert wait != 6000 and uploader.link == "down: disk full", status
                assert cloud.calls - before <= 40, status
            assert uploader.set_aside == 0 and len(uploader.doubts.suspects) <= MAX_SUSPECTS
            assert len(_unsent(log)) == 38
            cloud.error = None
            for _ in range(3):
                _sync(uploader)
            assert _unsent(log) == [] and _count(cloud) == 38 and uploader.set_aside == 0, status
            assert uploader.doubts.suspects == {} and uploader.link == "up"


def test_a_cloud_that_begins_to_fail_everything_costs_nothing():
    for status in (2, 8, 13):
        log = _log([("a", [1]), ("b", [2])])
        cloud = Picky()
        uploader = _uploader(log, cloud)
        _sync(uploader)
        for _ in range(2):
            _add(log, [(c, [i]) for i in range(9) for c in "abc"])
            cloud.error, cloud.all = GrpcError(status, "disk full"), True
            _sync(uploader, 5)
            cloud.error = None
            _sync(uploader)
        assert _unsent(log) == [] and uploader.set_aside == 0 and _count(cloud) == 2 + 2 * 27


def test_a_cloud_that_takes_few_uploads_at_a_time_gets_all():
    log = _log([("%d" % (i % 20), [i, i]) for i in range(60)])
    cloud = Picky()
    uploader = _uploader(log, cloud)
    for _ in range(30):
        cloud.room = 3
        _sync(uploader)
    assert _unsent(log) == [] and uploader.set_aside == 0 and _count(cloud) == 120


def test_many_bad_parcels_in_several_streams_keep_nobody_waiting():
    for status in (3, 13):
        log = _log()
        for i in range(24):
            _add(log, [("a", [POISON]), ("b", [i]), ("c", [POISON, 1] if i % 3 else [i])])
        cloud = Picky()
        cloud.error = GrpcError(status, "x")
        uploader = _uploader(log, cloud)
        first = None
        for i in range(40):
            _captured(log, "new", [i])
            _sync(uploader)
            if i == 1:
                first = _numbers(cloud)
        assert len(first["b"]) == 24, "at once"
        assert uploader.set_aside == 24 + 16 and _unsent(log) == []
        assert len(_numbers(cloud)["c"]) == 8


def test_a_link_that_breaks_by_what_is_sent_keeps_other_streams_not_waiting():
    for error in (
        LinkError("http2", "call reset"),
        LinkError("call", "x"),
        LinkError("deadline", "x"),
    ):
        for threads in (1, 3):
            log = _log()
            good = _good(log)
            cloud = Picky()
            cloud.error = error
            uploader = _uploader(log, cloud)
            uploader.threads = threads
            aside = _syncs(uploader, 6)
            assert aside[-1] == 0 and len(_numbers(cloud)["new"]) >= 5
            cloud.error = None
            uploader.threads = 1
            _sync(uploader, 2)
            assert _unsent(log) == [] and _count(cloud) == good + 1 + 6


# What is on flash, by an older firmware or a bug, and cannot be made into SensorData.


def _raw(log, root, data, component="old", readings=1):
    """A parcel whose definition has the tree `root` and whose reading is `data`."""

    class Shape:
        period_us = 1000000

    Shape.root = root
    made = definition(Stream("rdk:component:sensor", component, "Readings"), Shape)
    log.append(made, b"\x05\x00" + data, readings)


def test_what_cannot_be_expanded_costs_itself_only_whatever_it_raises():
    deep = b"\x0b\x01" * 300 + b"\x01"
    odd = [
        ("None for a reading", lambda log: _raw(log, 13, b"\x01")),
        ("a number for a reading", lambda log: _raw(log, 13, b"\x04\x02")),
        ("a list for a reading", lambda log: _raw(log, 13, b"\x0b\x00")),
        ("a text for a reading", lambda log: _raw(log, 13, b"\x07\x01a")),
        ("no reading at all", lambda log: _raw(log, 13, b"\x00")),
        ("too deep", lambda log: _raw(log, 13, b"\x0a\x01\x01x" + deep)),
        ("far too deep", lambda log: _raw(log, 13, b"\x0a\x01\x01x" + deep * 2)),
        ("an unknown tag", lambda log: _raw(log, 13, b"\x0a\x01\x01x\x63")),
        ("bytes that are no text", lambda log: _raw(log, [10, "x", 7], b"\x02\xff\xfe")),
        ("bytes that are no name", lambda log: _raw(log, 13, b"\x0a\x01\x02\xff\xfe\x01")),
        ("cut short", lambda log: _raw(log, [10, "x", 6], b"\x01\x02")),
        ("an unknown code", lambda log: _raw(log, [10, "x", 99], b"\x01\x02")),
        ("a name that is none", lambda log: _raw(log, [10, 5, 5], b"\x01\x02\x03\x04")),
        ("a definition that is none", lambda log: log.append(b"{\xff", b"\x05\x00\x01", 1)),
        ("a definition of another kind", lambda log: log.append(b'{"a":1}', b"\x05\x00\x01", 1)),
        ("an empty definition", lambda log: log.append(b"[]", b"\x05\x00\x01", 1)),
        ("params that are none", lambda log: log.append(_bad_params(), b"\x05\x00\x02", 1)),
    ]
    for what, put in odd:
        for threads in (1, 4):
            log = _log([("a", [1, 2])])
            put(log)
            _add(log, [("b", [3]), ("a", [4])])
            put(log)
            cloud, port = FakeCloud(), FakePort()
            cloud.ready = lambda: True
            uploader = _uploader(log, cloud, port)
            uploader.threads = threads
            assert _sync(uploader) == 6000, what
            assert _count(cloud) == 4 and uploader.set_aside == 2 and _unsent(log) == [], what
            assert uploader.link == "up"
            said = [t for level, t in port.lines if level == "error"]
            assert len(said) == 2 and "is kept but not sent again" in said[0], said


def _bad_params():
    return b'["sensor","old","Readings",{"x":[]},[5],0,[10,"x",4]]'


def test_half_a_character_that_an_older_firmware_kept_costs_itself_only():
    log = _log([("a", [1])])
    _raw(log, [10, "x", 7], b"\x03\xed\xa0\xbc")
    _add(log, [("b", [2])])
    cloud = FakeCloud(refuses=b"\xed\xa0\xbc")  # CPython does not even read it
    uploader = _uploader(log, cloud)
    assert _sync(uploader) == 6000
    assert _count(cloud) == 2 and uploader.set_aside == 1 and _unsent(log) == []


def test_a_parcel_that_there_is_never_memory_for_is_set_aside_and_others_are_not():
    for all_of_them in (False, True):
        log = _log()
        good = _good(log)
        cloud, port = FakeCloud(), FakePort()
        uploader = _uploader(log, cloud, port)
        real = uploader._pieces_of

        def pieces(ref, start_us, real=real, all_of_them=all_of_them):
            data = b"".join([bytes(x) for x in real(ref, start_us)])
            if all_of_them or MARK in data:
                raise MemoryError("memory allocation failed")
            yield data

        uploader._pieces_of = pieces
        aside = _syncs(uploader, 8)
        if all_of_them:
            assert aside[-1] == 0 and cloud.taken == [] and "not enough memory" in uploader.link
        else:
            assert aside.index(1) in (TRIES - 2, TRIES - 1) and _unsent(log) == []
            assert _count(cloud) == good - 1 + 8
        uploader._pieces_of = real
        _sync(uploader, 3)
        assert _unsent(log) == [] and uploader.set_aside == (not all_of_them)


def test_what_else_goes_wrong_in_a_sync_does_not_end_what_syncs():
    log = _log([("a", [1])])
    cloud, port = FakeCloud(), FakePort()
    uploader = _uploader(log, cloud, port)

    async def before():
        raise KeyError("x")

    uploader.before = before
    assert 0 < _sync(uploader) < 6000 and "KeyError" in uploader.link
    uploader.before = None
    assert _sync(uploader) == 6000 and _count(cloud) == 1


def test_metadata_tells_the_stream_of_each_upload():
    log = _log()
    _good(log)
    cloud = Picky()
    cloud.error = GrpcError(3, "x")
    _sync(_uploader(log, cloud))
    for metadata, readings in cloud.taken:
        for reading in readings:
            assert dict(fields(reading))[2] and metadata[3][0] in (b"a", b"b", b"c")


def test_a_stream_that_waits_has_its_turn_although_others_go_on_capturing():
    """A pass over what waits takes so long that others always have something new."""
    log = _log([("slow", [n]) for n in range(5)] + [("quick", [0])])
    cloud = Picky()
    uploader = _uploader(log, cloud)
    real = cloud.call
    left = [60]

    async def call(path, message, size):
        await real(path, message, size)
        if left[0]:
            left[0] -= 1
            _add(log, [("quick", [1000 + left[0]])])

    cloud.call = call
    uploader.doubts.last = log.unsent().next().definition
    _sync(uploader)
    components = [str(metadata[3][0], "ascii") for metadata, _ in cloud.taken]
    assert "slow" in components[:3], components
    assert not _unsent(log)
