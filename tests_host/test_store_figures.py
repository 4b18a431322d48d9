"""What the log costs its flash: wear, write amplification, erases while appending, reads while
mounting.

CISTERN_LONG=1 makes it the million appends of the bar.
"""

import os
from itertools import pairwise
from random import Random

import pytest

from cistern.store import Log
from cistern.store.ram import RamDevice

LONG = bool(os.environ.get("CISTERN_LONG"))
DEFINITION = (
    b'["board","my-board","Analogs",{"reader_name":"A1"},["greenhouse"],10000,[10,"value",12]]'
)


class Counting(RamDevice):
    """A device that counts what is done to it."""

    def __init__(self, sectors, sector_size=4096):
        super().__init__(sectors, sector_size)
        self.erases = [0] * sectors
        self.programmed = self.programs = self.reads = self.read_bytes = 0

    def readblocks(self, n, buf, off=0):
        self.reads += 1
        self.read_bytes += len(buf)
        super().readblocks(n, buf, off)

    def writeblocks(self, n, buf, off=0):
        self.programs += 1
        self.programmed += len(buf)
        super().writeblocks(n, buf, off)

    def ioctl(self, op, arg):
        if op == 6:
            self.erases[arg] += 1
        return super().ioctl(op, arg)


def online(log, payloads, every=20):
    """Appends, with sync and maintenance now and then."""
    appended = 0
    for i, payload in enumerate(payloads):
        log.append(DEFINITION, payload, 1)
        appended += len(payload)
        if i % every == 0:
            cursor = log.unsent()
            while ref := cursor.next():
                log.mark_sent(ref)
            while log.maintain(10**6, lambda: 0):
                pass
    return appended


def test_sectors_wear_evenly():
    rng = Random(1)
    device = Counting(32)
    log = Log.mount(device, rng.randbytes)
    appends = 1_000_000 if LONG else 20_000
    online(
        log, (bytes(rng.choice((8, 20, 100, 500, rng.randrange(900)))) for _ in range(appends)), 5
    )
    assert log.forced_erases == 0
    assert max(device.erases) <= 1.1 * sum(device.erases) / len(device.erases)


def test_wear_stays_even_when_the_log_is_full_and_mounted_again_and_again():
    rng = Random(1)
    device = Counting(16)
    for _ in range(100):
        log = Log.mount(device, rng.randbytes)
        for _ in range(100):
            log.append(DEFINITION, bytes(rng.randrange(500)), 1)
            log.maintain(60000, lambda: 0)
    assert max(device.erases) <= 1.1 * sum(device.erases) / len(device.erases) + 1


def test_little_is_written_beside_the_parcels():
    device = Counting(64)
    log = Log.mount(device, Random(1).randbytes)
    log.append_anchor(1, 2, 3)
    appended = online(log, (bytes(512) for _ in range(2000)))
    assert device.programmed / appended <= 1.10


@pytest.mark.parametrize("sectors", [16, 256])
def test_an_append_does_not_depend_on_the_size_of_the_log_and_never_waits_for_an_erase(sectors):
    device = Counting(sectors)
    log = Log.mount(device, Random(1).randbytes)
    most = 0
    for i in range(sectors * 12):
        before = device.reads + device.programs
        erases = log.erases
        log.append(DEFINITION, bytes(500), 1)
        assert log.erases == erases
        most = max(most, device.reads + device.programs - before)
        if i % 3 == 0:
            cursor = log.unsent()
            for _ in range(4):
                if ref := cursor.next():
                    log.mark_sent(ref)
        while log.maintain(10**6, lambda: 0):
            pass
    # Beginning a sector: two headers, the state, a definition, the parcel, and a look at the
    # sector left.
    assert most <= 60


