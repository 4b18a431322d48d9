"""`cistern image build` and `cistern image inspect`."""

import json
import os
import time
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from cistern_tools.command import fail, size
from cistern_tools.image import ImageError

image_app = typer.Typer(
    no_args_is_help=True, help="Flash images: stock MicroPython with Cistern in it."
)

Firmware = Annotated[
    Path, typer.Option(help="MicroPython's .bin for the board, as it was downloaded.")
]
Machine = Annotated[Path, typer.Option(help="Machine configuration, Viam's JSON.")]


@image_app.command("build")
def image_build(
    firmware: Firmware,
    machine: Machine,
    cloud: Annotated[str, typer.Option(help="URL of the cloud, https://host:port.")],
    part_id: Annotated[str, typer.Option(help="This board's part id.")],
    secret_file: Annotated[Path, typer.Option(help="File with the part's secret.")],
    output: Annotated[Path, typer.Option("-o", help="The image.")],
    board: Annotated[str, typer.Option(help="A folder of boards/.")] = "esp32_generic",
    heap: Annotated[
        str,
        typer.Option(metavar="SIZE", help="What the board has for Python, if not as its kind."),
    ] = "",
    wifi: Annotated[
        str,
        typer.Option(
            metavar="SSID:PASS",
            help="Wi-Fi network. The password shows in process lists: CISTERN_WIFI in the "
            "environment and --wifi-file keep it private.",
        ),
    ] = "",
    wifi_file: Annotated[
        Path | None, typer.Option(help="File with two lines: the network's name, its password.")
    ] = None,
    wifi_open: Annotated[str, typer.Option(metavar="SSID", help="An open network.")] = "",
    ca: Annotated[
        Path | None, typer.Option(help="CA certificate that the cloud is verified by, PEM or DER.")
    ] = None,
    server_name: Annotated[
        str, typer.Option(help="Name in the cloud's certificate, if not the URL's.")
    ] = "",
    ip: Annotated[
        str, typer.Option(metavar="IP/MASK/GATEWAY/DNS", help="Fixed addresses instead of DHCP.")
    ] = "",
    ntp: Annotated[
        str,
        typer.Option(help="Time server, host or host:port, where pool.ntp.org is not reached."),
    ] = "",
) -> None:
    """Make the image of a board's whole flash. It holds secrets: only you can read the file."""
    from cistern_tools.image import boards, order
    from cistern_tools.image import firmware as firmwares
    from cistern_tools.image.build import build

    try:
        kind = boards.load(board)
        network = order.wifi(wifi, wifi_file, wifi_open)
        raw = order.read_file(machine, "the machine configuration")
        micropython = order.read_file(firmware, "the firmware")
        frozen = firmwares.read(micropython, firmware.name).has_cistern
        own = kind.own or frozen
        https = cloud.startswith("https:") and kind.chip == "esp32" and not own
        usual = kind.heap if own == kind.own else kind.heap + boards.FROZEN
        warnings = order.check_machine(raw, str(machine), size(heap) if heap else usual, https)
        if own and not frozen:
            warnings.append(
                f"{firmware.name} has no Cistern in it, and board {board} is for firmware that "
                f"has: make firmware BOARD={board} makes it (docs/FIRMWARE.md). Where code takes "
                "heap there may be no memory to sync over https"
            )
        ordered = _order(
            raw, network, cloud, part_id, secret_file, ca, server_name, ip, ntp, warnings
        )
        image = build(ordered, kind, micropython, firmware.name)
    except ImageError as e:
        fail(e)
    for warning in warnings:
        typer.echo(f"cistern: warning: {warning}", err=True)
    write_private(output, image)
    typer.echo(f"{output}: {len(image)} bytes for board {board}. Next: cistern flash {output}")


def _order(raw, network, cloud, part_id, secret_file, ca, name, ip, ntp, warnings):
    """The Order; what is to be known about it is added to `warnings`."""
    from cistern_tools.image import order

    ssid, psk = network
    secret = order.read_secret(secret_file)
    certificates = order.ca_files(order.read_file(ca, "the CA file"), str(ca)) if ca else {}
    order.check_cloud(cloud, certificates, part_id)
    order.check_ip(ip)
    if psk is None:
        warnings.append(f"Wi-Fi {ssid} has no password: whoever is near can join it")
    if cloud.startswith("http:"):
        warnings.append(f"{cloud} is not encrypted: readings and the secret can be read")
    return order.Order(
        raw, ssid, psk, cloud, part_id, secret, certificates, name, ip, ntp, int(time.time())
    )


def write_private(path, data):
    """Write a file that only its owner can read, in one step."""
    fresh = path.with_name(path.name + ".new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh.unlink(missing_ok=True)
        descriptor = os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        fresh.replace(path)
    except OSError as e:
        fail(f"{path} cannot be written: {e.strerror or e}")


@image_app.command("inspect")
def image_inspect(
    image: Annotated[Path, typer.Argument(help="Image of a whole flash.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Show what an image holds: partitions, firmware, files, configuration, the capture log.

    Exit status: 0, or 1 when it is no image or something is missing in it.
    """
    from cistern_tools.image.contents import inspect

    try:
        contents = inspect(image.read_bytes())
    except OSError as e:
        fail(f"{image}: {e.strerror or e}")
    except ImageError as e:
        fail(f"{image}: {e}")
    if as_json:
        print(json.dumps(_as_dict(contents), indent=2))
    else:
        _show(contents)
    for what in contents.missing:
        typer.echo(f"cistern: {image}: {what}", err=True)
    if contents.missing:
        raise typer.Exit(1)


def _as_dict(contents):
    from cistern_tools.image.contents import readings

    f = contents.firmware
    log = contents.log
    return {
        "chip": f.chip,
        "flash_size": f.flash_size,
        "firmware": {"version": f.version, "date": f.date, "machine": f.machine},
        "partitions": [
            {"label": p.label, "kind": p.kind, "offset": p.offset, "size": p.size}
            for p in contents.table
        ],
        "files": {path: len(data) for path, data in sorted(contents.files.items())},
        "configuration": contents.configuration,
        "machine": contents.files.get("/machine.json", b"").decode("utf-8", "replace"),
        "log": {"id": log.log_id, "readings": readings(log)} if log else contents.log_state,
        "missing": contents.missing,
    }


def _show(contents):
    console = Console(soft_wrap=True, highlight=False)
    shown = _as_dict(contents)
    f = shown["firmware"]
    console.print(f"MicroPython {f['version']} of {f['date']}, {f['machine']}", markup=False)
    console.print(f"for {shown['chip']} with {shown['flash_size'] // 1024} KiB of flash")
    console.print(
        _table(
            ("partition", "kind", "at", "bytes"),
            [
                (p["label"], p["kind"], f"0x{p['offset']:06x}", str(p["size"]))
                for p in shown["partitions"]
            ],
        )
    )
    files = [(path, str(size)) for path, size in shown["files"].items()]
    console.print(_table(("file", "bytes"), files))
    console.print(f"{len(files)} files, {sum(shown['files'].values())} bytes")
    console.print(_table(("configuration", ""), list(shown["configuration"].items())))
    log = shown["log"]
    if isinstance(log, dict):
        counts = ", ".join(f"{n} {state}" for state, n in sorted(log["readings"].items()))
        log = f"{log['id']}: {counts or 'no readings'}"
    console.print(f"capture log: {log}", markup=False)


def _table(columns, rows):
    table = Table(*columns, box=box.SIMPLE_HEAD, pad_edge=False)
    for row in rows:
        table.add_row(*row)
    return table
