"""Whatever comes in: load() agrees with JSON's grammar, plan() answers and names real places."""

import json
import math
import re

from hypothesis import example, given, settings
from hypothesis import strategies as st

from cistern import config
from cistern.config import scan
from cistern.resources import catalog

MANY = settings(max_examples=150, deadline=None)

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(
        [
            "sensor",
            "data_manager",
            "rdk:component:board",
            "fake",
            "Readings",
            "tmp36",
            "10",
            10**30,
        ]
    ),
)
VALUES = st.recursive(
    SCALARS,
    lambda kids: (
        st.lists(kids, max_size=4) | st.dictionaries(st.text(max_size=6), kids, max_size=4)
    ),
    max_leaves=12,
)

MACHINE = {
    "services": [
        {
            "name": "dm",
            "type": "data_manager",
            "attributes": {
                "sync_interval_mins": 1,
                "tags": ["a", "b"],
                "capture_dir": "",
                "mongo_capture_config": {"uri": ""},
            },
        }
    ],
    "components": [
        {
            "name": "esp32",
            "type": "board",
            "model": "esp32",
            "attributes": {"analogs": [{"name": "temp", "pin": "34"}], "pins": [27]},
            "service_configs": [
                {
                    "type": "data_manager",
                    "attributes": {
                        "capture_methods": [
                            {
                                "method": "Analogs",
                                "capture_frequency_hz": 100,
                                "cache_size_kb": 2,
                                "additional_params": {"reader_name": "temp"},
                            },
                            {
                                "method": "Gpios",
                                "capture_frequency_hz": 1,
                                "additional_params": {"pin_name": 27},
                                "tags": ["c"],
                            },
                        ]
                    },
                }
            ],
        },
        {
            "name": "t",
            "api": "rdk:component:sensor",
            "model": "tmp36",
            "attributes": {"analog_reader": "temp", "num_readings": 15},
            "depends_on": ["esp32"],
            "service_configs": [
                {
                    "type": "data_manager",
                    "attributes": {
                        "capture_methods": [{"method": "Readings", "capture_frequency_hz": 0.2}],
                        "retention_policy": {"days": 5},
                    },
                }
            ],
        },
    ],
}


def places(value, path=()):
    """The paths of all values below, as tuples of keys and indices."""
    yield path
    for key, kid in (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    ):
        yield from places(kid, (*path, key))


def put(value, path, new):
    """A copy with `new` at the path."""
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = put(value[path[0]], path[1:], new)
    return copy


@st.composite
def almost_machines(draw):
    """A right machine with up to four values replaced by anything, or a key added."""
    machine = MACHINE
    for _ in range(draw(st.integers(0, 4))):
        path = draw(st.sampled_from(list(places(machine))))
        if draw(st.booleans()):
            machine = put(machine, path, draw(VALUES))
            continue
        at = machine
        for key in path:
            at = at[key]
        if isinstance(at, dict):
            machine = put(machine, path, {**at, draw(st.text(max_size=6)): draw(VALUES)})
    return machine


# A component's name stands behind its index.
STEP = re.compile(r'\.?([^.\[\]"]+)|\[(\d+)\](?: "[\w-]+")?|\[("(?:[^"\\]|\\.)*")\]')
HIDDEN = re.compile(r"<U\+([0-9A-F]{4,6})>")


def unquoted(text):
    """A key as it is in a path, where what does not show is written as <U+200B>."""
    return json.loads(HIDDEN.sub(lambda m: json.dumps(chr(int(m[1], 16)))[1:-1], text))


def steps(path):
    """The keys and indices of a problem's path."""
    at, found = 0, []
    while at < len(path):
        match = STEP.match(path, at)
        assert match, f"{path!r} is no path at {at}"
        name, index, quoted = match.groups()
        found.append(
            name if name is not None else int(index) if index is not None else unquoted(quoted)
        )
        at = match.end()
    return found


