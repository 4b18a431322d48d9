"""The `cistern` command."""

import importlib.metadata
import sys
from typing import Annotated

import typer

from cistern_tools.board.commands import (
    config_app,
    doctor,
    flash,
    log_pull,
    logs,
    repl,
    status,
    sync,
)
from cistern_tools.check import check
from cistern_tools.command import Command, EndlessCommand, Group
from cistern_tools.export import export
from cistern_tools.flash_command import log_app
from cistern_tools.image.commands import image_app
from cistern_tools.log_erase import erase
from cistern_tools.query import query
from cistern_tools.receiver.commands import apikey_app, cloud, part_app
from cistern_tools.run import run
from cistern_tools.sim import sim

# One that can be typed as it is, at the end of each command's help.
EXAMPLES = {
    "run": "cistern run machine.json --for 10m",
    "sim": "cistern sim machine.json --offline --flash board.flash --for 10s --json",
    "check": "cistern check machine.json",
    "cloud": "cistern cloud --listen 0.0.0.0:8443 --name 192.168.1.10",
    "query": 'cistern query "SELECT * FROM readings ORDER BY time DESC LIMIT 10"',
    "export": "cistern export --format parquet -o readings.parquet --since 7d",
    "flash": "cistern flash --port /dev/ttyUSB0 flash.bin",
    "logs": "cistern logs --port /dev/ttyUSB0",
    "status": "cistern status --port /dev/ttyUSB0",
    "sync": "cistern sync --port /dev/ttyUSB0",
    "repl": "cistern repl --port /dev/ttyUSB0",
    "doctor": "cistern doctor --port /dev/ttyUSB0",
    "image build": "cistern image build --firmware ESP32_GENERIC-20250415-v1.25.0.bin "
    "--machine machine.json --wifi-file wifi.txt --cloud https://192.168.1.10:8443 "
    "--ca .cistern/cloud/tls/ca.pem --part-id greenhouse-1 --secret-file greenhouse-1.secret "
    "-o flash.bin",
    "image inspect": "cistern image inspect flash.bin",
    "config push": "cistern config push machine.json --port /dev/ttyUSB0",
    "config pull": "cistern config pull --port /dev/ttyUSB0 -o machine.json",
    "log dump": "cistern log dump board.flash --format csv -o readings.csv",
    "log pull": "cistern log pull --port /dev/ttyUSB0 -o board.log",
    "log erase": "cistern log erase .cistern/board.flash",
    "part add": "cistern part add greenhouse-1 --secret-file greenhouse-1.secret",
    "part list": "cistern part list",
    "part remove": "cistern part remove greenhouse-1",
    "part restart": "cistern part restart greenhouse-1",
    "apikey add": "cistern apikey add --part greenhouse-1 --key-file key.json",
    "apikey list": "cistern apikey list",
    "apikey remove": "cistern apikey remove 7d8f0d0c-6a53-4a59-a8a0-2a1d3bd6bd7b",
}
# They write until somebody has seen enough.
ENDLESS = ("logs", "query", "export", "run", "cloud")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"cistern {importlib.metadata.version('cistern-tools')}")
        raise typer.Exit


def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Capture on an ESP32, keep on flash, sync to a cloud you can query."""


app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    cls=Group,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.callback()(_options)
for command in (run, sim, check, cloud, query, export, flash, logs, status, sync, repl, doctor):
    app.command()(command)
log_app.command("pull")(log_pull)
log_app.command("erase")(erase)
app.add_typer(image_app, name="image")
app.add_typer(config_app, name="config")
app.add_typer(log_app, name="log")
app.add_typer(part_app, name="part")
app.add_typer(apikey_app, name="apikey")


def commands(group=app, before=""):
    """(words, typer's CommandInfo) of each command."""
    for info in group.registered_commands:
        yield before + (info.name or info.callback.__name__), info
    for below in group.registered_groups:
        yield from commands(below.typer_instance, f"{below.name} ")


for words, info in commands():
    info.cls = EndlessCommand if words in ENDLESS else Command
    if words in EXAMPLES:
        info.epilog = f"Example: {EXAMPLES[words]}"
for below in app.registered_groups:
    below.cls = Group


def main() -> None:
    """Run the command that the arguments name."""
    for word in sys.argv[1:]:
        if any("\ud800" <= char <= "\udfff" for char in word):
            shown = word.encode("ascii", "backslashreplace").decode()
            typer.echo(f"cistern: the argument {shown} is not UTF-8", err=True)
            raise SystemExit(2)
    app()
