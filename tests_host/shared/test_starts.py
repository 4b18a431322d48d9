"""Which configuration a board runs: what is tried, when it is good, and what runs instead."""

import asyncio
import json
import sys

from cistern import borrow as borrow_module
from cistern import change
from cistern.app import App
from cistern.cloud.plain import field
from cistern.cloud.protobuf import Writer
from cistern.resources import own, own_models
from cistern.setup import start
from cistern.starts import GOOD_S, RUN_S, SLOTS, Trial
from cistern.store.ram import RamDevice

TRIES = Trial.tries
PATIENCE = Trial.patience
CLOUD = ("http://127.0.0.1:1", None, "", "part", "secret")
FOLDER = "/tmp/cistern-test-starts-%d" % id(object())


class Port:
    """A board whose flash, files and time are this test's."""

    reset_cause = "power on"
    channel = {}

    def __init__(self, flash=None):
        self.flash = flash or RamDevice(16)
        self.lines = []
        self.state = {}
        self.models = []
        self.now = 1000000
        self.resets = 0

    def urandom(self, n):
        return bytes(range(1, n + 1))

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

    def feed(self):
        pass

    def reset(self):
        self.resets += 1

    def model_files(self):
        return self.models

    def log(self, level, text):
        self.lines.append((level, text))

    def log_exception(self, error):
        raise error

    def load_state(self, name):
        return self.state.get(name)

    def save_state(self, name, text):
        self.state[name] = text

    async def sleep_ms(self, ms):
        self.now += ms * 1000
        await asyncio.sleep(0)

    def said(self, words):
        return [text for _, text in self.lines if words in text]


class Link:
    """In place of what syncs: the cloud answers, or not."""

    link = "idle"
    error = synced_us = None
    set_aside = wait_ms = 0

    def __init__(self, app, answers):
        self.app = app
        self.answers = answers

    def ready(self):
        return False

    async def run(self):
        if self.answers:
            self.app.asked = True


class Board:
    """A board over several starts. answers: whether its cloud does."""

    def __init__(self, own="", cloud=CLOUD):
        self.path = FOLDER
        self.own(own)
        self.cloud = cloud
        self.port = Port()
        self.answers = True

    def own(self, text):
        with open(self.path, "wb") as f:
            f.write(text if isinstance(text, bytes) else text.encode())

    def start(self):
        """The next start of the board: its App, or None."""
        before = self.port
        self.port = Port(before.flash)
        self.port.state, self.port.models = before.state, before.models
        self.app = start(self.port, self.path, self.cloud)
        return self.app

    def run(self, seconds):
        """Run it for so long; it then loses its power."""
        app, real = self.app, App.go_online
        finish = App.finish

        def go_online(app):
            app.uploader = app.robot = app.cloud = Link(app, self.answers)
            return True

        async def cut(app, *more):
            pass

        App.go_online, App.finish = go_online, cut
        tune = borrow_module.borrow("cistern.online").tune
        try:
            asyncio.run(app.run(seconds, None))
        finally:
            App.go_online, App.finish = real, finish
        return tune

    def push(self, revision, machine):
        """The cloud gives it a configuration."""
        change.change(self.app, _config(machine), revision)

    def streams(self):
        return sorted([c.name for c in self.app.engine.collectors])

    def problems(self):
        return list(self.app.problems.values())


def _machine(*names, **service):
    method = {"method": "Readings", "capture_frequency_hz": 1}
    config = {"type": "data_manager", "attributes": {"capture_methods": [method]}}
    components = [
        {"name": n, "type": "sensor", "model": "fake", "service_configs": [config]} for n in names
    ]
    manager = {"name": "dm", "type": "data_manager", "attributes": service}
    return {"components": components, "services": [manager]}


def _text(*names, **service):
    return json.dumps(_machine(*names, **service))


def _config(machine):
    """The RobotConfig of a machine."""
    made = b""
    for number, key, attributes in ((3, "components", 8), (5, "services", 4)):
        for entry in machine[key]:
            message = field(1, entry["name"]) + field(3, entry["type"])
            if "model" in entry:
                message += field(4, entry["model"])
            if "attributes" in entry:
                w = Writer()
                w.struct(entry["attributes"])
                message += field(attributes, bytes(w.view()))
            for config in entry.get("service_configs", ()):
                w = Writer()
                w.struct(config["attributes"])
                level = field(1, config["type"]) + field(2, bytes(w.view()))
                message += field(7 if number == 3 else 10, level)
            made += field(number, message)
    return made


