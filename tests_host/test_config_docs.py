"""docs/CONFIG.md has every attribute with its default, and the words that are really said; README
has the figures that `cistern check` prints.
"""

import json
import re
import subprocess
import sys

import pytest

from cistern import config
from cistern.config import explain, planner, scan
from cistern.resources import catalog
from cistern_tools import check, mpy, paths
from cistern_tools.flashlog import sectors
from cistern_tools.judge import HEAP, judge
from support import EXAMPLES, ROOT

README = (ROOT / "README.md").read_text()
PAGE = (ROOT / "docs" / "CONFIG.md").read_text()


def section(title):
    return re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", PAGE, re.M | re.S)[1]


def rows(title):
    """{attribute: cells} of a section's tables; a row may be of several attributes."""
    found = {}
    for line in section(title).splitlines():
        cells = [c.strip() for c in line.strip("|").split("|")]
        for name in re.findall(r"`([a-z_]+)`", cells[0]):
            found[name] = cells
    return found


def written(default):
    """A default as the page writes it."""
    if isinstance(default, type):
        return "required"
    text = json.dumps(list(default) if isinstance(default, tuple) else default)
    return f"`{text.removesuffix('.0')}`"


@pytest.mark.parametrize(
    ("title", "table"),
    [
        ("The machine", planner._MACHINE),
        ("The data manager", planner._SERVICE),
        ("Components", planner._COMPONENT),
        ("Collectors", planner._METHOD),
    ],
)
def test_every_attribute_has_a_row_with_its_default_and_range(title, table):
    documented = rows(title)
    for name, default in table.items():
        cells = documented[name]
        if len(cells) < 4 or name in ("type", "api"):
            continue
        wanted = default
        if title == "Collectors" and name == "cache_size_kb":
            wanted = planner._SERVICE[name]  # the data manager's
        assert written(wanted) in cells[2], name
        if name in planner._RANGES:
            least, most = planner._RANGES[name]
            assert f"{max(least, 0):g}" in cells[1].replace("0.00001", "1e-05"), name
            assert str(most) in cells[1], name


def test_every_known_key_is_on_the_page():
    for _, names in explain._KNOWN:
        for name in names.split():
            assert f"`{name}`" in PAGE, name


def test_the_limits_of_a_text_are_on_the_page():
    text = section("The text")
    assert f"{config.MAX_TEXT // 1024} KB of text" in text
    assert f"{scan.MAX_DEPTH} levels" in text and f"{scan.MAX_NUMBER} characters" in text


def test_every_type_is_on_the_page_with_its_models_and_methods():
    table = section("Models").strip().split("\n\n")[0]
    documented = {}
    for line in table.splitlines():
        kind, models, methods = (re.findall(r"`([^`]+)`", cell) for cell in line.split("|")[1:4])
        if kind:
            documented[kind[0]] = (sorted(models), {m for m in methods if m[0].isupper()})
    known = explain._TYPES["component"].split()
    built = [kind for kind in known if list(catalog.models(f"rdk:component:{kind}"))]
    assert sorted(documented) == sorted(built)
    for kind in built:
        models = sorted(m for m in catalog.models(f"rdk:component:{kind}") if ":" not in m)
        assert documented[kind] == (models, set(catalog.methods(f"rdk:component:{kind}")))


