"""What all commands share: how they fail, show their flags, end in a pipe, read their options."""

import contextlib
import math
import os
import re
import sqlite3
import sys

import typer
from typer.core import TyperCommand, TyperGroup

_SIZE = re.compile(r"(\d{1,12})([KM]?)", re.ASCII)
_UNITS = {"": 1, "K": 1024, "M": 1024 * 1024}
_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ms|s|m|min|h|d)?", re.ASCII)
_SECONDS = {"ms": 0.001, None: 1, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
LONGEST_S = 366 * 86400


def fail(message):
    """Say why a command cannot go on, and end it."""
    typer.echo(f"cistern: {message}", err=True)
    raise typer.Exit(1)


def size(text):
    """Bytes of "160K" or "1M"."""
    found = _SIZE.fullmatch(text.strip().upper())
    if not found:
        raise typer.BadParameter(f"{text!r} is not a size such as 160K or 1M")
    return int(found[1]) * _UNITS[found[2]]


def seconds(text):
    """Seconds of "10", "10s", "5m" or "2h"; typer's parser of --for."""
    if isinstance(text, (int, float)):
        return float(text)
    found = _DURATION.fullmatch(text.strip().lower())
    value = float(found[1]) * _SECONDS[found[2]] if found else math.nan
    if not 0 <= value <= LONGEST_S:
        raise typer.BadParameter(f"{text!r} is not a time such as 10 (seconds), 5m or 2h")
    return value


def address(listen, host):
    """(host, port) of --listen: HOST:PORT, or PORT alone for this host."""
    given, colon, port = listen.rpartition(":")
    if colon:
        host = given.removeprefix("[").removesuffix("]") or "0.0.0.0"
    if not (port.isascii() and port.isdecimal()) or int(port) > 65535:
        fail(
            f"--listen {listen}: write PORT or HOST:PORT, for example 8443, 0.0.0.0:8443 or "
            "[::1]:8443"
        )
    return host, int(port)


class _Outlasting:
    """A stream that goes on when the reader of its pipe has seen enough, as `head` has."""

    def __init__(self, stream):
        self._stream = stream

    def __getattr__(self, name):
        return getattr(self._stream, name)

    def write(self, text):
        """As the stream's."""
        try:
            return self._stream.write(text)
        except BrokenPipeError:
            self._let_go()
            return len(text)

    def flush(self):
        """As the stream's."""
        try:
            self._stream.flush()
        except BrokenPipeError:
            self._let_go()

    def _let_go(self):
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, self._stream.fileno())
        os.close(nothing)


@contextlib.contextmanager
def _outlasting():
    """What a command finds out is its exit status, also where nobody reads all that it says."""
    stdout = sys.stdout
    sys.stdout = _Outlasting(stdout)
    try:
        yield
        sys.stdout.flush()
    finally:
        sys.stdout = stdout


def _plain_flags(params):
    """Flags take no value, so none is shown in the help."""
    for param in params:
        if getattr(param, "is_flag", False):
            param.metavar = ""
    return params


class Command(TyperCommand):
    """A command of cistern. A file, folder or port that cannot be used ends it with a sentence."""

    endless = False  # a reader that goes away ends it

    def get_params(self, ctx):
        """As typer's."""
        return _plain_flags(super().get_params(ctx))

    def invoke(self, ctx):
        """As typer's."""
        try:
            with contextlib.nullcontext() if self.endless else _outlasting():
                return super().invoke(ctx)
        except BrokenPipeError:
            nothing = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nothing, sys.stdout.fileno())
            return None
        except OSError as e:
            name = f"{e.filename}: " if e.filename else ""
            fail(f"{name}{e.strerror or e}")
        except (sqlite3.Error, UnicodeError) as e:
            fail(e)


class EndlessCommand(Command):
    """One that writes until it is stopped, or more than anybody may want."""

    endless = True


class Group(TyperGroup):
    """Commands with a common word before them."""

    def get_params(self, ctx):
        """As typer's."""
        return _plain_flags(super().get_params(ctx))
