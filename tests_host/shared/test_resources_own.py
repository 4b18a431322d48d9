"""Models of the user's own: found, checked, built, read, and their mistakes told by their line."""

import os
import sys

from cistern import config, resources
from cistern.port.simulated.i2c import Chip
from cistern.resources import catalog, hung, own
from devices import Bench, error_of, near, payload

ROOT = __file__.rsplit("/", 3)[0]
EXAMPLES = ROOT + "/examples"
FOLDER = ROOT + "/build/models-" + sys.implementation.name


def forget():
    """As before any file was loaded."""
    for triplet in list(resources.own_models):
        file = resources.own_models.pop(triplet).path.rsplit("/", 1)[1]
        sys.modules.pop(file[:-3], None)


def load(**sources):
    """Load files with these sources; the lines that are logged."""
    forget()
    for folder in (ROOT + "/build", FOLDER):
        try:
            os.mkdir(folder)
        except OSError:
            pass
    lines = []
    paths = []
    for name in sorted(sources):
        path = FOLDER + "/" + name + ".py"
        with open(path, "w") as f:
            f.write(sources[name])
        paths.append(path)
    own.load(paths, lambda level, text: lines.append((level, text.replace(FOLDER + "/", ""))))
    for path in paths:
        sys.modules.pop(path.rsplit("/", 1)[1][:-3], None)
        os.remove(path)
    return lines


def read_file(path):
    with open(path) as f:
        return f.read()


GOOD = """
from cistern.resources.own import Sensor, register
class Answer(Sensor):
    def __init__(self, component, port, others):
        self.n = component.attributes["n"]
    def readings(self):
        return {"answer": 84 // self.n}
register("sensor", "me:mine:%s", Answer, {"n": (int, True, 0, 9)})
"""


def test_a_model_is_found_by_its_triplet_checked_and_read():
    assert load(answer=GOOD % "answer") == []
    assert "me:mine:answer" in catalog.models("rdk:component:sensor")
    assert "me:mine:answer" not in catalog.models("rdk:component:motor")
    ((path, text),) = catalog.check("rdk:component:sensor", "me:mine:answer", {"n": 10})
    assert path == "n" and text == "is 10; it must be 0 to 9"
    bench = Bench()
    sensor = bench.build("a", "sensor", "me:mine:answer", n=2)
    assert bench.read(sensor) == {"readings": {"answer": 42}}
    # Built-in models are as before.
    bench.read(bench.build("f", "sensor", "fake"))
    forget()


def test_the_examples_work_in_a_configuration():
    forget()
    bench = Bench()
    files = [EXAMPLES + "/models/" + name for name in ("bh1750.py", "soil_moisture.py")]
    own.load(files, bench.log)
    assert bench.lines == []
    plan = config.plan(config.load(read_file(EXAMPLES + "/own-models.json")), catalog)
    assert [p.message for p in plan.problems] == []
    made = bench.made = {}
    for component in plan.components:
        made[component.name] = catalog.build(component, bench, made)
    bench.hardware["adc", 34].raw = 36741  # 1.85 V, half way
    moisture = payload(made["bed"].source("Readings", {}))["readings"]["moisture_pct"]
    assert near(moisture, 50, 0.1)

    class Light(Chip):
        address = 0x23

        def take(self, data):
            assert self.register in (0x01, 0x20)

        def fill(self, buf):
            buf[0], buf[1] = 0x83, 0x90  # the datasheet's example: 28067 lx

    bench.hardware["i2c", 22, 21] = [Light(bench.ticks_us)]
    source = made["sun"].source("Readings", {})
    before = bench.now
    assert near(payload(source)["readings"]["lux"], 28067, 1)
    assert bench.now - before > 180000
    bench.hardware["i2c", 22, 21][0].unplug()
    assert "sun: no answer from address 0x23 on I2C bus i2c0" in error_of(payload, source)
    forget()


def test_a_mistake_in_a_file_is_told_by_its_line_and_stops_no_other():
    lines = load(
        a_syntax="x = 1\ny = (\n",
        b_name="import sys\n\n\nundefined_name\n",
        c_raises="def f():\n    return 1 // 0\n\nf()\n",
        d_good=GOOD % "good",
        e_import="from cistern.resources.own import no_such_thing\n",
        f_nothing="x = 1\n",
        g_kind='from cistern.resources.own import register\nregister("sonsor", "a:b:c", None)\n',
        h_rdk='from cistern.resources.own import register\nregister("sensor", "rdk:a:b", None)\n',
        i_twice=GOOD % "good",
        json="x = 1\n",
    )
    told = [text for _, text in lines]
    assert told[0].startswith("a_syntax.py:") and "SyntaxError" in told[0], told[0]
    assert told[1].startswith("b_name.py:4: NameError: "), told[1]
    assert told[2].startswith("c_raises.py:2: ZeroDivisionError: "), told[2]
    assert told[3].startswith("e_import.py:1: ImportError: "), told[3]
    assert told[4] == "f_nothing.py: registers no model: it must call register()"
    assert told[5].startswith("g_kind.py:2: ValueError: 'sonsor' is no component type: board, e")
    assert told[6].startswith("h_rdk.py:2: ValueError: 'rdk:a:b' is no name for a model")
    assert "i_twice.py:8: ValueError: me:mine:good is registered by " in told[7], told[7]
    assert told[8] == "json.py: a module named json exists already: rename the file"
    assert [level for level, _ in lines] == ["error"] * 4 + ["warning"] + ["error"] * 4
    assert catalog.models("sensor")[-1] == "me:mine:good"
    forget()


