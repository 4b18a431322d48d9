"""The application: what a configuration makes of a board."""

import json

from cistern.app import App
from cistern.store.ram import RamDevice


class BarePort:
    """A board with its flash in RAM and one analog pin."""

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

    def mem_free(self):
        return -1

    def log(self, level, text):
        self.lines.append((level, text))

    def load_state(self, name):
        return self.state.get(name)

    def save_state(self, name, text):
        self.state[name] = text


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
    assert set(row) == {"captured", "late", "missed", "dropped", "durable", "synced", "pending"}


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
