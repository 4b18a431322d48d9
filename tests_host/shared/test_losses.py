"""Every reading is in one place, or counted as lost where people look."""

import asyncio
import gc
import json
import os

from balance import ON_FLASH, assert_balanced, left
from test_app import BarePort, _app, _captured, _machine, _sensor

from cistern.app import App
from cistern.cloud.journal import Journal
from cistern.cloud.protobuf import fields
from cistern.errors import StoreError
from cistern.figures import status
from cistern.losses import LOGGER, MARK, send
from cistern.store import Log
from cistern.store.ram import RamDevice

FOLDER = "losses_test"
A = b'["sensor","a","Readings",{"k":0},[],100000,[10,"n",4]]'


class Dice:
    """Numbers that follow from a seed, the same on both interpreters."""

    def __init__(self, seed):
        self.n = seed

    def __call__(self, sides):
        self.n = (self.n * 1103515245 + 12345) & 0x3FFFFFFF
        return (self.n >> 8) % sides


class Wearing(RamDevice):
    """Sectors whose erase fails now and then, and all takes nothing while it is `broken`."""

    broken = False
    erases = 0

    def ioctl(self, op, arg):
        if op == 6:
            self.erases += 1
            if self.erases % 7 == 3:
                return -5
        return RamDevice.ioctl(self, op, arg)

    def writeblocks(self, n, buf, off=0):
        if self.broken:
            raise OSError(5)
        RamDevice.writeblocks(self, n, buf, off)


def _text(tag, nth, folder):
    a, b = _sensor("a", 50, counter=True), _sensor("b", 20)
    a["service_configs"][0]["attributes"]["capture_methods"][0].update(tags=[tag], cache_size_kb=1)
    service = {"delete_every_nth_when_disk_full": nth}
    if folder:
        service["capture_dir"] = FOLDER
    return json.dumps(_machine(*([a, b] if tag != "alone" else [a]), **service))


class Life:
    """A board from start to start, with a cloud that takes parcels late, refuses some, or is away.

    device: of BarePort.flash. After each step the status must add up.
    """

    def __init__(self, seed, device, nth=5, folder=False):
        self.dice = Dice(seed)
        self.port = BarePort(0)
        self.port.flash = device
        self.port.room = lambda path, own: 7 * 4096
        self.nth, self.folder = nth, folder
        self.kept = device is not None or folder
        self.refs = []
        self.total = [0, 0]  # of all starts before this one: durable, synced
        self.app = None
        self.earlier = {}
        self.start()

    def start(self):
        if self.app:
            before = self.status()
            self.earlier = {}
            self.total = [0, 0] if not self.kept else self.total
            if self.kept:
                self.earlier = left(before)
                for row in before["streams"].values():
                    self.total[0] += row["durable"]
                    self.total[1] += row["synced"]
        self.refs = []
        self.app = _app(_text("x", self.nth, self.folder), self.port)
        self.app.log.delete_every_nth = self.nth

    def status(self):
        found = self.app.status()
        assert_balanced(found, self.earlier)
        self.whole(found)
        return found

    def whole(self, found):
        """All that was ever put on this log is in the cloud, on it, or counted by its totals."""
        rows = found["streams"].values()
        durable = sum([row["durable"] for row in rows]) + self.total[0]
        synced = sum([row["synced"] for row in rows]) + self.total[1]
        lost = 0
        for by_reason in found["losses"].values():
            lost += sum([by_reason.get(reason, 0) for reason in ON_FLASH])
        pending = sum([row["pending"] for row in rows])
        assert durable == synced + pending + lost, (durable, synced, pending, lost)

    def step(self):
        app, dice = self.app, self.dice
        what = dice(20)
        if what < 9:
            _capture(app, 4 + dice(6))
            app.engine.flush()
        elif what < 12:
            app.log.maintain(50000, app.port.ticks_us)
        elif what < 15:
            self.gather(1 + dice(12))
            if what == 13:
                # While these are under way the log goes on, and may give them up.
                return
            self.arrive()
        elif what == 15:
            ref = app.log.unsent().next()
            if ref and ref.sector not in [r.sector for r in self.refs]:
                app.log.set_aside(ref)
        elif what == 16:
            app.take(json.loads(_text(("x", "y", "alone")[dice(3)], self.nth, self.folder)))
        elif what == 17:
            self.start()
        elif what == 18 and isinstance(self.port.flash, Wearing):
            self.port.flash.broken = True
            _capture(app, 8)
            app.engine.flush()
            self.status()
            self.port.flash.broken = False
            app.port.now += 2000000
            app.engine.flush()
        else:
            self.arrive()

    def gather(self, count):
        cursor = self.app.log.unsent()
        ref = cursor.next()
        known = [r[:2] for r in self.refs]
        while ref and len(self.refs) < count:
            if ref[:2] not in known:
                self.refs.append(ref)
            ref = cursor.next(ref.definition)

    def arrive(self):
        for ref in self.refs:
            if self.app.log.mark_sent(ref):
                self.app.count_synced(ref.definition, ref.readings)
        self.refs = []


