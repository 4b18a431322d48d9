"""RobotService: configuration, log and restart, each failing alone."""

import asyncio
import json
from binascii import unhexlify

from cistern import change
from cistern.cloud.journal import LINE_BYTES, LOG_BYTES, MAX_LINE, Journal
from cistern.cloud.machine import read_config, read_struct
from cistern.cloud.plain import field
from cistern.cloud.protobuf import Writer, fields, find
from cistern.cloud.robot import OFFLINE_MS, Robot
from cistern.errors import GrpcError, LinkError

# viam.md 3.11, "ConfigResponse with one sensor + data manager"
GOLDEN = (
    "0ad8030a3f0a09706172742d3132333412156d2d6d61696e2e6162632e7669616d2e636c6f75641a1b6d2d6d61"
    "696e2e6162632e6c6f63616c2e7669616d2e636c6f75641ae6010a05746d703336120372646b1a0673656e736f"
    "72221072646b3a6275696c74696e3a66616b653aa7010a1872646b3a736572766963653a646174615f6d616e61"
    "676572128a010a87010a0f636170747572655f6d6574686f6473127432720a702a6e0a170a116164646974696f"
    "6e616c5f706172616d7312022a000a1a0a0d63616368655f73697a655f6b6212091100000000000024400a210a"
    "14636170747572655f6672657175656e63795f687a1209119a9999999999c93f0a140a066d6574686f64120a1a"
    "0852656164696e67734a1472646b3a636f6d706f6e656e743a73656e736f722aa5010a02646d120372646b1a0c"
    "646174615f6d616e61676572225d0a1b0a156164646974696f6e616c5f73796e635f7061746873120232000a11"
    "0a0b636170747572655f64697212021a000a1f0a1273796e635f696e74657276616c5f6d696e73120911000000"
    "00000008400a0a0a047461677312023200321372646b3a6275696c74696e3a6275696c74696e4a1872646b3a73"
    "6572766963653a646174615f6d616e616765727a0472657631"
)
UTC = 1795365111000000
CONFIG, LOG, RESTART = "Config", "Log", "NeedsRestart"
NEW = "cloud_2.json"  # where a configuration is kept that is not known as good yet


