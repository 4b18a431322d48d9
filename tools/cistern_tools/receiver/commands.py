"""The receiver's commands: `cistern cloud`, `cistern part ...`, `cistern apikey ...`."""

import asyncio
import contextlib
import json
import logging
import os
import shlex
import signal
import socket
import ssl
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from .. import devca
from ..command import address, fail
from . import accounts
from .accounts import AccountError, Accounts

DATA_DIR = Path(".cistern/cloud")
ANY_HOST = ("0.0.0.0", "::")

Data = Annotated[Path, typer.Option("--data", help="Folder of the receiver.")]
part_app = typer.Typer(
    no_args_is_help=True, help="Parts (boards) that may log in to the receiver."
)
apikey_app = typer.Typer(no_args_is_help=True, help="API keys, for programs that upload or read.")


@contextlib.contextmanager
def _accounts(data, make=False):
    """The accounts of a data folder, which is made only where something goes into it."""
    if not make and not (data / accounts.FILE_NAME).exists():
        fail(
            f"there is no receiver's data in {data}: cistern part add makes it, and --data names "
            "another folder"
        )
    try:
        if make:
            data.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.closing(Accounts(data)) as opened:
            yield opened
    except AccountError as e:
        fail(e)
    except OSError as e:
        fail(f"{e.filename or data}: {e.strerror or e}")


# cistern cloud


def cloud(
    data: Data = DATA_DIR,
    listen: Annotated[
        str,
        typer.Option(
            metavar="[HOST:]PORT", help="Where to listen; port 0 takes a free one."
        ),
    ] = "127.0.0.1:0",
    cert: Annotated[Path | None, typer.Option(help="Certificate chain, PEM.")] = None,
    key: Annotated[Path | None, typer.Option(help="Private key of the certificate, PEM.")] = None,
    dev: Annotated[
        bool,
        typer.Option(
            "--dev", help="Use a development CA in DATA/tls, made on first use (the default)."
        ),
    ] = False,
    name: Annotated[
        list[str] | None,
        typer.Option(
            help="With --dev: one more host name or address for the certificate (can be repeated)."
        ),
    ] = None,
    plaintext: Annotated[
        bool,
        typer.Option("--plaintext", help="No TLS: readings and secrets can be read on the way."),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help='Print {"url": ..., "ca": ...} when ready.')
    ] = False,
):
    """Run a receiver: devices log in, get their configuration, and upload readings."""
    host, port = address(listen, "127.0.0.1")
    if (cert is None) != (key is None):
        fail("--cert and --key belong together")
    if sum((cert is not None, dev, plaintext)) > 1:
        fail("choose one of --cert with --key, --dev and --plaintext")
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(levelname)s %(message)s")
    for library in ("grpclib", "asyncio", "h2", "hpack"):
        logging.getLogger(library).setLevel(logging.CRITICAL)
    os.umask(0o077)
    try:
        context, ca = _tls(data, host, cert, key, plaintext, name or [])
        asyncio.run(_run(data, host, port, context, ca, as_json))
    except OSError as e:
        fail(f"{e.filename or listen}: {e.strerror or e}")


def _tls(data, host, cert, key, plaintext, names):
    """Returns (SSLContext or None, CA file or None)."""
    from .server import dev_tls_context, tls_context

    if plaintext:
        logging.warning(
            "no TLS: anybody on the way can read secrets and readings, and change them"
        )
        return None, None
    if cert is not None:
        try:
            devca.check_pair(cert, key)
            return tls_context(cert, key), None
        except ValueError as e:
            fail(e)
        except ssl.SSLError as e:
            fail(f"--cert {cert} --key {key} cannot be used: OpenSSL says {e.reason or e}")
    reachable = [*names, *own_names(host)]
    return dev_tls_context(data, reachable)


def own_names(host):
    """Returns names and addresses under which a receiver bound to `host` can be reached."""
    if host not in ANY_HOST:
        return [host]
    name = socket.gethostname()
    found = {name, f"{name}.local"}
    with contextlib.suppress(OSError):  # no network: then nobody can reach us by address either
        for family, address in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
            with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect(
                    (address, 9)
                )  # sends nothing; chooses the address of the default route
                found.add(probe.getsockname()[0].partition("%")[0])
    return sorted(found)


async def _run(data, host, port, context, ca, as_json):
    from .server import serve
    from .store import StoreError

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    try:
        async with serve(data, host, port, context) as receiver:
            _say_ready(receiver, ca, as_json)
            await stop.wait()
            logging.info("stopping")
    except (StoreError, AccountError) as e:
        fail(e)


