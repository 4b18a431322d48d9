"""The flash log as capture and sync use it."""

import gc

from cistern.errors import StoreError
from cistern.record import Reader, Ring, Shape, Stream, read_definition
from cistern.store import Log
from cistern.store.ram import RamDevice

A, B = b"definition of stream A", b"of B"


def random(n):
    return bytes(range(1, n + 1))


def mounted(sectors=8, size=4096):
    device = RamDevice(sectors, size)
    return device, Log.mount(device, random)


def found(log, definition=None):
    """(payload, definition, readings) of everything unsent."""
    out, buf = [], bytearray(4096)
    cursor = log.unsent()
    while True:
        ref = cursor.next(definition)
        if ref is None:
            return out
        out.append((bytes(log.read(ref, buf)), ref.definition, ref.readings))


def refs(log, definition=None):
    out, cursor = [], log.unsent()
    while True:
        ref = cursor.next(definition)
        if ref is None:
            return out
        out.append(ref)


def test_a_reading_goes_from_ring_to_log_and_back():
    stream = Stream("rdk:component:board", "b", "Analogs", {"reader_name": "A1"}, ("t",))
    ring = Ring(stream, 1000, 10000, Shape(((("value",), "u16"),)))
    for i in range(20):
        ring.put(i * 10000, 20, [i])
    device, log = mounted()
    buf = bytearray(1100)
    sealed = ring.seal(buf, 200000, 10**12)
    log.append(sealed.definition, sealed.payload, sealed.readings)
    ring.release()
    log = Log.mount(device, random)
    (ref,) = refs(log)
    assert (ref.readings, ref.size) == (20, len(sealed.payload)) and ref.boot == log.boot - 1
    again, shape = read_definition(ref.definition)
    assert again == stream
    payload = log.read(ref, bytearray(4096))
    readings = [(a, b, shape.payload(v)) for a, b, v in Reader(shape, payload)]
    times = [10**12 - 200000 + i * 10000 for i in range(20)]
    assert readings == [(times[i], times[i] + 20, {"value": i}) for i in range(20)]
    assert log.mark_sent(ref)
    assert refs(Log.mount(device, random)) == []


def test_parcels_come_oldest_first_and_by_stream():
    _, log = mounted()
    for i in range(60):
        log.append(B if i % 3 else A, b"%03d" % i * 40, i)
    assert [r for _, _, r in found(log)] == list(range(60))
    assert [r for _, _, r in found(log, A)] == list(range(0, 60, 3))
    of_a = sum(range(0, 60, 3))
    assert log.stats().unsent_readings == {A: of_a, B: sum(range(60)) - of_a}


def test_a_cursor_sees_what_is_appended_later():
    device, log = mounted()
    cursor = log.unsent()
    for i in range(200):
        assert cursor.next() is None
        log.append(A, b"x" * 100, i)
        assert cursor.next().readings == i
        if i == 100:
            log = Log.mount(device, random)
            cursor = log.unsent()
            for k in range(101):
                assert cursor.next().readings == k


def test_names_are_never_used_again():
    device, log = mounted()
    seen = set()
    for i in range(3000):
        log.append(A, b"y" * (i % 300), 1)
        for r in refs(log):
            seen.add((r.sector, r.index))
            assert log.mark_sent(r)
        while log.maintain(10**6, lambda: 0):
            pass
        if i % 100 == 99:
            gc.collect()  # or the names lie scattered over MicroPython's heap
            log = Log.mount(device, random)
    assert len(seen) == 3000
    assert log.stats().lost == {}


def test_marks_survive_a_mount_and_tell_what_is_gone():
    device, log = mounted(4)
    log.append(A, b"first", 7)
    (first,) = refs(log)
    for _ in range(1000):
        log.append(A, b"z" * 300, 1)
    # So long ago that the log does not know any more whether it had counted them as lost.
    assert not log.mark_sent(first)
    assert log.read(first, bytearray(100)) is None
    for r in refs(log)[::2]:
        assert log.mark_sent(r) and log.mark_sent(r)
    left = [(r.sector, r.index) for r in refs(log)]
    log = Log.mount(device, random)
    assert [(r.sector, r.index) for r in refs(log)] == left


def test_a_full_log_gives_up_the_oldest_and_counts_them():
    device, log = mounted(4)
    for _ in range(200):
        log.append(A, b"z" * 200, 3)
    held = sum(r for _, _, r in found(log))
    assert 0 < held < 600
    for _ in range(3):
        assert list(log.stats().lost.values()) == [600 - held]
        assert log.stats().unsent_readings == {A: held}
        log = Log.mount(device, random)