BROKEN = """
from cistern.resources.own import Sensor, Source, register

class Broken(Sensor):
    def __init__(self, component, port, others):
        self.how = component.attributes["how"]
        if self.how == "build":
            port.no_such_thing()

    def readings(self):
        return {"n": 1 // 0}

    async def wait(self, values):
        values[0] = self.missing

    def source(self, method, params):
        if self.how == "source":
            return params["x"]
        if self.how == "wait":
            return Source(self.wait, [(("n",), "int")], True)
        return Sensor.source(self, method, params)

register("sensor", "me:mine:broken", Broken)
register("sensor", "me:mine:none", lambda component, port, others: None)
"""


def test_a_mistake_when_it_is_built_or_read_is_told_by_its_line():
    assert load(broken=BROKEN) == []
    bench = Bench()

    def build(how):
        return bench.build(how, "sensor", "me:mine:broken", how=how)

    def told(call, *args):
        return error_of(call, *args).replace(FOLDER + "/", "")

    assert told(build, "build").startswith("broken.py:8: AttributeError: ")
    assert told(build("read").source("Readings", {}).read).startswith(
        "broken.py:11: ZeroDivisionError: "
    )
    assert told(build("source").source, "Readings", {}).startswith("broken.py:18: KeyError: ")
    assert told(payload, build("wait").source("Readings", {})).startswith(
        "broken.py:14: AttributeError: "
    )
    text = told(lambda: bench.build("n", "sensor", "me:mine:none"))
    assert text == (
        "broken.py: the factory of me:mine:none returned None, which has no source(method, params)"
    )
    forget()


BARE = """
from cistern.resources.own import Sensor, register
class Bare(Sensor):
    def readings(self):
        return {"n": 1}
class Later(Sensor):
    async def readings(self):
        return {"n": 1}
register("sensor", "me:mine:bare", Bare)
register("sensor", "me:mine:later", Later)
"""


def test_a_sensor_needs_no_init_and_may_not_be_a_coroutine_function():
    assert load(bare=BARE) == []
    bench = Bench()
    assert bench.read(bench.build("b", "sensor", "me:mine:bare")) == {"readings": {"n": 1}}
    read = bench.build("l", "sensor", "me:mine:later").source("Readings", {}).read
    assert "its readings() is a coroutine function: leave async out" in error_of(read)
    forget()


HANGING = """
from cistern.resources.own import Sensor, register

class Hanging(Sensor):
    def __init__(self, component, port, others):
        self.how = component.attributes["how"]
        if self.how == "made":
            raise port.cut

    def readings(self):
        if self.how == "read":
            raise self.cut
        return {"n": 1}

    def source(self, method, params):
        self.cut = params["cut"]
        return Sensor.source(self, method, params)

register("sensor", "me:mine:hanging", Hanging)
"""


class Watched(Bench):
    """A board whose state outlives its starts."""

    def __init__(self, state, cause):
        self.state = state
        self.reset_cause = cause
        Bench.__init__(self)

    def load_state(self, name):
        return self.state.get(name)

    def save_state(self, name, text):
        self.state[name] = text


class CutError(Exception):
    """The watchdog's reset, which nothing after it survives: the state is as it was."""


def _start(state, cause, how):
    """A start that reads a component once: what it read, or how it ended."""
    if cause != "watchdog":
        hung.forget(Watched(state, cause))
    bench = Watched(state, cause)
    left = {}

    bench.cut = CutError()
    save = bench.save_state

    def saved(name, text):
        save(name, text)
        if "?" in text:
            left[name] = text

    bench.save_state = saved
    try:
        made = bench.build("h", "sensor", "me:mine:hanging", how=how)
        read = made.source("Readings", {"cut": bench.cut}).read()
        made.source("Readings", {"cut": bench.cut}).read()
        return read
    except resources.ResourceError as e:
        if "CutError" in str(e):
            state.update(left)  # a watchdog's reset runs no `finally`
            return "cut"
        return str(e)


def test_a_model_that_never_returns_does_not_restart_the_board_for_ever():
    assert load(hanging=HANGING) == []
    for how in ("made", "read"):
        state = {}
        assert _start(state, "power on", how) == "cut"
        assert _start(state, "watchdog", how) == "cut"
        for _ in range(3):
            said = _start(state, "watchdog", how)
            assert "hanging.py: it did not return" in said and "left out" in said
        assert _start(state, "power on", how) == "cut", "it is tried again"
        assert _start(state, "watchdog", how) == "cut"
        assert "left out" in _start(state, "watchdog", how)
    state = {}
    for cause in ("power on", "watchdog", "watchdog", "watchdog"):
        assert _start(state, cause, "well") == {"readings": {"n": 1}}
        assert not state.get(hung.STATE)
    forget()