def _capture(app, seconds):
    for _ in range(seconds * 25):
        app.port.now += 40000
        for c in app.engine.collectors:
            c.serve()


def _live(seed, steps, device, **more):
    life = Life(seed, device, **more)
    if hasattr(gc, "freeze"):
        gc.freeze()  # borrowing collects garbage, which takes long where pytest is in memory, too
    try:
        for _ in range(steps):
            life.step()
            life.status()
    except Exception:
        print("seed", seed)
        raise
    finally:
        if hasattr(gc, "freeze"):
            gc.unfreeze()
    return life


def _remove(folder):
    try:
        for name in os.listdir(folder):
            os.remove(folder + "/" + name)
        os.rmdir(folder)
    except OSError:
        pass


def test_a_boards_status_adds_up_at_every_moment_of_its_life():
    reasons = set()
    for seed in range(1, 3):
        for nth in (5, 0):
            life = _live(seed, 150, RamDevice(12 if nth else 7), nth=nth)
            for row in life.status()["losses"].values():
                reasons.update(row)
    assert {"log_full", "thinned", "refused"} <= reasons, reasons


def test_it_adds_up_on_flash_that_fails():
    reasons = set()
    for seed in range(1, 3):
        for row in _live(seed, 120, Wearing(9)).status()["losses"].values():
            reasons.update(row)
    assert {"log_full", "flash_full"} <= reasons, reasons


def test_it_adds_up_in_ram():
    assert _live(7, 150, None).status()["losses"]


def test_it_adds_up_in_a_folder():
    _remove(FOLDER)
    try:
        assert _live(8, 100, None, folder=True).status()["losses"]
    finally:
        _remove(FOLDER)


def test_a_parcel_that_arrives_after_its_sector_was_given_up_is_synced_and_not_lost():
    app = _app(_text("x", 0, False), BarePort(5))
    _captured(app, 2)
    app.engine.flush()
    refs = []
    cursor = app.log.unsent()
    ref = cursor.next()
    while ref:
        refs.append(ref)
        ref = cursor.next()
    while app.log.sequence[refs[0].block] == refs[0].sector:
        _captured(app, 2)
        app.engine.flush()
    lost = app.status()["streams"]["a/Readings(k=0)"]["lost_log_full"]
    for ref in refs:
        assert app.log.mark_sent(ref)
        app.count_synced(ref.definition, ref.readings)
    row = app.status()["streams"]["a/Readings(k=0)"]
    assert row["synced"] > 50 and row.get("lost_log_full", 0) == lost - row["synced"]
    assert_balanced(app.status())
    # Also after a restart.
    again = Log.mount(app.log.device, app.port.urandom)
    assert again.state.losses == app.log.state.losses


def _aside(sectors=8, parcels=12):
    log = Log.mount(RamDevice(sectors), lambda n: bytes(range(n)))
    for i in range(parcels):
        log.append(A, b"z" * 300, 10 + i)
    ref = log.unsent().next()
    return log, ref