def test_mounting_reads_the_headers_and_two_sectors():
    device = Counting(256)
    log = Log.mount(device, Random(1).randbytes)
    for _ in range(3000):
        log.append(DEFINITION, bytes(512), 100)
        log.maintain(60000, lambda: 0)
    device.reads = device.read_bytes = 0
    Log.mount(device, Random(1).randbytes)
    assert device.reads <= 256 + 150 and device.read_bytes <= 256 * 36 + 3 * 4096 + 2000


def test_a_blank_partition_is_not_erased():
    device = Counting(256)
    log = Log.mount(device, Random(1).randbytes)
    for _ in range(1000):
        log.append(DEFINITION, bytes(512), 100)
        while log.maintain(10**6, lambda: 0):
            pass
    assert sum(device.erases) == 0


def test_maintenance_keeps_to_its_budget():
    class Slow(Counting):
        now = 0

        def ioctl(self, op, arg):
            if op == 6:
                self.now += 45000
            return super().ioctl(op, arg)

    device = Slow(16)
    log = Log.mount(device, Random(1).randbytes)
    online(log, (bytes(512) for _ in range(108)), every=200)
    cursor = log.unsent()
    while ref := cursor.next():
        log.mark_sent(ref)
    erases = log.erases
    assert log.maintain(50000, lambda: device.now) and log.erases == erases + 1
    while log.maintain(50000, lambda: device.now):
        pass
    assert log.erases == erases + 2


def test_thinning_leaves_a_picture_of_the_whole_time_instead_of_its_end():
    device = Counting(64)
    log = Log.mount(device, Random(1).randbytes)
    log.delete_every_nth = 5
    for i in range(800):
        log.append(DEFINITION, b"%04d" % i + bytes(500), 1)
        while log.maintain(10**6, lambda: 0):
            pass
    kept, cursor, buf = [], log.unsent(), bytearray(4096)
    while ref := cursor.next():
        kept.append(int(bytes(log.read(ref, buf)[:4])))
    lost = {reason: n for (_, reason), n in log.stats().lost.items()}
    assert lost == {"thinned": 800 - len(kept)}
    assert kept == sorted(kept) and 250 < len(kept) < 440
    gaps = [b - a for a, b in pairwise(kept)]
    assert max(gaps) < 200 and kept[0] < 200


def backlog(sectors):
    """A log that is all but full of what is unsent, and the readings in it."""
    device = Counting(sectors)
    log = Log.mount(device, Random(1).randbytes)
    readings = 0
    while log.used() * 100 < 90 * sectors:
        log.append(DEFINITION, bytes(120), 1)
        readings += 1
    return device, log, readings


def operations(device, work):
    """What `work` does to the device; at most 300 are a step beside which capture can live."""
    before = device.reads + device.programs
    result = work()
    return device.reads + device.programs - before, result


@pytest.mark.parametrize("sectors", [64, 512])
def test_thinning_goes_on_a_sector_at_a_time(sectors):
    device, log, readings = backlog(sectors)
    log.delete_every_nth = 5
    more = True
    while more:
        # Without a budget it does one thing.
        n, more = operations(device, lambda: log.maintain(0, lambda: 0))
        assert n <= 300
    lost = sum(log.stats().lost.values())
    assert 0.15 < lost / readings < 0.25
    assert log.stats().unsent_readings == {DEFINITION: readings - lost}


def test_what_earlier_boots_left_is_counted_a_sector_at_a_time():
    device, log, readings = backlog(512)
    log = Log.mount(device, Random(1).randbytes)
    n, stats = operations(device, lambda: log.stats(1))
    assert n <= 300 and stats.uncounted
    more = True
    while more:
        log.append(DEFINITION, bytes(120), 1)
        readings += 1
        n, more = operations(device, lambda: log.maintain(0, lambda: 0))
        assert n <= 300
    n, stats = operations(device, lambda: log.stats(0))
    assert n == 0 and not stats.uncounted and stats.unsent_readings == {DEFINITION: readings}
    assert stats.unsent == 120 * readings