class Crash:
    """Whatever has the named component ends the start in an exception, or the power goes."""

    def __init__(self, name, error):
        self.name, self.error = name, error

    def __enter__(self):
        self.real = App.apply

        def apply(app, plan):
            if [c for c in plan.components if c.name == self.name]:
                raise self.error
            self.real(app, plan)

        App.apply = apply

    def __exit__(self, *what):
        App.apply = self.real


class PowerCut(BaseException):
    pass


def _dies(board, name):
    """A start that does not come to run."""
    with Crash(name, PowerCut()):
        try:
            board.start()
        except PowerCut:
            return True
    return False


def test_the_boards_own_is_good_when_it_has_run():
    board = Board(_text("a"), ())
    board.start()
    board.run(GOOD_S - 2)
    board.own("{")
    board.start()
    # Nothing better is there.
    assert board.streams() == ["a/Readings"]
    board.own(_text("b"))
    board.start()
    board.run(GOOD_S + 2)
    board.own(_text("c"))
    board.start()
    board.run(GOOD_S - 2)
    board.own("{")
    board.start()
    assert board.streams() == ["b/Readings"], "c was never good"
    assert board.port.said("machine") == [] and board.port.said("running the last good")
    assert [t for t in board.problems() if t.startswith(FOLDER + ":1:2")]


def test_the_clouds_is_good_when_it_ran_and_the_cloud_was_asked():
    board = Board(_text("own"))
    board.answers = False
    board.start()
    board.push("r1", _machine("a"))
    board.run(GOOD_S + 2)
    board.start()
    assert board.streams() == ["a/Readings"] and board.app.revision == "r1"
    assert board.port.said("of last time runs")
    board.answers = True
    board.run(GOOD_S + 2)
    board.push("r2", _machine("b"))
    assert board.streams() == ["b/Readings"]
    for _ in range(TRIES - 1):  # as after the push, in which it lost its power, too
        assert _dies(board, "b")
    assert not _dies(board, "b")
    assert board.streams() == ["a/Readings"], "the one that was good"
    # It is known, so that the cloud's answer does not bring it back.
    assert board.app.revision == "r2"
    assert [t for t in board.problems() if "r2 did not start" in t]
    board.run(GOOD_S + 2)
    board.push("r3", _machine("c"))
    assert board.streams() == ["c/Readings"] and board.problems() == []


def test_one_that_raises_at_its_start_is_not_tried_again_and_the_board_is_there_for_another():
    errors = ValueError("x"), TypeError("x"), RuntimeError("x"), OSError(5), MemoryError("x")
    for error in errors:
        board = Board(_text("own"))
        board.start()
        board.push("r1", _machine("a"))
        board.run(GOOD_S + 2)
        with Crash("b", error):
            board.push("r2", _machine("b"))
            if isinstance(error, MemoryError):
                assert board.app.restarting  # there is more at the start
                board.start()
            assert board.streams() == ["a/Readings"] and board.app.revision == "r2"
            assert [t for t in board.problems() if "does not start" in t], board.problems()
            board.run(GOOD_S + 2)
            board.start()
            assert board.streams() == ["a/Readings"] and board.app.revision == "r2"
        board.push("r3", _machine("c"))
        assert board.streams() == ["c/Readings"]
        board.run(GOOD_S + 2)
        board.start()
        assert board.streams() == ["c/Readings"] and board.app.revision == "r3"


def test_a_good_one_that_does_not_come_to_run_any_more_is_no_loop_without_the_cloud():
    board = Board(_text("a"))
    board.start()
    board.run(GOOD_S + 2)
    for _ in range(2):
        while _dies(board, "a"):
            pass
        # It is online and captures nothing yet, and goes on when it knows of nothing better.
        assert board.streams() == [] and board.app.revision is None
        assert [t for t in board.problems() if "asked" in t]
        board.run(3)
        assert board.streams() == ["a/Readings"]
    board.start()
    board.push("r1", _machine("b"))
    assert board.streams() == ["b/Readings"]
    board.run(GOOD_S + 2)
    board.start()
    assert board.streams() == ["b/Readings"] and not board.problems()


