"""Each thing that a message tells a user to do exists where the message is read."""

import ast
import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from chip_stand_in import chip, images
from cistern_tools import mpy
from cistern_tools.board import link
from cistern_tools.cli import app
from cistern_tools.paths import LIB
from support import eventually, micropython_command

ROOT = Path(__file__).parent.parent
CODE = [*sorted(LIB.rglob("*.py")), *sorted((ROOT / "tools").rglob("*.py"))]
# What is called on a board's REPL: cistern.stop(), and never a module that only the PC has so.
CALLS = re.compile(r"\bcistern\.[\w.]+\([^)]*\)")
COMMANDS = re.compile(r"`cistern ((?:[a-z]+ ?)+)")
PAGES = re.compile(r"\bdocs/\w+\.md")


def messages():
    """(file:line, text) of each text in the code that is no docstring."""
    for path in CODE:
        tree = ast.parse(path.read_text("utf-8"))
        docstrings = {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Expr)}
        for node in ast.walk(tree):
            text = getattr(node, "value", None)
            is_text = isinstance(node, ast.Constant) and isinstance(text, str)
            if is_text and id(node) not in docstrings:
                yield f"{path.relative_to(ROOT)}:{node.lineno}", text


def found(pattern):
    """{what the pattern finds: where} in messages."""
    return {m: where for where, text in messages() for m in pattern.findall(text)}


def test_each_command_that_a_message_names_exists():
    named = found(COMMANDS)
    assert any(words.startswith("log erase") for words in named)
    for words, where in named.items():
        said = CliRunner().invoke(app, [*words.split(), "--help"])
        assert said.exit_code == 0, f"{where}: cistern {words}: {said.output}"


def test_each_page_that_a_message_names_exists():
    for page, where in found(PAGES).items():
        assert (ROOT / page).exists(), f"{where}: {page}"


@pytest.mark.skipif(
    micropython_command() is None or mpy.host_architecture() is None,
    reason="no MicroPython for this machine that loads machine code",
)
def test_each_call_that_a_message_names_exists_on_a_chip(tmp_path):
    calls = found(CALLS)
    assert calls
    image = images.chip_image(tmp_path / "tls", mpy.host_architecture())
    command = chip.command(tmp_path, image, "greenhouse net", images.PSK, "-i")
    with chip.at_serial(command) as serial:
        eventually(lambda: b"start after power on" in serial.said)
        with link.stopped(serial.port) as board:
            for call, where in calls.items():
                function = call.partition("(")[0]
                program = f"import cistern\nprint(callable({function}))"
                assert board.run(program).strip() == "True", f"{where}: {call}"


@pytest.mark.skipif(
    micropython_command() is None or mpy.host_architecture() is None,
    reason="no MicroPython for this machine that loads machine code",
)
def test_a_log_is_erased_on_a_chip(tmp_path):
    image = images.chip_image(tmp_path / "tls", mpy.host_architecture())
    command = chip.command(tmp_path, image, "greenhouse net", images.PSK, "-i")
    with chip.at_serial(command) as serial:
        eventually(lambda: b"start after power on" in serial.said)
        look = (
            "import cistern, esp32\nb = bytearray(64)\n"
            "esp32.Partition.find(1, label='capture')[0].readblocks(0, b, 0)\n"
            "print(b == b'\\xff' * 64)"
        )
        with link.stopped(serial.port) as board:
            assert board.run(look).strip() == "False"
        eventually(lambda: serial.said.count(b"start after power on") == 2)
        erased = CliRunner().invoke(app, ["log", "erase", "--port", serial.port], input="y\n")
        assert erased.exit_code == 0, erased.output
        assert "not synced" in erased.output
        # It began a log anew, whose first boot this is.
        eventually(lambda: serial.said.count(b"start after power on") == 3)
        status = CliRunner().invoke(app, ["status", "--port", serial.port, "--json"])
        assert json.loads(status.stdout)["boot"] == 1, status.output