def _say_ready(receiver, ca, as_json):
    url = receiver.url
    if receiver.host in ANY_HOST:
        url = receiver._replace(
            host=next(iter(_addresses(receiver.host)), socket.gethostname())
        ).url
    if as_json:
        print(json.dumps({"url": url, "ca": str(ca.resolve()) if ca else None}), flush=True)
    else:
        print(f"receiver ready at {url}" + (f" (CA certificate: {ca})" if ca else ""), flush=True)


def _addresses(host):
    return [name for name in own_names(host) if name[0].isdigit()]


# cistern part


@part_app.command("add")
def part_add(
    part_id: Annotated[str, typer.Argument(help="Id of the part.")],
    data: Data = DATA_DIR,
    secret_file: Annotated[
        Path | None,
        typer.Option(
            help="File with the part's secret; made, with a random one, if it does not exist. "
            "Default: DATA/secrets/PART_ID"
        ),
    ] = None,
    replace: Annotated[
        bool,
        typer.Option(
            "--replace", help="Give a part that exists the secret of the file; its tokens end."
        ),
    ] = False,
):
    """Let a part log in, with the secret in a file."""
    try:
        accounts.check_part_id(part_id)
    except AccountError as e:
        fail(e)
    with _accounts(data, make=True) as known:
        path = secret_file or data / "secrets" / part_id
        made = accounts.ensure_secret_file(path)
        before = known.knows_part(part_id)
        changed = known.add_part(part_id, accounts.read_secret_file(path), replace)
        state = "added"
        if before:
            state = "has another secret now" if changed else "is there already"
        typer.echo(f"part {part_id} {state}; its {'new ' if made else ''}secret is in {path}")
        typer.echo(
            f"For cistern image build and cistern sim: --part-id {part_id} "
            f"--secret-file {shlex.quote(str(path))}, and what cistern cloud prints: --cloud URL, "
            "--ca FILE"
        )


@part_app.command("list")
def part_list(data: Data = DATA_DIR):
    """List the parts that may log in."""
    with _accounts(data) as known:
        for entity, _, created in known.entities(accounts.ROBOT_SECRET):
            typer.echo(f"{entity}\tsince {_day(created)}")


@part_app.command("remove")
def part_remove(part_id: str, data: Data = DATA_DIR):
    """Let a part log in no more. Its readings stay."""
    with _accounts(data) as known:
        if not known.remove(accounts.ROBOT_SECRET, part_id):
            fail(f"there is no part {part_id}: cistern part list shows those there are")
        typer.echo(f"part {part_id} removed; its readings stay")


@part_app.command("restart")
def part_restart(part_id: str, data: Data = DATA_DIR):
    """Have a part restart; one that is connected does within 20 seconds."""
    from .machines import wish

    with _accounts(data) as known:
        if not known.knows_part(part_id):
            fail(f"there is no part {part_id}: cistern part list shows those there are")
        path = wish(data, part_id)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        path.touch()
        typer.echo(f"part {part_id} will restart; what it holds is kept and synced")


# cistern apikey


@apikey_app.command("add")
def apikey_add(
    data: Data = DATA_DIR,
    part: Annotated[str | None, typer.Option(help="The only part it may act for.")] = None,
    key_file: Annotated[
        Path | None,
        typer.Option(help="File for the key, as JSON. Default: DATA/secrets/apikey-ID.json"),
    ] = None,
):
    """Make an API key; the file has {"api_key_id": ..., "api_key": ...}."""
    with _accounts(data, make=True) as known:
        if key_file and key_file.exists():
            fail(f"{key_file} exists; choose another --key-file")
        key_id, key = known.add_key(part)
        path = key_file or data / "secrets" / f"apikey-{key_id}.json"
        accounts.write_secret_file(path, json.dumps({"api_key_id": key_id, "api_key": key}))
        typer.echo(f"API key {key_id} added; it is in {path}")


@apikey_app.command("list")
def apikey_list(data: Data = DATA_DIR):
    """List the API keys."""
    with _accounts(data) as known:
        for entity, part, created in known.entities(accounts.API_KEY):
            typer.echo(
                f"{entity}\t{'part ' + part if part else 'every part'}\tsince {_day(created)}"
            )


@apikey_app.command("remove")
def apikey_remove(key_id: str, data: Data = DATA_DIR):
    """Remove an API key."""
    with _accounts(data) as known:
        if not known.remove(accounts.API_KEY, key_id):
            fail(f"there is no API key {key_id}: cistern apikey list shows those there are")
        typer.echo(f"API key {key_id} removed")


def _day(seconds):
    return time.strftime("%Y-%m-%d", time.localtime(seconds))