def test_without_an_answer_of_the_cloud_it_goes_on_as_well():
    board = Board(_text("a"))
    board.answers = False
    for _ in range(PATIENCE):
        assert _dies(board, "a")
    board.start()
    assert board.streams() == []
    board.run(20)
    assert board.streams() == []
    board.run(20)
    assert board.streams() == ["a/Readings"] and board.problems() == []


def test_a_board_without_a_cloud_runs_what_it_has_however_often_its_power_goes():
    board = Board(_text("a"), ())
    for _ in range(2 * PATIENCE):
        assert _dies(board, "a")
    board.start()
    assert board.streams() == ["a/Readings"]


def test_starts_that_came_to_run_are_not_counted():
    board = Board(_text("a"))
    board.answers = False
    for _ in range(2 * PATIENCE):
        board.start()
        assert board.streams() == ["a/Readings"]
        board.run(RUN_S + 2)


def test_nor_are_those_of_a_good_one_that_asked_the_cloud():
    board = Board(_text("a"))
    for _ in range(2 * PATIENCE):
        board.start()
        assert board.streams() == ["a/Readings"]
        board.run(3)


def test_but_those_of_a_new_one_are():
    board = Board(_text("a"))
    board.start()
    board.run(GOOD_S + 2)
    board.push("r1", _machine("b"))
    for _ in range(TRIES - 1):
        board.run(3)
        board.start()
        assert board.streams() == ["b/Readings"]
    board.start()
    assert board.streams() == ["a/Readings"]


def test_nor_are_those_that_end_in_order():
    board = Board(_text("a"))
    for _ in range(2 * PATIENCE):
        board.start()
        assert board.streams() == ["a/Readings"]
        board.app.stop()


def test_with_nothing_that_runs_the_board_waits_for_the_clouds():
    for text in ("", "{", "[]", b"\xff\xfe{", '{"a": NaN}', "5", "null", '{"components": [,]}'):
        board = Board(text)
        board.start()
        assert board.streams() == [] and board.port.said("waiting for the cloud's configuration")
        board.push("r1", _machine("a"))
        assert board.streams() == ["a/Readings"]
    assert Board("{", ()).start() is None


def test_a_byte_order_mark_is_no_mistake():
    board = Board(b"\xef\xbb\xbf" + _text("a").encode(), ())
    board.start()
    assert board.streams() == ["a/Readings"] and not board.problems()


def test_whatever_is_in_the_files_that_were_kept_the_board_starts():
    names = [name for pair in SLOTS.values() for name in pair] + ["starts.json"]
    odd = (
        "",
        "r1",
        "r1\n",
        "r1\n{",
        "r1\n[1]",
        'r1\n{"a": nan}',
        "[]",
        "null",
        '{"n": "x", "bad": {}, "cloud": 5, "of": null, "skip": [1]}',
        '{"cloud": "elsewhere", "own": "../../etc"}',
        '{"n": 1e400, "bad": [[[]]]}',
        '{"a":' * 5000,
        'r1\n{"services": 5, "components": {"a": null}}',
        "\x00\xff" * 100,
        "x" * 100000,
    )
    for text in odd:
        board = Board(_text("a"))
        for name in names:
            board.port.state[name] = text
        board.start()
        assert "a/Readings" in board.streams() or board.app.revision == "r1", text[:40]
        board.push("r2", _machine("b"))
        assert board.streams() == ["b/Readings"]
        board.run(GOOD_S + 2)
        board.start()
        assert board.streams() == ["b/Readings"], text[:40]


def test_a_port_that_cannot_read_or_keep_anything_still_runs_what_it_is_given():
    def fails(*what):
        raise OSError(28, "no space left on device")

    board = Board(_text("a"))
    board.start()
    for method in ("save_state", "load_state"):
        board = Board(_text("a"))
        real = getattr(Port, method)
        setattr(Port, method, fails)
        try:
            board.start()
            assert board.streams() == ["a/Readings"]
            board.push("r1", _machine("b"))
            assert board.streams() == ["b/Readings"]
            board.run(GOOD_S + 2)
        finally:
            setattr(Port, method, real)


