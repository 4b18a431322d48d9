"""The application: what a configuration makes of a board."""

import asyncio
import gc
import json
import sys

from cistern import app as app_module
from cistern import borrow as borrow_module
from cistern import config, rings
from cistern.app import App
from cistern.config import ConfigError
from cistern.store.ram import RamDevice
from cistern.sync import clock

MICROPYTHON_ONLY = {"test_borrowed_code_is_given_back": "it measures MicroPython's heap"}


class BarePort:
    """A board with its flash in RAM and one analog pin."""

    reset_cause = "watchdog"

    def __init__(self, sectors=24):
        self.flash = RamDevice(sectors) if sectors else None
        self.lines = []
        self.state = {}
        self.now = 1000000

    def urandom(self, n):
        return bytes(range(n))

    def ticks_us(self):
        self.now += 10
        return self.now & 0x3FFFFFFF

    def ticks_diff(self, a, b):
        return ((a - b + (1 << 29)) & 0x3FFFFFFF) - (1 << 29)

    def uptime_us(self):
        return self.now

    def utc_us(self):
        return None

    free = -1

    def mem_free(self):
        return self.free

    def log(self, level, text):
        self.lines.append((level, text))

    def load_state(self, name):
        return self.state.get(name)

    def save_state(self, name, text):
        self.state[name] = text


def _reload(app, text):
    """Run another configuration while the board runs."""
    app.take(config.load(text))


def _text(hz=10, **service):
    method = {"method": "Readings", "capture_frequency_hz": hz}
    config = {"type": "data_manager", "attributes": {"capture_methods": [method]}}
    return json.dumps(
        {
            "components": [
                {
                    "name": "c",
                    "type": "sensor",
                    "model": "fake",
                    "attributes": {"counter": True},
                    "service_configs": [config],
                }
            ],
            "services": [{"name": "dm", "type": "data_manager", "attributes": service}],
        }
    )


def _app(text, port=None):
    app = App(port or BarePort())
    assert app.load("machine.json", text)
    return app


def test_a_plan_becomes_collectors():
    app = _app(_text())
    assert [c.name for c in app.engine.collectors] == ["c/Readings"]
    row = app.status()["streams"]["c/Readings"]
    known = "captured", "late", "missed", "dropped", "durable", "buffered", "synced", "pending"
    assert set(row) == set(known)


def test_the_status_tells_why_the_board_started():
    assert _app(_text()).status()["reset"] == "watchdog"


def test_capture_can_be_disabled_for_the_whole_machine():
    assert _app(_text(capture_disabled=True)).engine.collectors == []


def test_a_full_log_is_thinned_as_configured():
    """Sectors are given up here and there, not only from the old end."""
    lost = {}
    for nth in (5, 0):
        app = _app(_text(delete_every_nth_when_disk_full=nth))
        (c,) = app.engine.collectors
        for _ in range(20000):
            app.port.now += 100000
            c.serve()
            if c.ring.used > 400:
                assert app.engine.seal(c)
                while app.log.maintain(50000, app.port.ticks_us):
                    pass
        reasons = {reason for _, reason in app.log.stats().lost}
        lost[nth] = reasons & {"thinned", "log_full"}
    assert "thinned" in lost[5]
    assert lost[0] == {"log_full"}


def test_a_board_without_flash_keeps_its_log_in_ram_and_says_so():
    port = BarePort(sectors=0)
    app = _app(_text(), port)
    assert app.log is not None
    assert "a reset loses" in port.lines[0][1]


def test_the_last_good_configuration_runs_when_the_new_one_is_broken():
    port = BarePort()
    _app(_text(), port)
    app = App(port)
    assert app.load("machine.json", '{"components": [,]}')
    assert len(app.engine.collectors) == 1
    level, text = port.lines[0]
    assert level == "error" and text.startswith("machine.json:1:17: ")


def test_without_any_good_configuration_nothing_is_pretended():
    app = App(BarePort())
    assert not app.load("machine.json", "{")


def _sensor(name, *rates, **attributes):
    """A fake sensor with a collector of each rate; one stream has one rate, so they differ in a
    parameter that the sensor does not look at.
    """
    methods = []
    for i, hz in enumerate(rates):
        method = {"method": "Readings", "capture_frequency_hz": hz, "additional_params": {"k": i}}
        methods.append(method)
    config = {"type": "data_manager", "attributes": {"capture_methods": methods}}
    return {
        "name": name,
        "type": "sensor",
        "model": "fake",
        "attributes": attributes,
        "service_configs": [config],
    }


