"""Modules out of their packages: what a board runs after it means the same."""

import subprocess

import pytest

from cistern_tools.bundle import Bundle, flatten
from cistern_tools.image import library
from cistern_tools.paths import micropython

BORROW = """
import sys
def borrow(name):
    __import__(name)
    module = sys.modules.pop(name)
    room, _, name = name.rpartition(".")
    if room:
        delattr(sys.modules[room], name)
    return module
"""
FILES = {
    "cistern/__init__.py": "",
    "cistern/borrow.py": BORROW,
    "cistern/machine.py": "def say():\n    return 'machine'\n",
    "cistern/cloud/__init__.py": "",
    "cistern/cloud/machine.py": "kinds = ['of the cloud']\n",
    "cistern/cloud/other.py": "from cistern.cloud.machine import kinds\nkinds.append(2)\n",
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
__import__("cistern.port.esp32_" + "bus")
print(sys.modules["cistern.port.esp32_bus"].bus)
""",
}


def write(folder, files):
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def run(folder):
    command = [*micropython(), str(folder / "main.py")]
    environment = {"MICROPYPATH": f".frozen:{folder}"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def flat(tmp_path):
    """(folder of the source, folder of what became of it, its files)."""
    source = write(tmp_path / "lib", FILES)
    made = Bundle(source, True, {"cistern.borrow": ("cistern.borrow",)}, (), (source / "main.py",))
    sources, programs = flatten(made.sources(), made.scripts())
    return source, write(tmp_path / "out", {**sources, **programs}), set(sources)


@pytest.mark.skipif(not micropython(), reason="no MicroPython on this machine")
def test_it_runs_as_before(flat):
    source, made, _ = flat
    assert run(made) == run(source) != ""


def test_what_only_this_code_imports_is_in_no_package(flat):
    _, _, files = flat
    assert {"_machine.py", "_cloud_machine.py", "_other.py", "_dns.py"} <= files
    # What nobody mentions, or others import by name, or by a part of it.
    for name in ("cloud/unused", "port/esp32_bus", "resources/own", "borrow", "__init__"):
        assert f"cistern/{name}.py" in files, files


def test_a_package_that_is_left_empty_is_gone():
    files = {
        "cistern/__init__.py": "",
        "cistern/app.py": "from cistern.sync.clock import x\n",
        "cistern/sync/__init__.py": "",
        "cistern/sync/clock.py": "x = []\n",
    }
    sources, _ = flatten(files, {})
    assert set(sources) == {"cistern/__init__.py", "cistern/app.py", "_clock.py"}
    assert "from _clock import x" in sources["cistern/app.py"]


def test_on_a_chip_no_name_hides_a_module_of_the_firmware():
    """Those of stock MicroPython for ESP32 that begin so, as help("modules") lists them."""
    theirs = {"__main__", "_asyncio", "_boot", "_boot_fat", "_espnow", "_onewire", "_thread"}
    ours = {n.removeprefix("/lib/").removesuffix(".mpy") for n in library.files("xtensawin")}
    assert "_setup" in ours and not theirs & ours
