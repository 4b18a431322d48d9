"""The import laws of docs/DESIGN.md, read off the code."""

import ast

import pytest

from support import LIB, ROOT

CISTERN = LIB / "cistern"
ROOMS = {
    "config": set(),
    "resources": set(),
    "record": set(),
    "store": {"record"},
    "net": set(),
    "cloud": {"net", "record"},
    "capture": {"record", "resources"},
    "sync": {"store", "cloud", "record"},
    "port": set(),
}
ANYWHERE = {"errors", "borrow"}
ONLY_IN_PORT = {"machine", "network", "esp32", "socket", "ssl", "tls", "select", "ntptime"}
SANS_IO = ("config", "record", "store")
DRIVERS = {"net/channel.py", "net/closing.py", "net/streaming.py"}
NOT_ON_THE_CHIP = {
    "typing",
    "dataclasses",
    "enum",
    "abc",
    "functools",
    "contextlib",
    "logging",
    "pathlib",
}
MAX_LINES = 350


def _modules():
    return sorted(p for p in CISTERN.rglob("*.py"))


def _imports(path):
    """(module, line) of every import statement, also those inside functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            yield node.module, node.lineno
            if node.module == "cistern":
                for alias in node.names:
                    yield f"cistern.{alias.name}", node.lineno


def _name(path):
    return path.relative_to(CISTERN).as_posix()


@pytest.mark.parametrize("path", _modules(), ids=_name)
def test_a_room_imports_only_what_it_may(path):
    room = path.relative_to(CISTERN).parts[0]
    if room not in ROOMS:
        return
    for module, line in _imports(path):
        where = f"{_name(path)}:{line} imports {module}"
        parts = module.split(".")
        if parts[0] == "cistern" and len(parts) > 1:
            assert parts[1] == room or parts[1] in ROOMS[room] | ANYWHERE, where
        if room != "port":
            assert parts[0] not in ONLY_IN_PORT, where
        if room in SANS_IO or (room == "net" and _name(path) not in DRIVERS):
            assert parts[0] not in {"asyncio", "time"}, f"{where}: this room is sans-IO"


@pytest.mark.parametrize("path", _modules(), ids=_name)
def test_nothing_on_the_chip_needs_what_the_chip_lacks(path):
    for module, line in _imports(path):
        assert module.split(".")[0] not in NOT_ON_THE_CHIP, (
            f"{_name(path)}:{line} imports {module}"
        )


def test_every_room_of_the_design_exists():
    rooms = {p.name for p in CISTERN.iterdir() if p.is_dir() and p.name != "__pycache__"}
    assert rooms == set(ROOMS)
    for folder in ("firmware", "lib", "boards", "tools", "tests_host", "docs"):
        assert (ROOT / folder).is_dir(), folder
    for file in ("Makefile", "README.md", "pyproject.toml", "LICENSE", ".ci/run"):
        assert (ROOT / file).is_file(), file


def test_rooms_do_not_import_each_other_in_a_circle():
    edges = {}
    for path in _modules():
        room = path.relative_to(CISTERN).parts[0].removesuffix(".py")
        edges.setdefault(room, set()).update(
            m.split(".")[1] for m, _ in _imports(path) if m.startswith("cistern.")
        )
    done, open_ = set(), []

    def visit(room):
        assert room not in open_, " → ".join([*open_, room])
        if room in done:
            return
        open_.append(room)
        for other in sorted(edges.get(room, set()) - {room}):
            visit(other)
        open_.pop()
        done.add(room)

    for room in sorted(edges):
        visit(room)


@pytest.mark.parametrize("path", _modules(), ids=_name)
def test_a_module_is_one_idea_long(path):
    assert len(path.read_text().splitlines()) <= MAX_LINES