def _methods(component):
    return component["service_configs"][0]["attributes"]["capture_methods"]


def _machine(*components, **service):
    manager = {"name": "dm", "type": "data_manager", "attributes": service}
    return {"components": list(components), "services": [manager]}


def _running(app):
    return {c.name: c for c in app.engine.collectors}


def _captured(app, seconds=3):
    """Serve what is due for so long."""
    end = app.port.now + seconds * 1000000
    while app.port.now < end:
        app.port.now += 1000
        for c in app.engine.collectors:
            c.serve()


def _state(c):
    return c, c.ring, c.ring.readings, c.tick, c.captured, c.missed, c.durable


def test_what_did_not_change_goes_on_undisturbed():
    a, b = _sensor("a", 10, 3, counter=True), _sensor("b", 7)
    app = _app(json.dumps(_machine(a, b)))
    _captured(app)
    before = [_state(c) for c in app.engine.collectors]
    assert min([row[4] for row in before]) >= 8
    # Another way to say the same, in another order, as the cloud does with its floats and nulls.
    again = _machine(_sensor("b", 7.0), dict(a, attributes={"x": None, "counter": True}))
    _reload(app, json.dumps(again))
    assert [_state(c) for c in app.engine.collectors] == before
    _reload(app, json.dumps(_machine(_sensor("c", 5), a, _sensor("b", 7, 2))))
    running = _running(app)
    assert [_state(running[row[0].name]) for row in before] == before
    new = sorted(set(running) - {row[0].name for row in before})
    assert new == ["b/Readings(k=1)", "c/Readings(k=0)"]
    _captured(app, 1)
    assert running["c/Readings(k=0)"].captured >= 4
    assert sum([c.missed for c in app.engine.collectors]) == 0


def test_what_changed_is_sealed_first_and_its_counts_go_on():
    app = _app(json.dumps(_machine(_sensor("a", 10), _sensor("b", 7))))
    _captured(app)
    a, b = [_running(app)[name] for name in ("a/Readings(k=0)", "b/Readings(k=0)")]
    captured = a.captured
    assert a.ring.readings > 0 and b.ring.readings > 0
    changed = _sensor("a", 10)
    for change in ({"capture_frequency_hz": 20}, {"cache_size_kb": 2}, {"tags": ["x"]}):
        _methods(changed)[0].update(change)
        _reload(app, json.dumps(_machine(changed, _sensor("b", 7))))
        new = _running(app)["a/Readings(k=0)"]
        assert new is not a and _running(app)["b/Readings(k=0)"] is b
        row = app.status()["streams"]["a/Readings(k=0)"]
        assert row["captured"] == row["durable"] == row["pending"] == captured
        assert new.captured == new.ring.readings == 0
        assert sum(app.log.stats().unsent_readings.values()) == captured
        a = new
    assert b.durable == 0


def test_what_is_left_out_is_sealed_and_gone():
    app = _app(json.dumps(_machine(_sensor("a", 10), _sensor("b", 7))))
    _captured(app)
    closed = []
    app.components["b"].close = lambda: closed.append(1)
    gone = _running(app)["b/Readings(k=0)"]
    both = _machine(_sensor("a", 10), dict(_sensor("b", 7)))
    _methods(both["components"][1])[0]["disabled"] = True
    _reload(app, json.dumps(both))
    assert list(_running(app)) == ["a/Readings(k=0)"] and "b" in app.components and not closed
    assert gone.durable == gone.captured > 15
    _reload(app, json.dumps(_machine(_sensor("a", 10))))
    assert list(app.components) == ["a"] and closed == [1]


def test_a_component_that_changed_is_made_anew_with_its_collectors():
    app = _app(json.dumps(_machine(_sensor("a", 10, 5), _sensor("b", 7))))
    before, parts = _running(app), dict(app.components)
    _reload(app, json.dumps(_machine(_sensor("a", 10, 5, counter=True), _sensor("b", 7))))
    after = _running(app)
    assert [after[n] is before[n] for n in sorted(after)] == [False, False, True]
    assert app.components["a"] is not parts["a"] and app.components["b"] is parts["b"]


class Reader(BarePort):
    """A board with an analog pin."""

    def adc(self, pin):
        from cistern.port.simulated.pins import ADC

        return ADC(pin, self.ticks_us, None)

    def pin(self, pin, mode=None, pull=None):
        return None


