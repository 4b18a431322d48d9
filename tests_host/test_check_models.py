"""`cistern check` with models of the user's own: what they do wrong is said, and ends."""

import itertools
import json
import re
import signal
import subprocess
import sys
import time

import pytest

from cistern.resources import own_models
from cistern_tools import paths
from cistern_tools.image import order
from cistern_tools.judge import judge
from cistern_tools.watch import GRACE_S, RETURN_S
from support import eventually
from test_config_check import component, machine, readings, report, run

AT = 'components[1] "m".service_configs[0].attributes.capture_methods[0]'
HEAD = "from cistern.resources.own import ResourceError, Sensor, Source, fields, register\n"
LOOP = "while True: pass"
numbers = itertools.count()


def model(readings="return {'n': 1}", more="", kind="Sensor"):
    """The source of a model file; `more` are lines of its class."""
    lines = [f"class M({kind}):", "    async def later(self): return {'n': 1}"]
    lines += [f"    {line}" for line in more.splitlines()]
    if readings:
        lines += ["    def readings(self):", *[f"        {x}" for x in readings.splitlines()]]
    return HEAD + "\n".join(lines) + "\nregister('sensor', 'me:my:TRIPLET', M)\n"


def waiting(lines):
    """A model whose read is a coroutine function of these lines."""
    more = ["async def wait(self):", *[f"    {line}" for line in lines.splitlines()]]
    more += ["def source(self, method, params): return Source(self.wait, None, True)"]
    return model(None, "\n".join(more))


class Case:
    """A machine of a fake sensor and one of a model file, and the folder of that."""

    def __init__(self, folder):
        self.models = folder / "models"
        self.models.mkdir()
        self.machine = folder / "machine.json"
        self.entered = folder / "entered"

    def write(self, source, hz=1, name=None, **attributes):
        n = next(numbers)
        self.file = self.models / f"{name or f'mine{n}'}.py"
        self.file.write_text(
            source.replace("TRIPLET", f"m{n}").replace(
                "ENTER", f"open({str(self.entered)!r}, 'w')"
            )
        )
        parts = [
            component("ok", "sensor", "fake", readings(1)),
            component("m", "sensor", f"me:my:m{n}", readings(hz), **attributes),
        ]
        self.machine.write_text(json.dumps(machine(*parts)))
        return self

    def report(self):
        return report(self.machine, "--models", self.models)

    def command(self):
        words = ("check", str(self.machine), "--models", str(self.models))
        return [sys.executable, "-m", "cistern_tools", *words]


@pytest.fixture
def case(tmp_path):
    before = set(own_models)
    yield Case(tmp_path)
    for triplet in set(own_models) - before:
        del own_models[triplet]


SWALLOWS = "while True:\n    try:\n        while True: time.sleep(0.01)\n    except: pass"
HANGING = {
    "read": model(LOOP),
    "in C": model("import time; time.sleep(1000)"),
    "caught once": model("try:\n    while True: pass\nexcept BaseException: return {'n': 1}"),
    "made": model(more=f"def __init__(self, *_):\n    {LOOP}"),
    "loaded": LOOP,
    "fields": model(
        None,
        f"def fill(self, values):\n    {LOOP}\ndef source(self, method, params):\n"
        "    return Source(self.fill, fields('int', 'readings.n'))",
    ),
    "coroutine": waiting(LOOP),
}


@pytest.mark.parametrize("how", HANGING)
def test_what_does_not_return_is_an_error_with_its_component_and_file(case, how):
    began = time.monotonic()
    code, said = case.write(HANGING[how]).report()
    assert time.monotonic() - began < 4 * RETURN_S
    found = [p for p in said["problems"] if f"did not return within {RETURN_S} s" in p["message"]]
    assert code == 1 and len(found) == 1 and found[0]["level"] == "error", said["problems"]
    whole = found[0]["path"] + ": " + found[0]["message"]
    assert re.search(rf"{re.escape(str(case.file))}:\d+", whole), whole
    assert found[0]["component"] == (None if how == "loaded" else "m")
    # The other one has its forecast.
    assert [s["stream"] for s in said["streams"]] == ["ok/Readings"]


