"""Every command, as somebody types it who is in a hurry: a sentence, never a traceback."""

import io
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

from cistern_tools import cli, query
from cistern_tools.receiver.accounts import Accounts
from cistern_tools.receiver.store import Store, database_path
from cistern_tools.run import Board, _screen
from support import EXAMPLES, eventually

COMMANDS = sorted(words for words, _ in cli.commands())


def call(*words, **more):
    return CliRunner().invoke(cli.app, [str(w) for w in words], env={"COLUMNS": "200"}, **more)


def process(*words, **more):
    command = [sys.executable, "-m", "cistern_tools", *map(str, words)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more
    )


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A folder that has a bit of everything, good and bad."""

    def become(*command):
        raise AssertionError(f"this process would become {command}: nothing was refused")

    monkeypatch.setattr(os, "execvpe", become)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CISTERN_WIFI", raising=False)
    (tmp_path / "machine.json").write_bytes((EXAMPLES / "try-out.json").read_bytes())
    (tmp_path / "broken.json").write_text('{"components": [],}')
    (tmp_path / "latin.json").write_bytes(b'{"a": "\xe4"}')
    (tmp_path / "text").write_text("hello")
    (tmp_path / "random.bin").write_bytes(bytes(range(256)) * 256)
    (tmp_path / "short.secret").write_text("abc")
    (tmp_path / "good.secret").write_text("0123456789abcdef")
    (tmp_path / "folder").mkdir()
    (tmp_path / "garbage").mkdir()
    for name in ("accounts.db", "readings.db"):
        (tmp_path / "garbage" / name).write_bytes(b"\x01garbage" * 1000)
    data = tmp_path / ".cistern" / "cloud"
    data.mkdir(parents=True)
    Accounts(data).close()
    Store(database_path(data)).close()
    return tmp_path


BAD = [
    "run nosuch.json",
    "run folder",
    "run broken.json",
    "run latin.json",
    "run --data text",
    "run --data text/below",
    "run --listen x",
    "run --listen 127.0.0.1:99999",
    "run --listen 192.0.2.1:0 --for 1",
    "run --for -1",
    "run --for nan",
    "run --for 1fortnight",
    "run --models nosuch",
    "sim nosuch.json --offline",
    "sim folder --offline",
    "sim machine.json",
    "sim machine.json --cloud x --part-id p --secret-file good.secret",
    "sim machine.json --cloud http://x --part-id p --secret-file nosuch",
    "sim machine.json --cloud http://x --part-id p --secret-file random.bin",
    "sim machine.json --cloud https://x --part-id p --secret-file good.secret --ca text",
    "sim machine.json --cloud https://x --part-id p --secret-file good.secret",
    "sim machine.json --offline --cloud https://x:1",
    "sim machine.json --offline --heap 20K",
    "sim machine.json --offline --heap much",
    "sim machine.json --offline --flash folder",
    "sim machine.json --offline --flash-size 1X",
    "sim machine.json --offline --runtime pypy",
    "sim machine.json --offline --log-level loud",
    "sim machine.json --offline --for -3",
    "sim machine.json --offline --models text",
    "check nosuch.json",
    "check folder",
    "check broken.json",
    "check latin.json",
    "check random.bin",
    "check machine.json --flash-size 3K",
    "check machine.json --heap lots",
    "check machine.json --models nosuch",
    "check",
    "cloud --listen x",
    "cloud --listen 127.0.0.1:-1",
    "cloud --cert text",
    "cloud --cert text --key text",
    "cloud --data text",
    "cloud --data garbage --listen 0",
    "query SELEC",
    "query 'SELECT nosuch FROM readings'",
    "query 'DELETE FROM readings'",
    "query 'SELECT 1; SELECT 2'",
    "query --json --csv",
    "query --data nosuch",
    "query --data text",
    "query --data garbage",
    "export -o .",
    "export -o folder",
    "export -o /",
    "export -o nosuch/x.csv",
    "export -o x.csv --since yesterday",
    "export -o x.csv --since 99999-01-01",
    "export -o x.csv --data nosuch",
    "export -o - --format parquet",
    "export -o x.xml --format xml",
    "export",
    "flash nosuch.bin",
    "flash folder",
    "flash text",
    "flash random.bin --port nosuch",
    "logs --port nosuch",
    "logs --port text",
    "status --port nosuch",
    "sync --port nosuch",
    "sync --port nosuch --for soon",
    "repl --port nosuch",
    "doctor --port nosuch",
    "image build",
    "image build --firmware nosuch --machine machine.json --cloud http://x --part-id p "
    "--secret-file good.secret --wifi-open w -o x.bin",
    "image inspect nosuch",
    "image inspect folder",
    "image inspect random.bin",
    "config push --port nosuch",
    "config push nosuch.json --port nosuch",
    "config push latin.json --port nosuch",
    "config push --wifi x --port nosuch",
    "config push --wifi-file random.bin --port nosuch",
    "config push --secret-file folder --port nosuch",
    "config push --ca text --port nosuch",
    "config push --ip 1.2.3 --port nosuch",
    "config pull --port nosuch",
    "log dump nosuch",
    "log dump text",
    "log dump folder",
    "log dump random.bin --format parquet",
    "log pull --port nosuch -o x",
    "log erase",
    "log erase nosuch --yes",
    "log erase folder --yes",
    "log erase text --yes",
    "log erase --port nosuch --yes",
    "part add 'a b'",
    "part add ../x",
    "part add p --secret-file short.secret",
    "part add p --secret-file folder",
    "part add p --secret-file random.bin",
    "part add p --data text",
    "part add p --data garbage",
    "part list --data nosuch",
    "part list --data garbage",
    "part remove nobody",
    "part restart nobody",
    "apikey add --part nobody",
    "apikey add --key-file text",
    "apikey list --data nosuch",
    "apikey remove nothing",
    "nosuch",
    "log nosuch",
]


@pytest.mark.parametrize("line", BAD)
def test_whatever_is_wrong_is_said_in_a_sentence(home, line):
    done = call(*shlex.split(line))
    assert isinstance(done.exception, SystemExit), (done.output, done.exception)
    assert done.exit_code in (1, 2), done.output
    assert "Traceback" not in done.output and "Error(" not in done.output
    assert re.search(r"\w+ \w+", done.stderr + done.stdout), "no sentence"
    assert "PosixPath" not in done.output and "[Errno" not in done.output, done.output


def test_the_table_of_bad_input_has_every_command():
    assert {c for c in COMMANDS for line in BAD if line.startswith(c)} == set(COMMANDS)


def test_flash_speaks_of_the_file_before_it_looks_for_a_port(home):
    assert call("flash", "nosuch.bin").stderr == "cistern: nosuch.bin: No such file or directory\n"
    assert call("flash", "text").stderr.startswith("cistern: text: ")


def test_sim_refuses_a_cloud_that_it_could_not_verify_and_one_beside_offline(home):
    board = ["sim", "machine.json", "--for", "1"]
    cloud = [*board, "--part-id", "p", "--secret-file", "good.secret", "--cloud"]
    said = call(*cloud, "https://localhost:1").stderr
    assert "give --ca FILE" in said
    said = call(*cloud, "https://localhost:1", "--ca", "machine.json").stderr
    assert "machine.json is no certificate" in said and "ParseError" not in said
    said = call(*cloud, "http://localhost:1", "--offline").stderr
    assert "leave out --cloud, --part-id, --secret-file" in said
    assert "leave out --server-name" in call(*board, "--offline", "--server-name", "x").stderr
    assert not (home / "flash.bin").exists()


@pytest.mark.parametrize("words", COMMANDS)
def test_the_help_has_an_example_that_can_be_typed(home, words):
    done = call(*words.split(), "-h")
    assert done.exit_code == 0
    said = " ".join(done.stdout.split())
    example = cli.EXAMPLES[words]
    assert f"Example: {example}" in said
    assert "<bool>" not in said, "a flag takes no value"
    for name in re.findall(r"[\w.-]+\.(?:bin|secret|txt|flash|pem|log)\b", example):
        (home / name).write_text("x")
    given = shlex.split(example)
    assert given[: 1 + len(words.split())] == ["cistern", *words.split()]
    command = typer.main.get_command(cli.app)
    for word in words.split():
        command = command.commands[word]
    context = command.make_context(words, given[1 + len(words.split()) :])
    assert context.command is command


def test_help_and_version():
    for word in ("-h", "--help"):
        done = call(word)
        assert done.exit_code == 0 and "check" in done.stdout and "<bool>" not in done.stdout
    done = call("--version")
    assert done.exit_code == 0 and re.fullmatch(r"cistern \d+\.\d+\.\d+\n", done.stdout)


def test_an_argument_that_is_not_utf8_is_said(home):
    done = subprocess.run(
        [sys.executable, "-m", "cistern_tools", "check", b"\xe4.json"],
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == 2 and b"is not UTF-8" in done.stderr


@pytest.mark.parametrize(("machine", "status"), [("machine.json", 0), ("bad.json", 1)])
def test_a_pipe_that_closes_early_does_not_change_what_check_found(home, machine, status):
    wrong = json.loads((home / "machine.json").read_text())
    wrong["components"][0]["model"] = "nosuch"
    (home / "bad.json").write_text(json.dumps(wrong))
    running = process("check", machine)
    running.stdout.close()
    assert running.wait(60) == status
    assert running.stderr.read() == ""
    running.stderr.close()


def test_lists_make_nothing(tmp_path):
    data = tmp_path / "data"
    for words in (
        "part list",
        "part remove x",
        "part restart x",
        "apikey list",
        "apikey remove x",
    ):
        done = call(*words.split(), "--data", data)
        assert done.exit_code == 1 and "there is no receiver's data in" in done.stderr
        assert not data.exists()
    assert call("part", "add", "a b", "--data", data).exit_code == 1
    assert not data.exists()


def test_times_of_old_are_compared_as_times(home):
    done = call("export", "-o", "x.csv", "--since", "0900-01-01")
    assert done.exit_code == 0, done.output
    from cistern_tools.export import parse_time

    assert parse_time("0900-01-01") == "0900-01-01T00:00:00.000000Z" < parse_time("2026-01-01")


def test_columns_of_one_name_are_all_in_the_json(home):
    done = call(
        "query", "SELECT 1 AS a, 2 AS a, 3 AS a_2, '[4]' AS payload, '[5]' AS payload", "--json"
    )
    (row,) = json.loads(done.stdout)
    assert row == {"a": 1, "a_3": 2, "a_2": 3, "payload": [4], "payload_2": [5]}
    assert query.distinct(["x", "x", "x"]) == ["x", "x_2", "x_3"]


def test_a_folder_with_a_log_is_dumped_as_a_flash_is(home):
    machine = json.loads((home / "machine.json").read_text())
    machine["services"][0]["attributes"]["capture_dir"] = str(home / "capture")
    (home / "dir.json").write_text(json.dumps(machine))
    running = process("sim", "dir.json", "--offline", "--for", "2s", "--heap", "400K", "--json")
    out, err = running.communicate(timeout=60)
    assert running.returncode == 0, err
    captured = sum(s["captured"] for s in json.loads(out.splitlines()[-1])["streams"].values())
    done = call("log", "dump", home / "capture", "--format", "json")
    assert done.exit_code == 0, done.stderr
    assert len(done.stdout.splitlines()) == captured > 100


def test_a_heap_that_is_too_small_is_said_in_words(home):
    for heap in ("26K", "40K", *(f"{kb}K" for kb in range(50, 90, 4))):
        running = process(
            "sim", "machine.json", "--offline", "--for", "1", "--heap", heap, "--json"
        )
        out, err = running.communicate(timeout=60)
        assert "Traceback" not in out + err, (heap, out, err)
        for line in out.splitlines():
            json.loads(line)
        assert running.returncode == 0 or "memory" in err or "heap" in err, (heap, err)


@pytest.mark.parametrize("listen", ["0", "127.0.0.1:0", "[::1]:0"])
def test_run_and_its_second_beside_it(home, listen):
    running = process("run", "machine.json", "--listen", listen, "--data", "home")
    try:
        eventually((home / "home" / "cloud" / "receiver.lock").exists)
        first = [running.stdout.readline() for _ in range(2)]
        assert "receiver at https://" in first[0], first
        second = process("run", "--data", "home", "--for", "1")
        _, said = second.communicate(timeout=60)
        assert second.returncode == 1
        assert said.startswith("cistern: another receiver is running on home/cloud"), said
        assert said.count("\n") == 1
    finally:
        running.send_signal(signal.SIGINT)
        _, err = running.communicate(timeout=60)
    assert running.returncode == 0, err


def test_run_takes_a_port_that_is_in_use_with_a_sentence(home):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = call("run", "machine.json", "--listen", taken.getsockname()[1], "--for", "1")
    assert done.exit_code == 1 and "in use" in done.stderr, done.output


def test_run_runs_the_machine_that_it_was_given_and_says_what_is_wrong_with_it(home):
    models = EXAMPLES / "models"
    own = EXAMPLES / "own-models.json"
    running = process("run", own, "--models", models, "--for", "3s", "--data", "home")
    out, err = running.communicate(timeout=60)
    assert running.returncode == 0, err
    assert 'warning: components[2] "sun"' in err
    (home / "home" / "cloud" / "machines").mkdir(exist_ok=True)
    cloud = home / "home" / "cloud" / "machines" / "dev-board.json"
    cloud.write_bytes((EXAMPLES / "try-out.json").read_bytes())
    running = process("run", "machine.json", "--for", "1s", "--data", "home")
    out, err = running.communicate(timeout=60)
    assert f"the receiver has {cloud.relative_to(home)}, which takes the place of" in out


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_of_run_can_be_read_in_a_terminal_of_80(width):
    from rich.console import Console

    board = Board()
    row = {
        "captured": 1234567,
        "durable": 1234560,
        "synced": 1234000,
        "pending": 560,
        **dict.fromkeys(("dropped", "late", "missed"), 0),
    }
    names = ("esp32/Analogs(reader_name=temperature)", "greenhouse/Readings")
    board.status = {"t": 1.0, "link": "up", "streams": dict.fromkeys(names, row)}
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(_screen(board, "x", width))
    text = console.export_text()
    for words in ("captured", "durable", "synced", "pending", "1,234,567", "1,234,560", "560"):
        assert words in text, text
    assert all(len(line) <= width for line in text.splitlines())
    assert "dropped" not in text
    board.status["streams"][names[0]] = row | {"missed": 7, "dropped": 3, "late": 1}
    console.print(_screen(board, "x", width))
    text = console.export_text()
    for words in ("1,234,567", "missed", "dropped", "late"):
        assert words in text, text