def every_mistake():
    """A machine with (nearly) every mistake, and the plan's problems."""

    def capture(*methods):
        return [{"type": "data_manager", "attributes": {"capture_methods": list(methods)}}]

    reading = {"method": "Readings", "capture_frequency_hz": 1}
    many = ["t%058d" % i for i in range(4)]  # noqa: UP031 -- with zeros in front
    machine = {
        "services": [
            {
                "name": "dm",
                "type": "data_manager",
                "attributes": {
                    "sync_interval_mins": -1,
                    "capture_dir": 5,
                    "tags": ["no way"],
                    "selective_syncer_name": "x",
                    "delete_data_on_part_deletion": True,
                },
            },
            {"name": "two", "type": "data_manager"},
            {"name": "v", "type": "vision"},
        ],
        "components": [
            {
                "name": "s",
                "type": "sensor",
                "model": "fake",
                "depends_on": ["x"],
                "service_configs": capture(
                    reading,
                    reading,
                    {"method": "Readings", "capture_frequency_hz": "10", "capture_hz": 1},
                    {"method": "Readings", "capture_frequency_hz": 0},
                    {"method": "Readings", "capture_frequency_hz": 1, "cache_size_kb": 0},
                    {**reading, "additional_params": {"k": []}},
                    {**reading, "tags": many},
                ),
            },
            {"name": "s", "type": "sensor", "model": "fak"},
            {"name": "-", "type": "camera"},
            {
                "name": "b",
                "type": "board",
                "model": "esp32",
                "service_configs": capture({"method": "Analogs", "capture_frequency_hz": 1}),
            },
        ],
    }
    manager = {"components": [{**machine["components"][0], "service_configs": capture(reading)}]}
    return [*config.plan(machine, catalog).problems, *config.plan(manager, catalog).problems]


def test_what_is_said_is_on_the_page_with_its_level():
    """The page has VALUE, PATH and N where a message has the user's own."""
    table = section("What is said about a mistake")
    found = every_mistake()
    assert len({p.message for p in found}) > 20
    for p in found:
        text = p.message
        text = re.sub(r"^(-?\d+|\"(10|no way|-|s)\"|an? (list|object)) is ", "VALUE is ", text)
        text = re.sub(r'components\[0\] "s"\.service_configs\S+\]', "PATH", text)
        text = re.sub(r"have \d+ bytes", "have N bytes", text)
        kinds = "VALUE is not a string`, `a number`"
        text = re.sub(r"^VALUE is not a (string|number).*", kinds, text)
        text = re.sub(r"; (known: |did you mean ).*", "", text)
        text = re.sub(r"^missing: give .*", "missing: give", text)
        lines = [line for line in table.splitlines() if text in line]
        assert any(f"| {p.level} |" in line for line in lines), (p, text)


def test_every_reason_of_a_loss_is_on_the_page():
    table = section("Collectors")
    for reason in sectors.REASONS:
        assert f"| `{reason}` |" in table, reason


def figures(name):
    """The cells of README's table of lifetimes that `cistern check` of an example gives.

    In a process of its own: the simulated readings of a second check in one differ a little.
    """
    command = [sys.executable, "-m", "cistern_tools", "check", "--json", str(EXAMPLES / name)]
    done = subprocess.run(command, capture_output=True, check=True, timeout=60)
    flash = json.loads(done.stdout)["flash"]
    full = check.duration(flash["seconds_until_full_offline"])
    # README has no seconds beside minutes.
    full = re.sub(r"(?<=min) \d+ s$", "", full)
    return [check.amount(flash["bytes_per_day"]), full, f"{flash['lifetime_years']:.1f} years"]


@pytest.mark.parametrize("name", ["greenhouse.json", "weather.json"])
def test_readme_has_the_lifetimes_that_check_prints(name):
    table = README.partition("### How long it lasts")[2]
    (row,) = (x for x in table.splitlines() if x.startswith(f"| `examples/{name}`"))
    assert [cell.strip() for cell in row.split("|")[2:5]] == figures(name)


@pytest.mark.skipif(
    mpy.host_architecture() is None or paths.micropython() is None or paths.is_chosen(),
    reason="no MicroPython for this machine that loads machine code",
)
@pytest.mark.parametrize(
    "name", ["greenhouse.json", "weather.json", "vehicle.json", "try-out.json"]
)
def test_readme_says_what_of_the_examples_fits_over_https(name):
    (cell,) = re.findall(rf"^\| `examples/{name}` \| ([^|]+) \|$", README, re.M)
    errors = judge((EXAMPLES / name).read_bytes(), name, HEAP, https=True).errors
    said = [p["message"] for p in errors]
    if cell == "fits":
        assert said == []
    else:
        assert len(said) == 1 and cell in said[0], said