def test_a_model_that_does_not_let_itself_be_stopped_is_named_and_the_command_ends(case):
    case.write(model("import time\n" + SWALLOWS))
    done = subprocess.run(
        case.command(), capture_output=True, text=True, timeout=60 + RETURN_S + GRACE_S
    )
    assert done.returncode == 1
    assert (
        f"cistern: m/Readings: {case.file}: it did not return within {RETURN_S} s" in done.stderr
    )
    assert "Traceback" not in done.stderr


ENTER = "ENTER\n" + LOOP
INTERRUPTED = {
    "read": model(ENTER),
    "made": model(more="def __init__(self, *_):\n    ENTER\n    while True: pass"),
    "loaded": ENTER,
    "coroutine": waiting(ENTER),
    "swallowed": model("import time\nENTER\n" + SWALLOWS),
}


@pytest.mark.parametrize("how", INTERRUPTED)
def test_ctrl_c_ends_it_at_once(case, how):
    case.write(INTERRUPTED[how])
    started = subprocess.Popen(
        case.command(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        eventually(case.entered.exists, timeout_s=60)
        began = time.monotonic()
        started.send_signal(signal.SIGINT)
        out, err = started.communicate(timeout=30)
        took = time.monotonic() - began
    finally:
        started.kill()
        started.wait()
    assert (started.returncode, out, err) == (130, "", "")
    # Before it would have ended anyway.
    assert took < RETURN_S - 1


FAILING = {
    "misspelt": (model(None, "def reading(self): return {'n': 1}"), "has no attribute 'readings'"),
    "None": (model("pass"), "they are None: is there a return?"),
    "coroutine": (
        model(None, "async def readings(self): return {'n': 1}"),
        r"its readings\(\) is a coroutine function: leave async out",
    ),
    "raises": (model("return {'n': 1 // 0}"), r"\.py:5: ZeroDivisionError: integer division"),
    "a set": (model("return {'n': {1}}"), "TypeError: a reading cannot hold a value of type set"),
    "coroutine in it": (model("return {'n': self.later()}"), "a value of type coroutine"),
}


@pytest.mark.parametrize("hz", [1, 0.001])
@pytest.mark.parametrize("how", FAILING)
def test_a_model_that_never_has_a_reading_is_an_error_that_says_what_it_raised(case, how, hz):
    source, words = FAILING[how]
    code, said = case.write(source, hz).report()
    (problem,) = said["problems"]
    assert (code, problem["level"], problem["path"]) == (1, "error", AT.replace(' "m"', ""))
    assert "on the simulated board it had no reading: " in problem["message"]
    assert re.search(words, problem["message"]), problem["message"]
    assert str(case.file) in problem["message"]


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (model("raise ResourceError('look at the plug')"), "look at the plug"),
        (model("raise OSError(19)"), "OSError: 19"),
        (waiting("import asyncio\nawait asyncio.Event().wait()"), "no answer within"),
        (
            waiting(
                "import asyncio\nwhile True:\n    try: await asyncio.sleep(1)\n"
                "    except asyncio.CancelledError: pass"
            ),
            "no answer within",
        ),
    ],
)
@pytest.mark.parametrize("hz", [1, 0.001])
def test_hardware_that_is_not_simulated_is_a_warning(case, source, words, hz):
    code, said = case.write(source, hz).report()
    (problem,) = said["problems"]
    assert (code, problem["level"]) == (0, "warning")
    assert "not tried, since the simulated board" in problem["message"]
    assert words in problem["message"]


def test_a_machine_of_hardware_that_is_not_simulated_has_no_error(case):
    case.write(model("raise ResourceError('look at the plug')"))
    entry = json.loads(case.machine.read_text())["components"][1]
    case.machine.write_text(json.dumps(machine(entry)))
    code, said = case.report()
    assert (code, [p["level"] for p in said["problems"]]) == (0, ["warning"])
    result = run(case.machine, "--models", case.models)
    assert "No forecast: no stream has a reading" in result.stdout
    # With an error elsewhere, it needs no service_configs, since it has them.
    wrong = component("hot", "sensor", "tmp36", readings(1), analog_reader="x")
    case.machine.write_text(json.dumps(machine(entry, wrong)))
    last = case.report()[1]["problems"][-1]["message"]
    assert last == "nothing is captured, because of what is said above"


