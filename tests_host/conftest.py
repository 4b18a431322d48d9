"""Runs every file of shared/ twice: by pytest on CPython, and under MicroPython by mpy_runner.py.

A shared file uses plain functions named test_* without arguments, plain asserts, and nothing that
either interpreter lacks. `CPYTHON_ONLY = {"test_name": "reason"}` in it excuses a test from
MicroPython (and `MICROPYTHON_ONLY` from CPython); the reason is printed as a skip.
"""

import ast
import json
import os
import subprocess
from pathlib import Path

import pytest

from support import LIB, micropython_command

HERE = Path(__file__).parent
SHARED = HERE / "shared"
MPY_TIMEOUT_S = 300


def _excuses(tree, name):
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", None) == name:
            return ast.literal_eval(node.value)
    return {}


def pytest_collect_file(file_path, parent):
    if (
        file_path.parent == SHARED
        and file_path.name.startswith("test_")
        and file_path.suffix == ".py"
    ):
        return MicroPythonFile.from_parent(parent, path=file_path)
    return None


def pytest_collection_modifyitems(items):
    for item in items:
        if isinstance(item, pytest.Function) and item.path.parent == SHARED:
            reason = getattr(item.module, "MICROPYTHON_ONLY", {}).get(item.name)
            if reason:
                item.add_marker(pytest.mark.skip(reason=f"MicroPython only: {reason}"))


class MicroPythonFile(pytest.File):
    """The tests of one shared file, run in one MicroPython process."""

    def collect(self):
        tree = ast.parse(self.path.read_text())
        self.results = None
        self.excused = _excuses(tree, "CPYTHON_ONLY")
        self.names = [
            n.name
            for n in tree.body
            if isinstance(n, ast.FunctionDef) and n.name.startswith("test_")
        ]
        for name in self.names:
            yield MicroPythonItem.from_parent(self, name=f"{name}[micropython]", test=name)

    def run_all(self):
        if self.results is None:
            command = micropython_command()
            if command is None:
                pytest.skip("no micropython on this machine: set CISTERN_MICROPYTHON")
            names = [n for n in self.names if n not in self.excused]
            done = subprocess.run(
                [
                    *command,
                    "-X",
                    "heapsize=8M",
                    str(HERE / "mpy_runner.py"),
                    str(self.path),
                    *names,
                ],
                capture_output=True,
                text=True,
                timeout=MPY_TIMEOUT_S,
                check=False,
                env={**os.environ, "MICROPYPATH": f".frozen:{LIB}:{HERE}"},
            )
            self.results = {}
            for line in done.stdout.splitlines():
                if line.startswith("{"):  # in MicroPython's order of keys
                    row = json.loads(line)
                    self.results[row["test"]] = row
            self.tail = f"exit {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
        return self.results


class MicroPythonItem(pytest.Item):
    """One test function under MicroPython."""

    def __init__(self, *, test, **kwargs):
        super().__init__(**kwargs)
        self.test = test

    def runtest(self):
        reason = self.parent.excused.get(self.test)
        if reason:
            pytest.skip(f"CPython only: {reason}")
        row = self.parent.run_all().get(self.test)
        if row is None:
            raise MicroPythonTestError(f"no result from MicroPython\n{self.parent.tail}")
        if row["outcome"] != "passed":
            raise MicroPythonTestError(row["text"])

    def repr_failure(self, excinfo):
        if isinstance(excinfo.value, MicroPythonTestError):
            return str(excinfo.value)
        return super().repr_failure(excinfo)

    def reportinfo(self):
        return self.path, None, self.name


class MicroPythonTestError(Exception):
    """What the test printed under MicroPython."""
