"""The commands for a board at a serial port."""

import datetime
import json
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cistern_tools import paths
from cistern_tools.board import BoardError
from cistern_tools.command import fail, size
from cistern_tools.command import seconds as duration
from cistern_tools.image import ImageError
from cistern_tools.image.commands import write_private

config_app = typer.Typer(no_args_is_help=True, help="The configuration of a board that runs.")

Port = Annotated[
    str, typer.Option("--port", "-p", help="Serial port; not needed if there is only one.")
]
Baud = Annotated[int, typer.Option(help="Speed of the serial port while flash is moved.")]
BAUD = 460800
SYNC_S = 120  # the start, Wi-Fi, TLS, and some 500 KB of readings
STATUS = "import cistern, json\nprint(json.dumps(cistern.status()))"
STYLES = {"ok": "green", "warning": "yellow", "bad": "bold red"}


def flash(
    image: Annotated[Path, typer.Argument(help="What cistern image build made.")],
    port: Port = "",
    keep_nvs: Annotated[
        bool, typer.Option("--keep-nvs", help="The board keeps its Wi-Fi, cloud and secrets.")
    ] = False,
    keep_log: Annotated[
        bool,
        typer.Option("--keep-log", help="The board keeps its capture log; else that is erased."),
    ] = False,
    baud: Baud = BAUD,
) -> None:
    """Write an image to a board, verified by the chip; then the board starts, with this PC's time.
    """
    from cistern_tools.board import clock, link, loader, ports
    from cistern_tools.image import firmware

    keep = [label for label, wanted in (("nvs", keep_nvs), ("capture", keep_log)) if wanted]
    try:
        raw = image.read_bytes()
        firmware.find(raw)
        chosen = ports.choose(port)
        loader.flash(chosen, raw, keep, baud)
    except OSError as e:
        fail(f"{image}: {e.strerror or e}")
    except ImageError as e:
        fail(f"{image}: {e}")
    except BoardError as e:
        fail(e)
    kept = f"; kept {' and '.join(keep)}" if keep else ""
    try:
        with link.started(chosen) as board:
            clock.set_from_pc(board)
    except BoardError as e:
        why = f"{e}. Without a time server it has none: cistern sync sets it"
        typer.echo(f"cistern: warning: the board's clock is not set: {why}", err=True)
    typer.echo(f"{image} is on the board, verified{kept}. Next: cistern logs --port {chosen}")


@config_app.command("push")
def config_push(
    machine: Annotated[
        Path | None, typer.Argument(help="Machine configuration; without it, it stays.")
    ] = None,
    port: Port = "",
    wifi: Annotated[
        str, typer.Option(metavar="SSID:PASS", help="Another network; see cistern image build.")
    ] = "",
    wifi_file: Annotated[Path | None, typer.Option(help="The same in two lines.")] = None,
    wifi_open: Annotated[str, typer.Option(metavar="SSID", help="An open network.")] = "",
    cloud: Annotated[str, typer.Option(help="Another cloud.")] = "",
    part_id: Annotated[str, typer.Option(help="Another part id.")] = "",
    secret_file: Annotated[Path | None, typer.Option(help="File with another secret.")] = None,
    ca: Annotated[Path | None, typer.Option(help="Another CA certificate.")] = None,
    server_name: Annotated[
        str | None, typer.Option(help='Name in the certificate; "" for the URL\'s.')
    ] = None,
    ip: Annotated[
        str | None,
        typer.Option(metavar="IP/MASK/GATEWAY/DNS", help='Fixed addresses; "" for DHCP.'),
    ] = None,
    ntp: Annotated[str | None, typer.Option(help='Time server; "" for pool.ntp.org.')] = None,
    heap: Annotated[
        str,
        typer.Option(metavar="SIZE", help="What the board has for Python with Wi-Fi up."),
    ] = "147K",
) -> None:
    """Give a board another configuration, all of it or a part; it starts again with that.

    Its clock is set to this PC's time.
    """
    from cistern_tools.board import clock, config, link, ports
    from cistern_tools.image import order

    try:
        raw = None
        if machine:
            raw = order.read_file(machine, "the machine configuration")
            for warning in order.check_machine(raw, str(machine), size(heap)):
                typer.echo(f"cistern: warning: {warning}", err=True)
        values = _values(cloud, part_id, secret_file, server_name, ip, ntp)
        if wifi or wifi_file or wifi_open:
            values["ssid"], values["psk"] = order.wifi(wifi, wifi_file, wifi_open)
        files = order.ca_files(order.read_file(ca, "the CA file"), str(ca)) if ca else None
        if raw is None and not values and not files:
            fail("nothing to push: give machine.json, or one of the options")
        order.check_values(values)
        with link.stopped(ports.choose(port)) as board:
            if machine and config.has_little_room(board, values):
                order.check_machine(raw, str(machine), size(heap), https=True)
            config.push(board, raw, values, files)
            clock.set_from_pc(board)
    except (BoardError, ImageError) as e:
        fail(e)
    typer.echo("the board has the new configuration and starts again")


def _values(cloud, part_id, secret_file, server_name, ip, ntp):
    """{key of the NVS: text, None to remove it} of those that were given."""
    from cistern_tools.image import order

    values = {}
    if cloud:
        order.check_url(cloud)
        values["cloud_url"] = cloud
    if part_id:
        values["part_id"] = part_id
    if secret_file:
        values["secret"] = order.read_secret(secret_file)
    if server_name is not None:
        values["server_name"] = server_name or None
    if ip is not None:
        order.check_ip(ip)
        values["ifconfig"] = ip or None
    if ntp is not None:
        values["ntp"] = ntp or None
    return values


