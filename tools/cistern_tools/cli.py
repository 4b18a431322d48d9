"""The `cistern` command."""

import typer

from cistern_tools.board.commands import config_app, doctor, flash, log_pull, logs, repl, status
from cistern_tools.check import check
from cistern_tools.export import export
from cistern_tools.flash_command import log_app
from cistern_tools.image.commands import image_app
from cistern_tools.log_erase import erase
from cistern_tools.query import query
from cistern_tools.receiver.commands import apikey_app, cloud, part_app
from cistern_tools.run import run
from cistern_tools.sim import sim

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Capture on an ESP32, keep on flash, sync to a cloud you can query.",
)
for command in (run, sim, check, cloud, query, export, flash, logs, status, repl, doctor):
    app.command()(command)
log_app.command("pull")(log_pull)
log_app.command("erase")(erase)
app.add_typer(image_app, name="image")
app.add_typer(config_app, name="config")
app.add_typer(log_app, name="log")
app.add_typer(part_app, name="part")
app.add_typer(apikey_app, name="apikey")