def leads_somewhere(machine, path):
    """Whether a path leads to a value, or from an object to the name of what it lacks."""
    at = machine
    left = steps(path)
    while left:
        key = left[0]
        inside = (
            key in at if isinstance(at, dict) else isinstance(at, list) and key in range(len(at))
        )
        if not inside:
            break
        at = at[left.pop(0)]
    return not left or (isinstance(at, dict | None) and all(isinstance(x, str) for x in left))


def check_plan(machine, p):
    for problem in p.problems:
        # Below a component's attributes, a model names things in its own way.
        path = re.sub(r"^(components\[\d+\]\.attributes)\b.*", r"\1", problem.path)
        assert leads_somewhere(machine, path), problem
        assert problem.level in ("error", "warning", "info") and problem.message
    names = {c.name for c in p.components}
    assert len(names) == len(p.components)
    keys = [(c.component, c.method, sorted(c.params.items(), key=repr)) for c in p.collectors]
    for i, c in enumerate(p.collectors):
        assert c.component in names and keys[i] not in keys[:i]
        assert 1000 <= c.ring_bytes <= 4_000_000
        exact = 1e6 / c.frequency_hz
        assert math.isclose(c.period_us + c.period_rem / c.period_den, exact, rel_tol=1e-5)
        assert leads_somewhere(machine, c.path)
    assert p.service.sync_interval_ms > 0 and p.service.flush_interval_ms >= 100


@MANY
@given(VALUES)
def test_any_json_value_has_a_plan(value):
    check_plan(value, config.plan(value, catalog))


@MANY
@given(almost_machines())
@example(MACHINE)
def test_an_almost_right_machine_has_a_plan_and_real_paths(machine):
    check_plan(machine, config.plan(machine, catalog))


@MANY
@given(
    st.sampled_from([p for p in places(MACHINE) if p[:3] == ("components", 0, "service_configs")]),
    VALUES,
)
def test_a_mistake_in_one_component_leaves_the_other_alone(path, value):
    p = config.plan(put(MACHINE, path, value), catalog)
    assert [c.component for c in p.collectors if c.component == "t"] == ["t"]


def strict(text):
    """What the grammar says of a text: its value, or ValueError."""

    def pairs(found):
        if len({k for k, _ in found}) < len(found):
            raise ValueError("a key twice")
        return dict(found)

    def constant(name):
        raise ValueError(name)

    value = json.loads(text, object_pairs_hook=pairs, parse_constant=constant)
    if not isinstance(value, dict):
        raise ValueError("no object")
    return value


LONG_NUMBER = re.compile(rf"[\d.eE+-]{{{scan.MAX_NUMBER + 1}}}")


def depth(value):
    if isinstance(value, dict):
        return 1 + max(map(depth, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(depth, value), default=0)
    return 0


@st.composite
def almost_json(draw):
    """The text of an object with some characters dropped, doubled or replaced."""
    indent = draw(st.sampled_from([None, 0, 1]))
    value = draw(st.dictionaries(st.text(max_size=4), VALUES, max_size=4))
    text = json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=True)
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(text)))
        what = draw(st.sampled_from(["", *'{}[],:"\\ \n0-1.eEtfnaué\x00', "\\u0041", "//"]))
        text = text[:at] + what + text[at + draw(st.integers(0, 2)) :]
    return text


@MANY
@given(almost_json())
def test_load_takes_exactly_what_the_grammar_takes(text):
    try:
        wanted = strict(text)
    except (ValueError, RecursionError):
        wanted = None
    try:
        got = config.load(text)
    except config.ConfigError as e:
        lines = text.split("\n")
        assert 1 <= e.line <= len(lines) and 1 <= e.column <= len(lines[e.line - 1]) + 1
        beyond = wanted is not None and (
            depth(wanted) > scan.MAX_DEPTH
            or LONG_NUMBER.search(text)
            or re.search(r"\\u[dD][89a-fA-F]", text)
        )
        assert wanted is None or beyond, e
    else:
        assert got == wanted


@MANY
@given(st.binary(max_size=40) | st.binary(max_size=20).map(lambda b: b'{"a": "' + b + b'"}'))
def test_load_answers_any_bytes(data):
    try:
        assert isinstance(config.load(data), dict)
    except config.ConfigError as e:
        assert e.line >= 1 and e.column >= 1
