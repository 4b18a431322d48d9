"""The bundler renames parameters: nested functions that share names still do what they did."""

import io
import subprocess
from contextlib import redirect_stdout

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cistern_tools.bundle import Bundle
from cistern_tools.paths import micropython

# Beside names that get new ones, some that new names are taken from (bundle/names.py).
NAMES = ("path", "kind", "what", "e", "abs", "all", "any", "append", "bool", "key", "_a", "_b")
HEAD = """
def _help(n):
    return n + 1000
_last = [7]
def run():
    out = []
"""


class Writer:
    """Writes a function with others in it, of whole numbers; names() are what may be read."""

    def __init__(self, draw):
        self.draw = draw
        self.lines = []
        self.count = 0

    def pick(self, choices):
        return self.draw(st.sampled_from(list(choices)))

    def expression(self, seen):
        """A number made of what is seen: {name: None for a number, or how many arguments}."""
        numbers = [n for n in seen if seen[n] is None] or ["3"]
        a, b = self.pick(numbers), self.pick(numbers)
        calls = [n for n in seen if seen[n] is not None]
        form = self.draw(st.integers(0, 6 if calls else 5))
        if form == 0:
            return f"{a} + 2 * {b} + 1"
        if form == 1:
            return f"_help({a}) - {b}"
        if form == 2:
            target = self.pick(NAMES)
            return f"sum([{target} + 1 for {target} in [{a}, {b}]])"
        if form == 3:
            target = self.pick(NAMES)
            inner = self.pick([*numbers, target])
            return f"(lambda {target}, more={b}: {target} * 2 + more - {inner})({a})"
        if form == 4:
            return f"_last[0] + {a}"
        if form == 5:
            return f"({a} if {b} % 2 else {b})"
        call = self.pick(calls)
        return f"{call}({', '.join(self.pick(numbers) for _ in range(seen[call]))})"

    def function(self, seen, depth, indent, name, count):
        """A function that takes `count` numbers; what it reads of `seen` is of those around it."""
        pad = " " * indent
        parameters = self.draw(st.permutations(NAMES))[:count]
        self.lines.append(f"{pad}def {name}({', '.join(parameters)}):")
        pad += "    "
        # A local hides what is outside from the start of the function: choose them first.
        locals_ = self.draw(st.lists(st.sampled_from(NAMES), max_size=2, unique=True))
        locals_ = [n for n in locals_ if n not in parameters]
        outer = {n: k for n, k in seen.items() if n not in (*parameters, *locals_)}
        mine = dict.fromkeys(parameters)
        rebound = [n for n in outer if outer[n] is None and n not in ("3",)]
        if depth and rebound and self.draw(st.booleans()):
            changed = self.pick(rebound)
            self.lines.append(f"{pad}nonlocal {changed}")
            self.lines.append(f"{pad}{changed} = {changed} + 5")
        for local in locals_:
            self.lines.append(f"{pad}{local} = {self.expression({**outer, **mine})}")
            mine[local] = None
        for _ in range(self.draw(st.integers(0, 2)) if depth < 3 else 0):
            self.count += 1
            inner, takes = f"inner{self.count}", self.draw(st.integers(0, 3))
            self.function({**outer, **mine}, depth + 1, indent + 4, inner, takes)
            mine[inner] = takes
        if self.draw(st.booleans()):
            error = self.pick([n for n in NAMES if n not in mine and n not in outer] or ["error"])
            self.lines.append(f"{pad}try:")
            self.lines.append(f"{pad}    raise ValueError({self.expression({**outer, **mine})})")
            self.lines.append(f"{pad}except ValueError as {error}:")
            self.lines.append(f"{pad}    out.append(str({error}))")
        self.lines.append(f"{pad}return {self.expression({**outer, **mine})}")


@st.composite
def programs(draw):
    """The source of a module with run(), which returns what its functions gave."""
    writer = Writer(draw)
    for i in range(draw(st.integers(1, 3))):
        count = draw(st.integers(0, 4))
        writer.function({}, 0, 4, f"outer{i}", count)
        numbers = ", ".join(str(9 + k) for k in range(count))
        writer.lines.append(f"    out.append(outer{i}({numbers}))")
    return HEAD + "\n".join(writer.lines) + "\n    return out\n"


def bundled(folder, source):
    """The source of that module in a bundle."""
    (folder / "cistern").mkdir(parents=True, exist_ok=True)
    (folder / "cistern/__init__.py").write_text("")
    (folder / "cistern/app.py").write_text(source)
    return Bundle(folder, True, {"cistern.app": ("cistern.app",)}).sources()["cistern/app.py"]


def result(source):
    """What run() returns under CPython."""
    space = {}
    exec(compile(source, "app.py", "exec"), space)
    return space["run"]()


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(source=programs())
def test_nested_functions_do_what_they_did(tmp_path_factory, source):
    folder = tmp_path_factory.getbasetemp() / "scopes"
    made = bundled(folder, source)
    assert result(made) == result(source), made


@pytest.mark.skipif(not micropython(), reason="no MicroPython on this machine")
@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
@given(sources=st.lists(programs(), min_size=8, max_size=8))
def test_nested_functions_do_so_on_micropython(tmp_path_factory, sources):
    folder = tmp_path_factory.getbasetemp() / "scopes"
    made = [bundled(folder, source) for source in sources]
    program = "".join(f"{text}\nprint(run())\n" for text in made)
    done = subprocess.run(
        [*micropython(), "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    said = io.StringIO()
    with redirect_stdout(said):
        for source in sources:
            print(result(source))
    assert done.stdout == said.getvalue()


@pytest.mark.parametrize(
    "source",
    [
        # The parameter of a function within another got the name that the outer one's had got.
        "def run():\n def f(path, what):\n  def g(kind):\n   return kind + path + what\n"
        "  return g(1)\n return f(10, 100)\n",
        "def run():\n def f(path):\n  return [path for path in [path, 2]]\n return f(1)\n",
        "def run():\n def f(e):\n  try:\n   raise ValueError(e)\n  except ValueError as e:\n"
        "   return str(e)\n return f(3)\n",
        "def run():\n def f(n):\n  class C:\n   size = n\n   both = size + n\n  return C.both\n"
        " return f(4)\n",
        "def run():\n def f(n):\n  [last := i for i in range(n)]\n  return last\n return f(4)\n",
        # The new name of a global is read where a parameter needs a name.
        "_total = 5\ndef run():\n def f(a1, a2, a3, a4, a5, a6):\n"
        "  return a1 + a2 + a3 + a4 + a5 + a6 + _total\n return f(1, 2, 3, 4, 5, 6)\n",
    ],
)
def test_names_that_met(tmp_path, source):
    made = bundled(tmp_path, source)
    assert result(made) == result(source), made