def _capture_analogs(board, hz):
    method = {
        "method": "Analogs",
        "capture_frequency_hz": hz,
        "additional_params": {"reader_name": "A1"},
    }
    config = {"type": "data_manager", "attributes": {"capture_methods": [method]}}
    board["service_configs"] = [config]


def _thermometer(*analogs):
    board = {
        "name": "board",
        "type": "board",
        "model": "esp32",
        "attributes": {"analogs": [{"name": n, "pin": p} for n, p in analogs]},
    }
    sensor = dict(_sensor("t", 10), model="tmp36", attributes={"analog_reader": "A1"})
    return board, sensor


def test_what_sits_on_a_board_follows_it():
    board, sensor = _thermometer(("A1", "34"))
    app = _app(json.dumps(_machine(board, sensor, _sensor("b", 7))), Reader())
    reader = app.components["board"].analogs["A1"]
    assert app.components["t"] is not None
    t = _running(app)["t/Readings(k=0)"]
    board, sensor = _thermometer(("A1", "35"))
    _reload(app, json.dumps(_machine(board, sensor, _sensor("b", 7))))
    assert _running(app)["t/Readings(k=0)"] is not t
    assert app.components["board"].analogs["A1"] is not reader
    # Neither the order of keys nor the spelling of numbers is a change.
    for attributes in (
        {"analog_reader": "A1", "num_readings": 5},
        {"num_readings": 5.0, "analog_reader": "A1", "board": None},
    ):
        before = _running(app)["t/Readings(k=0)"]
        sensor["attributes"] = attributes
        _reload(app, json.dumps(_machine(board, sensor, _sensor("b", 7))))
    assert _running(app)["t/Readings(k=0)"] is before is not t
    # A capture method of the board is no change of the board.
    t = _running(app)["t/Readings(k=0)"]
    _capture_analogs(board, 1)
    _reload(app, json.dumps(_machine(board, sensor, _sensor("b", 7))))
    assert _running(app)["t/Readings(k=0)"] is t and len(app.engine.collectors) == 3


def test_a_component_that_could_not_be_made_is_tried_again_and_disturbs_nobody():
    board, sensor = _thermometer(("A2", "34"))
    app = _app(json.dumps(_machine(board, sensor, _sensor("b", 7))), Reader())
    assert list(_running(app)) == ["b/Readings(k=0)"]
    (line,) = [text for level, text in app.port.lines if level == "error"]
    assert line.startswith('components[1] "t": ') and "A1" in line
    b = _running(app)["b/Readings(k=0)"]
    board, sensor = _thermometer(("A1", "34"))
    sensor["attributes"]["board"] = "board"
    _reload(app, json.dumps(_machine(board, sensor, _sensor("b", 7))))
    assert sorted(_running(app)) == ["b/Readings(k=0)", "t/Readings(k=0)"]
    assert b.missed == 0


def test_a_fast_collector_without_a_hardware_timer_is_polled():
    class Busy(Reader):
        def timer(self, period_us, callback):
            raise ValueError("all 4 timers are taken")

    board, _ = _thermometer(("A1", "34"))
    _capture_analogs(board, 500)
    app = _app(json.dumps(_machine(board)), Busy())
    (c,) = app.engine.collectors
    (line,) = [text for level, text in app.port.lines if level == "warning" and "timers" in text]
    assert "all 4 timers are taken; polled instead" in line
    app.port.now += 10000
    c.serve()
    assert c.captured == 1


def test_a_text_that_is_no_configuration_leaves_everything_as_it_is():
    app = _app(json.dumps(_machine(_sensor("a", 10))))
    _captured(app)
    before = [_state(c) for c in app.engine.collectors]
    kept = dict(app.port.state)
    try:
        _reload(app, '{"components": [,]}')
        raise AssertionError("it was taken")
    except ConfigError as e:
        assert (e.line, e.column) == (1, 17)
    assert [_state(c) for c in app.engine.collectors] == before and app.port.state == kept


def test_capture_is_switched_off_and_on_again_live():
    app = _app(json.dumps(_machine(_sensor("a", 10))))
    _captured(app)
    (before,) = app.engine.collectors
    _reload(app, json.dumps(_machine(_sensor("a", 10), capture_disabled=True)))
    assert app.engine.collectors == [] and before.durable == before.captured > 25
    _reload(app, json.dumps(_machine(_sensor("a", 10))))
    _captured(app, 1)
    assert app.engine.collectors[0].captured >= 9