class Machine:
    """The application, its port, its log and its cloud in one; time passes by sleeping.

    answers: {method: what call() gives or raises}; calls: [(second, method, request)].
    """

    part_id = "part-1"
    boot = 1

    def __init__(self, **answers):
        self.port = self.cloud = self
        self.answers = {CONFIG: GrpcError(5, "none"), LOG: b"", RESTART: b""}
        self.answers.update(answers)
        self.state = {}
        self.said = []
        self.calls = []
        self.ran = []
        self.now = 0
        self.up = True
        self.revision = None
        self.restarting = self.losses_due = self.asked = False
        self.problems = {}
        self.refuses = None
        self.log = self._print
        self.journal = Journal(self, "s3cret")
        self.logged, self.log = self.log, self
        self.anchors_ = {1: (0, UTC, 1)}

    def _print(self, level, text):
        self.said.append((level, text))

    def __call__(self, level, text):  # port.log
        self.logged(level, text)

    def anchors(self):
        return self.anchors_

    def uptime_us(self):
        return self.now * 1000

    def urandom(self, n):
        return b"\x80" * n

    def load_state(self, name):
        return self.state.get(name)

    def save_state(self, name, text):
        self.state[name] = text

    async def sleep_ms(self, ms):
        self.now += ms
        await asyncio.sleep(0)

    def ready(self):
        return self.up

    async def call(self, path, message):
        service, _, method = path.rpartition("/")
        assert service == "/viam.app.v1.RobotService"
        self.calls.append((self.now // 1000, method, bytes(message)))
        answer = self.answers[method]
        if isinstance(answer, Exception):
            raise answer
        return answer

    path = "machine.json"
    cloud_at = True
    trial = None

    def change(self, config, revision):
        change.change(self, config, revision)

    def take(self, machine):
        if self.refuses:
            raise self.refuses
        self.ran.append(machine)

    def load(self, path, text=None, error=None):
        self.ran.append((path, error))

    def at(self, method):
        """Seconds of the calls of a method."""
        return [second for second, m, _ in self.calls if m == method]


def _run(app, seconds, robot=None):
    """Let the robot work so long."""
    robot = robot or Robot(app)
    end = app.now + seconds * 1000

    async def main():
        task = asyncio.create_task(robot.run())
        while app.now < end:
            await asyncio.sleep(0)
        task.cancel()

    asyncio.run(main())
    return robot


def _answer(name="a", revision="r1"):
    component = field(1, name) + field(9, "rdk:component:sensor")
    return field(1, field(3, component) + field(15, revision))


def _struct(d):
    w = Writer()
    w.struct(d)
    return bytes(w.view())


# The configuration.


def test_a_configuration_is_read_as_viams_json_has_it():
    machine = read_config(find(unhexlify(GOLDEN), 1))
    (component,) = machine["components"]
    assert component["name"] == "tmp36" and component["api"] == "rdk:component:sensor"
    (config,) = component["service_configs"]
    assert config["type"] == "rdk:service:data_manager"
    assert config["attributes"] == {
        "capture_methods": [
            {
                "additional_params": {},
                "cache_size_kb": 10.0,
                "capture_frequency_hz": 0.2,
                "method": "Readings",
            }
        ]
    }
    (service,) = machine["services"]
    assert service["attributes"] == {
        "additional_sync_paths": [],
        "capture_dir": "",
        "sync_interval_mins": 3.0,
        "tags": [],
    }


def test_a_message_cut_or_changed_anywhere_is_refused_or_read_but_never_crashes():
    whole = unhexlify(GOLDEN)[3:]
    for n in range(len(whole)):
        for hurt in (whole[:n], whole[:n] + bytes((whole[n] ^ 1,)) + whole[n + 1 :]):
            try:
                read_config(hurt)
            except (ValueError, TypeError):
                pass


def test_structs_come_back():
    d = {"a": None, "b": [True, False, 1.5, "x", {"y": {}}], "c": ""}
    assert read_struct(_struct(d)) == d


def test_too_deep_a_struct_is_refused():
    deep = b""
    for _ in range(60):
        deep = field(1, field(1, "x") + field(2, field(5, deep)))
    try:
        read_struct(deep)
    except ValueError as e:
        assert "deep" in str(e)
    else:
        raise AssertionError("accepted")


def test_the_clouds_configuration_runs_and_is_kept():
    app = Machine(Config=_answer())
    _run(app, 5)
    assert [m["components"][0]["name"] for m in app.ran] == ["a"] and app.revision == "r1"
    assert app.calls[0][2] == field(1, "part-1") and app.asked
    assert json.loads(app.state[NEW].partition("\n")[2]) == app.ran[0]


def test_it_is_asked_for_every_ten_seconds_or_as_configured_and_changes_once():
    app = Machine(Config=_answer())
    robot = _run(app, 62)
    assert app.at(CONFIG) == [1, 11, 21, 31, 41, 51, 61] and len(app.ran) == 1
    app.answers[CONFIG] = _answer("b", "r2")
    robot.poll_ms = 1000
    _run(app, 10, robot)
    assert [m["components"][0]["name"] for m in app.ran] == ["a", "b"]
    assert len(app.at(CONFIG)) > 14


def test_a_configuration_that_came_says_when_the_next_is_asked_for():
    app = Machine(Config=_answer())
    robot = Robot(app)
    robot.poll_ms = 86400000
    real = app.take

    def take(machine):
        real(machine)
        robot.poll_ms = 1000

    app.take = take
    _run(app, 40, robot)
    assert app.at(CONFIG)[0] <= 15, "however seldom it is to be asked"
    assert len(app.at(CONFIG)) > 20


def test_one_that_is_refused_leaves_the_old_one_and_is_reported_once():
    for bad in (b"", b"\x08\x05", b"\x0a\x03\xff\xff\xff", field(1, field(3, b"\x08")), None):
        app = Machine(Config=_answer())
        robot = _run(app, 5)
        app.answers[CONFIG] = bad if bad is not None else _answer("b", "r2")
        app.refuses = None if bad is not None else ValueError("no such thing")
        _run(app, 60, robot)
        errors = [t for level, t in app.said if level in ("error", "warning")]
        if bad is None:
            # The one before is taken up again, which says why.
            assert app.ran[1:] == [("machine.json", app.refuses)] and not errors
        else:
            assert len(app.ran) == 1 and "r1" in app.state[NEW], bad
            assert len(errors) == 1, (bad, errors)
        app.answers[CONFIG] = _answer("c", "r3")
        app.refuses = None
        _run(app, 30, robot)
        assert app.ran[-1]["components"][0]["name"] == "c", "the next good one runs"


def test_without_one_in_the_cloud_the_boards_own_runs_and_that_is_said_once():
    for status in (5, 12):
        app = Machine(Config=GrpcError(status, "x"))
        app.state["machine.json"] = "own"
        _run(app, 100)
        assert app.ran == [] and len(app.at(CONFIG)) == 10
        assert len([t for _, t in app.said if "no configuration" in t]) == 1


def test_when_the_cloud_has_it_no_more_the_boards_own_runs_again():
    app = Machine(Config=_answer())
    app.state["machine.json"] = "own"
    robot = _run(app, 5)
    app.answers[CONFIG] = GrpcError(5, "gone")
    _run(app, 60, robot)
    assert app.ran[1:] == [("machine.json", None)] and not app.state[NEW]


def test_other_errors_change_nothing():
    for error in (GrpcError(9, "file broken"), GrpcError(13, "x"), LinkError("call", "deadline")):
        app = Machine(Config=_answer())
        robot = _run(app, 5)
        app.answers[CONFIG] = error
        _run(app, 60, robot)
        assert len(app.ran) == 1 and "r1" in app.state[NEW] and app.asked
        assert len([t for _, t in app.said if str(error) in t]) == 1


# The log.


def _lines(request):
    """[(µs UTC, level, text)] of a LogRequest."""
    found = []
    for n, entry in fields(request):
        if n == 2:
            line = dict(fields(entry))
            time = dict(fields(line[3]))
            us = time[1] * 1000000 + time.get(2, 0) // 1000
            found.append((us, str(bytes(line[2]), "utf-8"), str(bytes(line[5]), "utf-8")))
        else:
            assert (n, bytes(entry)) == (1, b"part-1")
    return found


def _sent(app):
    return [_lines(request) for _, method, request in app.calls if method == LOG]


def test_lines_arrive_with_their_times_and_only_once():
    app = Machine(Config=_answer())
    app.now = 700
    app.logged("warning", "first")
    app.logged("debug", "detail")
    app.now = 800
    app.logged("error", "second")
    _run(app, 100)
    (got,) = _sent(app)
    assert got[:2] == [(UTC + 700000, "warning", "first"), (UTC + 800000, "error", "second")]
    assert not [t for _, _, t in got if t == "detail"] and ("debug", "detail") in app.said


def test_the_same_line_is_counted():
    app = Machine(Config=_answer())
    for _ in range(30):
        app.logged("error", "sensor a: no answer")
        app.logged("error", "sensor b: no answer")
    assert len(app.journal.lines) == 2
    _run(app, 5)
    assert [t for _, _, t in _sent(app)[0]][:2] == [
        "sensor a: no answer (30 times)",
        "sensor b: no answer (30 times)",
    ]


def test_the_secret_is_masked_everywhere():
    app = Machine(Config=_answer())
    app.logged("error", "s3cret is wrong, s3cret!")
    _run(app, 5)
    assert "*** is wrong, ***!" in _sent(app)[0][0][2]
    assert "s3cret" not in repr(app.said)


def test_what_waits_is_bounded_and_the_newest_stays():
    app = Machine()
    for i in range(1000):
        app.logged("info", "line %d " % i + "x" * (i % 500))
    lines = app.journal.lines
    assert sum([len(line[2]) + LINE_BYTES for line in lines]) <= LOG_BYTES
    assert lines[-1][2].startswith("line 999 ") and len(lines[-1][2]) == MAX_LINE


def test_lines_that_were_not_taken_are_sent_again_with_what_came_meanwhile():
    app = Machine(Config=_answer(), Log=GrpcError(13, "disk"))
    app.logged("info", "old")
    robot = _run(app, 30)
    app.logged("info", "new")
    app.answers[LOG] = b""
    _run(app, 30, robot)
    texts = [t for _, _, t in _sent(app)[-1]]
    assert texts[0] == "old" and "new" in texts
    assert app.journal.lines == []


def test_a_line_that_the_cloud_refuses_costs_itself_only():
    for status in (2, 3, 11, 13):
        app = Machine(Config=_answer())
        call = app.call

        async def picky(path, message, call=call, status=status):
            if b"poison" in bytes(message):
                raise GrpcError(status, "no such text")
            return await call(path, message)

        app.call = picky
        for text in ("a", "poison", "b", "more poison", "c"):
            app.logged("error", text)
        _run(app, 25)
        arrived = [t for lines in _sent(app) for _, _, t in lines]
        assert [t for t in arrived if len(t) == 1] == ["a", "b", "c"], arrived
        assert not [line for line in app.journal.lines if "poison" in line[2]]


def test_lines_wait_where_the_cloud_takes_none():
    for status in (1, 2, 7, 8, 13, 14, 16):
        app = Machine(Config=_answer(), Log=GrpcError(status, "disk"))
        for i in range(12):
            app.logged("error", "line %d" % i)
        robot = _run(app, 25)
        assert len(app.at(LOG)) <= 3 * 5 and len(app.journal.lines) >= 12
        app.answers[LOG] = b""
        _run(app, 25, robot)
        assert len([t for lines in _sent(app)[-1:] for _, _, t in lines]) >= 12


def test_half_a_character_in_a_line_is_a_question_mark():
    app = Machine(Config=_answer())
    half = json.loads('"\\ud83c"')
    app.logged("error", "bad answer: <" + half + "> at 5 °C")
    app.logged("error", half)
    _run(app, 5)
    texts = [t for _, _, t in _sent(app)[0]]
    assert texts[:2] == ["bad answer: <?> at 5 °C", "?"]


def test_a_line_that_is_said_again_while_it_is_sent_is_not_lost():
    app = Machine(Config=_answer())
    app.logged("info", "x")
    call = app.call

    async def slow(path, message):
        answer = await call(path, message)
        if path.endswith(LOG) and len(app.at(LOG)) == 1:
            app.logged("info", "x")
            app.logged("info", "y")
        return answer

    app.call = slow
    _run(app, 60)
    assert [t for _, _, t in _sent(app)[1]] == ["x (2 times)", "y"]


def test_without_a_clock_lines_wait():
    app = Machine(Config=_answer())
    app.anchors_ = {}
    app.logged("info", "x")
    robot = _run(app, 30)
    assert not app.at(LOG)
    app.anchors_ = {1: (0, UTC, 1)}
    _run(app, 30, robot)
    assert len(app.at(LOG)) == 1


# Restarting.


def test_a_restart_is_honoured_but_not_by_the_first_answer():
    app = Machine(NeedsRestart=field(1, "part-1") + b"\x10\x01")
    robot = _run(app, 5)
    assert not app.restarting and app.at(RESTART) == [1]
    _run(app, 10, robot)
    assert app.restarting


def test_nothing_is_restarted_unasked_and_the_servers_interval_is_kept():
    app = Machine(NeedsRestart=unhexlify("0a09706172742d313233341a02081e"))
    _run(app, 100)
    assert not app.restarting and app.at(RESTART) == [1, 31, 61, 91]
    app = Machine(NeedsRestart=unhexlify("0a09706172742d313233341a020805"))
    _run(app, 40)
    assert app.at(RESTART) == [1, 11, 21, 31], "not more often than the rest"


# Failing alone.


def test_each_failing_alone_does_not_disturb_the_others():
    for bad in (CONFIG, LOG, RESTART):
        for error in (
            GrpcError(13, "x"),
            LinkError("call", "deadline"),
            b"\xff\xff",
            ValueError("v"),
        ):
            app = Machine(Config=_answer(), NeedsRestart=b"\x10\x01")
            app.answers[bad] = error
            app.logged("info", "line")
            _run(app, 25)
            assert app.at(CONFIG) == [1, 11, 21] and app.at(RESTART) == [1, 11, 21]
            assert app.restarting == (bad != RESTART)
            assert bool(app.ran) == (bad != CONFIG) and len(app.at(LOG)) >= 1
            said = [t for level, t in app.said if level in ("warning", "error")]
            assert len([t for t in said if t != "the cloud asks for a restart"]) <= 1, said


def test_a_cloud_that_is_away_is_asked_less_often_and_once_a_round():
    app = Machine()
    app.answers = dict.fromkeys(app.answers, LinkError("connect", "refused"))
    app.up = False
    _run(app, 1000)
    assert len(app.calls) < 8 + 1000 // (OFFLINE_MS // 1000) and not app.at(RESTART)
    assert len([t for _, t in app.said if "refused" in t]) == 1
    app.up = True
    app.answers = {CONFIG: _answer(), LOG: b"", RESTART: b""}
    _run(app, 70)
    assert app.ran and json.loads(app.state[NEW].split("\n")[1]) == app.ran[0]