def test_what_is_set_aside_is_counted_once_also_when_its_sector_goes():
    log, ref = _aside(5)
    assert log.set_aside(ref) and not log.set_aside(ref)
    for _ in range(2):
        assert list(log.stats().lost.values()) == [10]
        assert log.stats().set_aside == 10
        log = Log.mount(log.device, lambda n: bytes(range(n)))
    readings = 10 + sum(range(11, 22))
    while log.sequence[ref.block] == ref.sector:
        log.append(A, b"z" * 300, 1)
        readings += 1
    for _ in range(2):
        lost = {reason: n for (_, reason), n in log.stats().lost.items()}
        assert lost["refused"] == 10 and log.stats().set_aside == 0
        assert sum(lost.values()) + log.stats().unsent_readings[A] == readings
        log = Log.mount(log.device, lambda n: bytes(range(n)))


def test_a_power_cut_between_counting_a_parcel_as_refused_and_marking_it_counts_it_once():
    class Cut(Exception):  # noqa: N818  not an error
        pass

    class Device(RamDevice):
        cut = False

        def writeblocks(self, n, buf, off=0):
            if self.cut and len(buf) == 1:
                raise Cut
            RamDevice.writeblocks(self, n, buf, off)

    device = Device(8)
    log = Log.mount(device, lambda n: bytes(range(n)))
    log.append(A, b"first", 7)
    log.append(A, b"second", 5)
    device.cut = True
    try:
        log.set_aside(log.unsent().next())
        raise AssertionError("it was not cut")
    except Cut:
        device.cut = False
    for _ in range(3):
        log = Log.mount(device, lambda n: bytes(range(n)))
        assert log.unsent().next().readings == 5
        assert list(log.stats().lost.values()) == [7] and log.stats().set_aside == 7


def test_a_parcel_whose_sector_goes_for_the_count_itself_is_counted_there():
    """The record of the refusal needs a new sector, and the oldest is the parcel's own."""
    found = set()
    for size in range(60, 90):
        log, ref = _aside(4, 2)
        while log.sequence[ref.block] == ref.sector:
            log.append(A, b"z" * size, 1)
        appended = log.stats().unsent_readings[A] + sum(log.stats().lost.values()) - 21
        log, ref = _aside(4, 2)
        for _ in range(appended - 1):
            log.append(A, b"z" * size, 1)
        readings = 21 + appended - 1
        here = log.sequence[ref.block] == ref.sector
        done = log.set_aside(ref)
        found.add((here, done))
        lost = sum(log.stats().lost.values())
        assert lost + log.stats().unsent_readings.get(A, 0) == readings
    assert (True, False) in found and (True, True) in found, found


def test_the_first_status_after_a_stop_counts_all_that_is_on_flash():
    """While a board captures it looks through a sector in each call, else through all."""
    app = _app(_text("x", 0, False), BarePort(24))
    for _ in range(20):
        _capture(app, 10)
        app.engine.flush()
    had = left(app.status())
    for running in (True, False):
        again = _app(_text("x", 0, False), app.port)
        again.engine.running = running
        found = again.status()
        assert bool(found["uncounted"]) == running
        while found["uncounted"]:
            sectors = found["uncounted"]
            found = again.status()
            assert found["uncounted"] < sectors
        assert left(found) == had and sum(had.values()) > 1000
        assert_balanced(found, had)


def test_a_stream_that_is_unknown_by_now_is_called_by_its_number():
    app = _app(_text("x", 0, False))
    app.log.append_drop(b"a definition of long ago", "late", 3, 1, 2)
    found = status(app)
    (name,) = [n for n in found["losses"] if n[0] == "#"]
    assert found["losses"][name] == {"late": 3} and len(name) == 9


def test_what_was_lost_before_the_first_reading_has_its_streams_name():
    app = _app(_text("alone", 0, False))
    (collector,) = app.engine.collectors
    early = collector.ring.definition
    app.log.append_drop(early, "source_error", 3, 1, 2)
    assert status(app)["losses"] == {"a/Readings(k=0)": {"source_error": 3}}
    collector.ring.put_payload(app.port.ticks_us(), 0, {"readings": {"n": 1}})
    assert collector.ring.definition != early
    app.log.append_drop(collector.ring.definition, "source_error", 2, 1, 2)
    assert status(app)["losses"] == {"a/Readings(k=0)": {"source_error": 5}}
    app.tell_losses(60)
    assert [t.split(":")[0] for t in _warned(app) if "lost" in t] == ["a/Readings(k=0)"]