def test_settings_of_the_data_manager_take_effect_live():
    app = _app(json.dumps(_machine(_sensor("a", 10))))
    assert (app.engine.flush_us, app.log.delete_every_nth) == (1000000, 5)
    (a,) = app.engine.collectors
    settings = {"flush_interval_ms": 250, "delete_every_nth_when_disk_full": 2}
    _reload(app, json.dumps(_machine(_sensor("a", 10), **settings)))
    assert (app.engine.flush_us, app.log.delete_every_nth) == (250000, 2)
    assert app.engine.collectors == [a]


def test_components_are_put_off_against_each_other_and_each_stays_together():
    parts = [_sensor("s%d" % i, 100, 100, 1, 0.01) for i in range(8)]
    app = _app(json.dumps(_machine(*parts)))
    ticks = {}
    for c in app.engine.collectors:
        period = c._period[0]
        assert 0 <= c.phase <= min(period // 8, 100000)
        first = app.port.ticks_diff(c.tick, c.phase + period & 0x3FFFFFFF)
        # The first reading is one period and the phase after the same instant for all.
        if period < 1 << 28:
            ticks.setdefault(first, []).append(c.name)
    assert len(ticks) == 1
    fast = sorted([c.phase for c in app.engine.collectors if c._period[0] == 10000])
    assert fast[::2] == fast[1::2] and len(set(fast)) == 8
    gaps = [fast[i + 2] - fast[i] for i in range(0, 14, 2)]
    assert min(gaps) > 100


def test_rings_that_the_board_has_no_memory_for_are_refused_largest_first():
    port = BarePort()
    port.free = rings.RESERVE + 40000
    parts = [_sensor(name, 100) for name in ("a", "b", "c", "d")]
    for part, kb in ((parts[0], 20), (parts[1], 30), (parts[2], 10)):
        _methods(part)[0]["cache_size_kb"] = kb
    app = _app(json.dumps(_machine(*parts)), port)
    assert sorted(_running(app)) == ["a/Readings(k=0)", "c/Readings(k=0)", "d/Readings(k=0)"]
    ((level, text),) = port.lines
    assert level == "error" and text.startswith(
        'components[1] "b".service_configs[0].attributes.'
    )
    assert "rings take 65000 bytes and this board has 40000 for them" in text
    largest = "b/Readings(k=0) (30000), a/Readings(k=0) (20000), c/Readings(k=0) (10000)"
    assert text.endswith("lower cache_size_kb of the largest: " + largest)
    # What runs keeps its memory; the code and the connection that came meanwhile are foreseen.
    port.free = 9000
    before = [_state(c) for c in app.engine.collectors]
    _reload(app, json.dumps(_machine(*parts, _sensor("e", 100))))
    assert [_state(c) for c in app.engine.collectors][:3] == before
    assert "e/Readings(k=0)" in _running(app) and len(port.lines) == 2
    # A board always has room for some larger ones, whatever else it carries.
    port = BarePort()
    port.free = 1000
    _methods(parts[0])[0]["cache_size_kb"] = 20
    assert len(_app(json.dumps(_machine(parts[0])), port).engine.collectors) == 1
    # However little there is: rings of the default size are not refused.
    port = BarePort()
    port.free = 1000
    app = _app(json.dumps(_machine(*[_sensor("s%d" % i, 10) for i in range(40)])), port)
    assert len(app.engine.collectors) == 40 and not port.lines


def test_a_ring_takes_no_more_than_it_can_ever_need():
    board, _ = _thermometer(("A1", "34"))
    _capture_analogs(board, 0.2)
    _methods(board)[0]["cache_size_kb"] = 100
    app = _app(json.dumps(_machine(board)), Reader())
    (c,) = app.engine.collectors
    assert c.ring.size == 1000
    # Four intervals of 5 minutes fit, and a minute of a flash that takes nothing.
    app = _app(json.dumps(_machine(board, flush_interval_ms=300000)), Reader())
    (c,) = app.engine.collectors
    assert 1000 < c.ring.size < 10000
    for _ in range((4 * 300 + 60) // 5):
        app.port.now += 5000000
        c.serve()
    assert c.captured == c.ring.readings == 252 and not c.ring.overwritten

    # What may be of any size has all that was asked for.
    class Words:
        fields = None

    class Asked:
        ring_bytes = 100000
        period_us = 1000000

    assert rings.useful(Asked, Words, 1000000) > 60000
    Asked.ring_bytes = 3000
    assert rings.useful(Asked, Words, 1000000) == 3000


def test_why_readings_were_lost_is_in_the_status_and_in_the_health_sensor():
    health = {
        "name": "h",
        "type": "sensor",
        "model": "health",
        "service_configs": [],
    }
    app = _app(json.dumps(_machine(_sensor("a", 10), health)))
    _captured(app, 1)
    (c,) = app.engine.collectors
    app.port.now += 1000000
    c.serve()

    def broken():
        raise OSError(5, "EIO")

    c.source.read = broken
    app.port.now += 100000
    c.serve()
    row = app.status()["streams"]["a/Readings(k=0)"]
    assert (row["missed"], row["lost_late"], row["lost_source_error"]) == (10, 9, 1)
    app.engine.flush()
    assert app.status()["streams"]["a/Readings(k=0)"] == dict(
        row, durable=c.captured, pending=c.captured, buffered=0
    )
    lost = app.log.stats().lost
    assert {reason: n for (_, reason), n in lost.items()} == {"late": 9, "source_error": 1}
    read = app.components["h"].readings()
    assert (read["lost_late"], read["lost_source_error"], read["missed"]) == (9, 1, 10)


def test_borrowed_code_is_given_back():
    """Nothing that stays keeps a borrowed module: each has 40 KB on top here."""
    borrow = borrow_module.borrow
    borrowed = []

    def heavy(name):
        module = borrow(name)
        module.ballast = bytearray(40000)
        borrowed.append(name)
        return module

    places = (borrow_module, app_module, config, clock)
    for place in places:
        place.borrow = heavy
    try:
        port = BarePort()
        port.set_clock = port.keep_clock = lambda utc_us: None
        port.channel = {}
        app = App(port)
        gc.collect()
        before = gc.mem_alloc()
        app.connect_to("http://127.0.0.1:1", None, None, "part", "secret")
        text = json.dumps(_machine(_sensor("a", 10), _sensor("b", 7)))
        assert app.load("machine.json", text)
        _reload(app, text.replace("b", "c"))
        app.go_online()
        app.clock.on_date("Sun, 22 Nov 2026 16:31:51 GMT")
        _reload(app, text)
        gc.collect()
        left = [n for n in borrowed if n in sys.modules]
        assert not left and len(set(borrowed)) > 8, borrowed
        # The code of the link, which stays, is 60 KB at most.
        assert gc.mem_alloc() - before < 100000, gc.mem_alloc() - before
    finally:
        for place in places:
            place.borrow = borrow


class RunningPort(BarePort):
    """Its time goes on when all wait."""

    def feed(self):
        pass

    async def sleep_ms(self, ms):
        end = self.now + ms * 1000
        while self.now < end:
            self.now += 5000
            await asyncio.sleep(0)


class Job:
    link = "idle"
    again_us = 0
    error = synced_us = None
    set_aside = wait_ms = 0
    runs = 0

    async def run(self):
        Job.runs += 1


def test_a_board_without_memory_to_sync_captures_and_tries_again():
    """It says so in log and status; what was loaded in vain leaves nothing behind."""
    port = RunningPort()
    app = _app(_text(), port)
    app.cloud_at = ("cloud", 443, None, "cloud", "http", "part", "secret")
    tries = []
    real = app_module.borrow

    class Uplink:
        @staticmethod
        def make(app):
            tries.append(port.now // 1000000)
            if len(tries) < 4:
                raise MemoryError
            app.uploader = app.robot = Job()

    class Online:
        @staticmethod
        async def finish(app, uploader):
            pass

    fakes = {"cistern.uplink": Uplink, "cistern.online": Online}
    app_module.borrow = lambda name: fakes.get(name) or real(name)
    seen = []
    try:
        asyncio.run(app.run(300, lambda status: seen.append((status["link"], status["error"]))))
    finally:
        app_module.borrow = real
    (c,) = app.engine.collectors
    assert c.captured > 2900 and c.durable == c.captured
    waits = [tries[i] - tries[i - 1] for i in range(1, len(tries))]
    assert len(waits) == 3, waits
    assert all(0 <= waits[i] - (30, 60, 120)[i] <= 3 for i in range(3)), waits
    why = "not enough memory to sync: the board captures and keeps"
    assert seen[0] == ("down: " + why, why) and seen[-1] == ("idle", None)
    assert ("error", why + "; next try in 30 s") in port.lines
    assert Job.runs == 2