def test_some_readings_that_fail_are_a_warning(case):
    source = model("self.n = self.n + 1\nreturn {'n': 6 // (self.n % 7)}", "n = 0")
    code, said = case.write(source).report()
    (problem,) = said["problems"]
    assert (code, problem["level"]) == (0, "warning") and "some of its read" in problem["message"]
    assert "ZeroDivisionError" in problem["message"] and len(said["streams"]) == 2


@pytest.mark.parametrize(
    "source",
    [
        model(None, "async def readings(self): return {'n': 1}"),
        model("return {'n': self.later()}"),
        model(None, "async def source(self, method, params): pass"),
        waiting(
            "import asyncio\nwhile True:\n    try: await asyncio.sleep(1)\n"
            "    except asyncio.CancelledError: pass"
        ),
    ],
)
def test_python_itself_says_nothing_of_a_coroutine(case, source):
    case.write(source)
    done = subprocess.run(case.command(), capture_output=True, text=True, timeout=60)
    assert done.stderr == "" and "components[1]" in done.stdout


def test_time_that_a_model_waits_is_the_boards(case):
    """Sixty readings of 10 s each take no ten minutes."""
    source = waiting("import asyncio\nawait asyncio.sleep(10)\nreturn {'readings': {'n': 1}}")
    code, said = case.write(source, 0.01).report()
    assert (code, said["problems"]) == (0, [])
    assert [s["stream"] for s in said["streams"]] == ["ok/Readings", "m/Readings"]


def test_a_sensor_needs_no_init(case):
    code, said = case.write(model()).report()
    assert (code, said["problems"]) == (0, [])
    source = model(more="def __init__(self, *_):\n    super().__init__()")
    assert case.write(source).report()[1]["problems"] == []


@pytest.mark.parametrize(
    ("name", "refused"),
    [("imp", False), ("queue", False), ("wave", False), ("json", True), ("ntptime", True)],
)
def test_a_file_may_have_a_name_that_only_cpython_has_taken(case, name, refused):
    code, said = case.write(model(), name=name).report()
    texts = [p["message"] for p in said["problems"]]
    if refused:
        assert code == 1 and f"a module named {name} exists already" in texts[0]
    else:
        assert (code, texts) == (0, [])
    done = subprocess.run(case.command(), capture_output=True, text=True, timeout=60)
    assert done.returncode == code and done.stderr == ""


def test_a_pin_of_adc2_is_an_error_for_a_model_too(case):
    more = "def __init__(self, component, port, others):\n"
    more += "    self.adc = port.adc(component.attributes['pin'])"
    source = model("return {'uv': self.adc.read_uv()}", more)
    code, said = case.write(source, pin=13).report()
    (problem,) = said["problems"]
    assert code == 1 and problem["component"] == "m"
    assert "GPIO 13 is on ADC2, which Wi-Fi needs" in problem["message"]
    assert case.write(source, pin=34).report()[1]["problems"] == []


def test_a_model_that_is_not_known_is_told_with_what_makes_it_known(tmp_path):
    raw = (paths.EXAMPLES / "own-models.json").read_bytes()
    result = run(paths.EXAMPLES / "own-models.json")
    words = 'unknown model "garden:probes:soil-moisture"; known: '
    (line,) = [x for x in result.stdout.splitlines() if words in x]
    assert "--models FOLDER" in line
    with pytest.raises(order.ImageError, match=r"cp FILE :models/.*check --models FOLDER judges"):
        order.check_machine(raw)
    # Others have no file of their own.
    for name in ("viam:x:nothing", "rdk:builtin:nothing", "nothing"):
        entry = machine(component("s", "sensor", name, readings(1)))
        said = [p["message"] for p in judge(json.dumps(entry).encode(), "m.json").problems]
        assert "unknown model" in said[0] and "models" not in said[0]