def test_the_machine_is_judged_entry_by_entry_whatever_its_types_are():
    odd = None, 5, 1e300, "x" * 3000, [[]], {"a": {"b": [1]}}
    keys = "services", "components", "attributes", "name", "type", "service_configs", "model"
    for key in keys:
        for value in odd:
            machine = _machine("good", "b")
            for entry in [machine, machine["components"][1], machine["services"][0]]:
                if key in entry or key == "attributes":
                    entry[key] = value
            board = Board(json.dumps(machine), ())
            board.start()
            assert board.app, (key, value)
        board.push("r1", _machine("c"))
        assert board.streams() == ["c/Readings"], (key, value)


def test_where_memory_is_short_the_last_components_are_left_out_and_named():
    names = ["s%d" % i for i in range(40)]
    real = App.apply

    def apply(app, plan):
        if len(plan.components) > 22:
            raise MemoryError("memory allocation failed")
        real(app, plan)

    App.apply = apply
    try:
        board = Board(_text(*names))
        board.start()
        n = len(board.streams())
        assert 18 <= n <= 22
        assert board.streams() == sorted(["s%d/Readings" % i for i in range(n)])
        for i in range(n, 40):
            assert len(board.port.said('components[%d] "s%d"' % (i, i))) == 1
        assert [t for t in board.problems() if "from components[%d] on" % n in t]
        board.run(GOOD_S + 2)
        # The same of the cloud, which a restart takes.
        real_take = App.take

        def take(app, machine):
            if len(machine.get("components", ())) > 22:
                raise MemoryError("memory allocation failed")
            real_take(app, machine)

        App.take = take
        try:
            board.push("r1", _machine(*["c%d" % i for i in range(30)]))
        finally:
            App.take = real_take
        assert board.app.restarting
        board.start()
        assert 18 <= len(board.streams()) <= 22 and board.streams()[0] == "c0/Readings"
    finally:
        App.apply = real


def test_a_cut_that_finds_no_memory_itself_leaves_out_more_the_next_time():
    from cistern import config
    from cistern.config import cut

    names = ["s%d" % i for i in range(40)]
    real, real_cut = App.apply, cut.cut
    tried = []

    def lend():  # the next borrow() finds this one
        sys.modules["cistern.config.cut"] = config.cut = cut

    def apply(app, plan):
        lend()
        if len(plan.components) > 22:
            raise MemoryError("memory allocation failed")
        real(app, plan)

    def no_room(text, keep):
        tried.append(keep)
        lend()
        assert len(tried) < 60, "it goes round"
        if keep > 12:
            raise MemoryError("memory allocation failed")
        return real_cut(text, keep)

    App.apply = apply
    cut.cut = no_room
    try:
        board = Board(_text(*names))
        board.start()
        n = len(board.streams())
        assert 1 <= n <= 12, tried
        for i in range(n, 40):
            assert len(board.port.said('components[%d] "s%d"' % (i, i))) == 1
    finally:
        App.apply = real
        cut.cut = real_cut
        sys.modules.pop("cistern.config.cut")
        del config.cut


def test_where_only_the_link_has_no_memory_the_last_components_make_room_for_it():
    """So for a configuration of the cloud, which no other could replace."""
    many = ["s%d" % i for i in range(16)]
    board = Board(_text(*many))
    board.answers = False
    board.start()
    Link.error = "not enough memory for a TLS connection"
    try:
        board.run(RUN_S + 2)
        assert len(board.streams()) == 16  # the board's own is captured whole
        board.push("r1", _machine(*many))
        board.start()
        board.run(RUN_S + 2)
        assert len(board.streams()) == 14
        board.answers = True
        board.run(2)
    finally:
        Link.error = None
    assert len(board.streams()) == 14 and [t for t in board.problems() if "no memory" in t]


class Broken(RamDevice):
    def __init__(self, error):
        super().__init__(8)
        self.error = error

    def readblocks(self, *what):
        raise self.error


def _foreign():
    device = RamDevice(8)
    for n in range(8):
        device.writeblocks(n, b"not a log of Cistern")
    return device