# What is said of it.


def _warned(app):
    return [text for level, text in app.port.lines if level == "warning"]


def test_losses_are_said_once_a_minute_by_stream_and_reason():
    app = _app(_text("x", 0, False))
    for n in range(3):
        app.log.append_drop(A, "late", 5, 1, 2)
        app.log.append_drop(A, "source_error", 1, 1, 2)
        app.tell_losses(1)
        assert len(_warned(app)) == 2, n
    said = sorted(_warned(app), reverse=True)
    assert "5 readings lost, late" in said[0] and "; 5 since" in said[0], said
    app.tell_losses(60)
    said = sorted(_warned(app)[2:])
    assert said[0] != said[1]
    assert "10 readings lost, late" in said[0] and "; 15 since" in said[0], said
    assert "2 readings lost, source_error" in said[1], said
    app.tell_losses(60)
    assert len(_warned(app)) == 4


def test_what_earlier_boots_lost_is_not_said_again_but_sent_again():
    app = _app(_text("x", 0, False))
    app.log.append_drop(A, "late", 5, 1, 2)
    app = _app(_text("x", 0, False), app.port)
    app.tell_losses(1)
    assert _warned(app) == [] and app.losses_due
    assert [line["count"] for line in _told(app)] == [5] and not app.losses_due


class Robot:
    def __init__(self):
        self.requests = []
        self.fails = False

    async def call(self, method, w):
        assert method == "Log"
        if self.fails:
            raise StoreError("no answer")
        self.requests.append(bytes(w.view()))


def _told(app):
    """What the board tells its cloud now."""
    app.robot = Robot()
    app.cloud = app.robot
    asyncio.run(send(app, (0, 1795365111000000, 1)))
    found = []
    for request in app.robot.requests:
        for number, entry in fields(request):
            line = dict(fields(entry))
            assert number == 2 and str(bytes(line[4]), "utf-8") == LOGGER
            text = str(bytes(line[5]), "utf-8")
            assert text.startswith(MARK)
            found.append(json.loads(text[len(MARK) :]))
    return found


def test_the_cloud_is_told_totals_of_what_changed():
    app = _app(_text("x", 0, False))
    (definition,) = [c.ring.definition for c in app.engine.collectors if c.name[0] == "a"]
    app.port.now = 5000000
    app.log.append_drop(definition, "late", 5, 1, 2)
    app.tell_losses(1)
    (line,) = _told(app)
    assert line["stream"] == ["rdk:component:sensor", "a", "Readings", {"k": 0}]
    assert (line["reason"], line["count"], line["boot"]) == ("late", 5, app.log.boot)
    assert line["last"] == 1795365116 and line["first"] <= line["last"] and len(line["log"]) == 16
    assert _told(app) == []
    for i in range(9):
        app.log.append_drop(b"no. %d" % i, "late", 1, 1, 2)
    app.log.append_drop(definition, "late", 1, 1, 2)
    app.tell_losses(60)
    lines = _told(app)
    assert len(lines) == 10 and len(app.robot.requests) == 3
    assert [line["count"] for line in lines if line["stream"]] == [6]


def test_what_was_not_taken_is_told_again():
    app = _app(_text("x", 0, False))
    app.log.append_drop(A, "late", 5, 1, 2)
    app.tell_losses(1)
    app.robot = Robot()
    app.robot.fails = True
    try:
        asyncio.run(send(app, (0, 1795365111000000, 1)))
        raise AssertionError("it did not fail")
    except StoreError:
        assert app.losses_due
    assert [line["count"] for line in _told(app)] == [5]


def test_lines_of_losses_take_no_room_of_the_other_lines():
    app = App(BarePort())
    app.port.health = None
    app.journal = Journal(app.port, "secret")
    assert app.load("machine.json", _text("x", 0, False))
    app.log.append_drop(A, "late", 5, 1, 2)
    app.tell_losses(1)
    assert len(_warned(app)) == 1 and app.journal.lines == []