def test_a_parcel_given_up_on_its_way_to_the_cloud_is_not_lost():
    device, log = mounted(4)
    log.append(A, b"first", 7)
    (first,) = refs(log)
    while not log.stats().lost:
        log.append(A, b"z" * 300, 1)
    (lost,) = log.stats().lost.values()
    assert lost > 7
    assert log.mark_sent(first)
    for _ in range(2):
        assert list(log.stats().lost.values()) == [lost - 7]
        log = Log.mount(device, random)


def test_what_is_set_aside_is_kept_but_not_offered():
    device, log = mounted()
    for i in range(3):
        log.append(A, b"z" * 200, i)
    log.stats()
    assert log.set_aside(refs(log)[1])
    for _ in range(2):
        assert [r.readings for r in refs(log)] == [0, 2] and log.stats().set_aside == 1
        log = Log.mount(device, random)


class Stubborn(RamDevice):
    """Takes no marks, as a filesystem that others filled; or says that it does and takes none."""

    marks = True
    silent = False

    def writeblocks(self, n, buf, off=0):
        if len(buf) == 1 and not self.marks:
            if not self.silent:
                raise OSError(28)
            return
        RamDevice.writeblocks(self, n, buf, off)


def unmarked(silent):
    device = Stubborn(8)
    log = Log.mount(device, random)
    device.marks, device.silent = False, silent
    said = []
    log.tell = lambda level, text: said.append((level, text))
    for _ in range(30):
        log.append(A, b"z" * 200, 1)
    log.stats()
    left = refs(log)
    for r in left[:29]:
        assert log.mark_sent(r)
    assert log.set_aside(left[29]) and log.mark_sent(left[28])
    assert refs(log) == []
    assert log.stats().unsent_readings == {} and log.stats().set_aside == 1
    assert len(said) == 1 and said[0][0] == "error" and "cannot mark" in said[0][1]
    # Its sectors are used again, so a medium that was full has room.
    while log.maintain(10**6, lambda: 0):
        pass
    assert log.used() == 1 and len(log.marks) < 20
    for _ in range(100):
        log.append(A, b"z" * 300, 1)
    stats = log.stats()
    assert sum(stats.lost.values()) + stats.unsent_readings[A] == 101  # with the one set aside
    assert not log.marks


def test_a_parcel_that_cannot_be_marked_is_not_offered_again_in_this_boot():
    for silent in (False, True):
        unmarked(silent)


def test_marks_that_can_neither_be_written_nor_remembered_are_no_success():
    device = Stubborn(8)
    log = Log.mount(device, random)
    device.marks = False
    for _ in range(600):
        log.append(A, b"", 1)
        log.append(B, b"", 1)
    left = refs(log, A)
    failed = None
    try:
        for r in left:
            log.mark_sent(r)
            failed = r
    except MemoryError as e:
        assert "mark" in str(e)
    assert [r[:2] for r in refs(log, A)] == [r[:2] for r in left[left.index(failed) + 1 :]]
    assert log.stats().unsent_readings == {A: len(refs(log, A)), B: 600}


def test_losses_and_anchors_survive():
    device, log = mounted()
    log.append_drop(A, "ring_full", 5, 10, 20)
    log.append_anchor(10**7, 1700000000 * 10**6, 50000)
    for _ in range(100):
        log.append(A, b"z" * 200, 3)
        for r in refs(log):
            log.mark_sent(r)
    log.append_drop(A, "ring_full", 6, 10, 20)
    first = log.boot
    log = Log.mount(device, random)
    log.append_drop(A, "late", 1, 10, 20)
    assert sorted(log.stats().lost.values()) == [1, 11]
    assert log.anchors()[first] == (10**7, 1700000000 * 10**6, 50000)
    log.append_anchor(5, 6, 7)
    assert log.anchors()[log.boot] == (5, 6, 7) and log.boot == first + 1


def test_foreign_data_is_refused_and_kept():
    device = RamDevice(8)
    device.writeblocks(5, b"precious", 100)
    before = bytes(device._data)
    error = None
    try:
        Log.mount(device, random)
    except StoreError as e:
        error = str(e)
    assert "sector 5" in error and "cistern log erase" in error
    assert device._data == before


def test_room_fills_a_sector_to_its_end():
    _, log = mounted()
    for _ in range(40):
        log.append(A, b"q" * min(500, log.room(A)), 1)
    used = sum(r.size for r in refs(log))
    assert used > 4096 * ((log.stats().used // 4096) - 1) * 95 // 100