@config_app.command("pull")
def config_pull(
    port: Port = "",
    output: Annotated[Path | None, typer.Option("-o", help="File; else stdout.")] = None,
) -> None:
    """Write the board's machine.json; the rest of its configuration is listed, secrets masked."""
    from cistern_tools.board import config, link, ports

    try:
        with link.stopped(ports.choose(port)) as board:
            settings = config.settings(board)
            machine = config.pull(board)
    except BoardError as e:
        fail(e)
    for key, value in sorted(settings.items()):
        typer.echo(f"{key}: {value}", err=True)
    if output:
        try:
            output.write_bytes(machine)
        except OSError as e:
            fail(f"{output} cannot be written: {e.strerror or e}")
    else:
        sys.stdout.write(machine.decode("utf-8", "replace"))


def logs(port: Port = "") -> None:
    """Follow what a board says until Ctrl-C; its program is not disturbed."""
    from cistern_tools.board import link, ports

    def write(data):
        sys.stdout.write(data.decode("utf-8", "replace"))
        sys.stdout.flush()

    try:
        with link.Link(ports.choose(port)) as board:
            board.follow(write)
    except BoardError as e:
        fail(e)
    except KeyboardInterrupt:
        typer.echo("")


def status(
    port: Port = "",
    as_json: Annotated[bool, typer.Option("--json", help="As the board says it.")] = False,
) -> None:
    """Show what a board has captured, stored and synced. It pauses for a moment."""
    from cistern_tools.board import link, ports

    try:
        with link.stopped(ports.choose(port)) as board:
            found = board.ask(STATUS)
    except BoardError as e:
        fail(e)
    if found is None:
        fail("the board's program had not started yet: it starts now, ask again in a few seconds")
    if as_json:
        print(json.dumps(found))
        return
    console = Console(soft_wrap=True, highlight=False)
    streams = found.get("streams", {})
    columns = list(next(iter(streams.values()), {}))
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("stream", overflow="fold")
    for column in columns:
        table.add_column(column, justify="right")
    for name, row in sorted(streams.items()):
        table.add_row(name, *(str(row[c]) for c in columns))
    console.print(table)
    for key, value in found.items():
        if key != "streams":
            console.print(f"{key}: {value}", markup=False)
    if found.get("clock", "set") != "set":
        console.print(
            "no clock: the board does not know the time since power came, so its readings wait or "
            "go out as time-bounded: cistern sync sets it from this PC; for good, let it reach a "
            "time server (UDP port 123, cistern config push --ntp HOST)",
            style="yellow",
        )


def sync(
    port: Port = "",
    seconds: Annotated[
        float,
        typer.Option(
            "--for",
            parser=duration,
            metavar="SECONDS",
            help="Wait so long at most for the end of it, such as 120, 90s or 5m.",
        ),
    ] = SYNC_S,
) -> None:
    """Have a board sync now, also where sync is disabled, and wait for the end of it.

    Its clock is set to this PC's time, and its program starts again. Exit status: 0, or 1 where
    not all that it had was synced.
    """
    from cistern_tools.board import clock, link, ports

    try:
        with link.Link(ports.choose(port)) as board:
            with link.paused(board):
                clock.set_from_pc(board)
                clock.ask_sync(board)
            done, what = clock.outcome(board, seconds)
    except BoardError as e:
        fail(e)
    if not done:
        fail(f"sync {what}")
    typer.echo(f"sync {what}")


def repl(port: Port = "") -> None:
    """Talk to a board's Python (mpremote); Ctrl-] leaves, Ctrl-D starts the program again."""
    from cistern_tools.board import ports

    try:
        chosen = ports.choose(port)
    except BoardError as e:
        fail(e)
    command = [sys.executable, "-m", "mpremote", "connect", chosen, "resume", "repl"]
    raise typer.Exit(subprocess.run(command).returncode)


def log_pull(
    output: Annotated[Path, typer.Option("-o", help="The image of the log.")],
    port: Port = "",
    baud: Baud = BAUD,
) -> None:
    """Read a board's capture log back; the board starts again afterwards."""
    from cistern_tools import flashlog
    from cistern_tools.board import loader, ports
    from cistern_tools.image.contents import readings

    try:
        raw = loader.pull_log(ports.choose(port), baud)
    except BoardError as e:
        fail(e)
    write_private(output, raw)
    try:
        log = flashlog.read_image(raw)
        counts = ", ".join(f"{n} {state}" for state, n in sorted(readings(log).items()))
        typer.echo(f"{output}: log {log.log_id}: {counts or 'no readings'}")
    except flashlog.NotALogError as e:
        typer.echo(f"{output}: {'empty' if not raw.strip(bytes([255])) else e}")


def doctor(port: Port = "") -> None:
    """Examine a board, its network and its cloud; each line says what to do.

    Exit status: 0, or 1 when something is bad.
    """
    from cistern_tools.board import doctor as examination
    from cistern_tools.board import link, ports

    paths.use_library()
    console = Console(soft_wrap=True, highlight=False)
    try:
        chosen = ports.choose(port)
        with link.stopped(chosen) as board:
            _print_line(console, examination.Line("ok", "port", f"{chosen} answers"))
            facts = board.ask(examination.facts_program())
            ca = board.read("/ca.der") or board.read("/ca.pem")
    except BoardError as e:
        _print_line(console, examination.Line("bad", "port", str(e)))
        raise typer.Exit(1) from None
    bad = False
    for line in examination.judge(facts, datetime.datetime.now(datetime.UTC), ca=ca):
        _print_line(console, line)
        bad = bad or line.state == examination.BAD
    if bad:
        raise typer.Exit(1)


def _print_line(console, line):
    console.print(
        Text.assemble(
            (f"{line.state:8}", STYLES[line.state]),
            (f"{line.name:12}", "bold"),
            line.found,
            f" → {line.do}" if line.do else "",
        )
    )