def _two():
    """Sectors of two logs."""
    from cistern.store import Log

    device, other = RamDevice(8), RamDevice(8)
    buf = bytearray(4096)
    for d, k in ((device, 1), (other, 2)):
        log = Log.mount(d, lambda n, k=k: bytes([k] * n))
        for _ in range(12):
            log.append(b"d", bytes(1200), 1)
    other.readblocks(2, buf)
    device.ioctl(6, 2)
    device.writeblocks(2, buf)
    return device


def test_a_log_that_cannot_be_used_is_left_alone_and_the_next_place_has_it():
    for flash in (_foreign(), _two(), RamDevice(2), Broken(OSError(5)), Broken(ValueError("x"))):
        board = Board(_text("a"))
        board.port.flash = flash
        before = None if isinstance(flash, Broken) else bytes(flash._view)
        board.start()
        assert board.streams() == ["a/Readings"]
        (text,) = board.problems()
        assert "the flash cannot have the log: " in text and "in 32 KB of RAM" in text
        assert ("error", text) in board.port.lines and text in board.app.status()["problems"]
        assert board.app.journal.lines, "the cloud hears of it"
        board.run(30)
        (c,) = board.app.engine.collectors
        assert c.durable > 20
        assert before is None or bytes(flash._view) == before


def test_a_folder_that_cannot_be_had_leaves_the_log_on_flash():
    for folder in ("/proc/nothing/here", FOLDER, FOLDER + "/below", "\x00", "/", "x" * 5000):
        board = Board(_text("a", capture_dir=folder))
        board.start()
        assert board.streams() == ["a/Readings"], folder
        board.run(GOOD_S + 2)
        (c,) = board.app.engine.collectors
        assert c.durable > 10
        (text,) = board.problems()
        assert "capture_dir" in text and board.port.said(text)
        board.push("r1", _machine("b"))
        assert board.streams() == ["b/Readings"]


MODELS = {
    "exit": "raise SystemExit",
    "syntax": "def (",
    "memory": "raise MemoryError('x')",
    "deep": "def f():\n    f()\nf()",
    "nul": "x = '\x00'\nraise ValueError",
    "raises": "raise 5",
    "base": "raise BaseException('x')",
    "good": "from cistern.resources.own import Sensor, register\n"
    "class G(Sensor):\n"
    "    def __init__(self, *a):\n        pass\n"
    "    def readings(self):\n        return {'v': 1}\n"
    "register('sensor', 'test:sensor:good', G)\n",
    "main": "raise ValueError",
}


def _model(name):
    path = "/tmp/cstart_%s.py" % name if name != "main" else "/tmp/main.py"
    with open(path, "w") as f:
        f.write(MODELS[name])
    sys.modules.pop(path[5:-3], None)  # of another test
    return path


def test_a_model_that_fails_to_import_costs_itself_only():
    machine = _machine("a", "g")
    machine["components"][1]["model"] = "test:sensor:good"
    board = Board(json.dumps(machine))
    board.port.models = [_model(name) for name in sorted(MODELS)]
    own_models.clear()
    board.start()
    assert board.streams() == ["a/Readings", "g/Readings"]
    for path in board.port.models:
        said = board.port.said(path)
        assert bool(said) == ("good" not in path), (path, said)


def test_a_model_that_a_start_does_not_come_beyond_is_left_out_until_it_changes():
    board = Board(_text("a"))
    paths = [_model(name) for name in ("raises", "good")]
    board.port.models = paths
    real = own.load

    def load(files, log):
        if paths[0] in files:
            raise PowerCut()
        own_models.clear()
        real(files, log)

    own.load = load
    try:
        for _ in range(TRIES):
            try:
                board.start()
                raise AssertionError("it came beyond it")
            except PowerCut:
                pass
        board.start()
        assert board.streams() == ["a/Readings"]
        assert [t for t in board.problems() if paths[0] in t and "left out" in t]
        board.run(GOOD_S + 2)
        board.start()
        assert board.streams() == ["a/Readings"]
        with open(paths[0], "w") as f:
            f.write("# mended")
        try:
            board.start()
            raise AssertionError("it was not tried")
        except PowerCut:
            pass
    finally:
        own.load = real
