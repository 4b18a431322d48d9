"""The processes of the experiment, and what each start of the board left behind."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from bench_support import PART, SECRET, Board, machine
from chaos.names import NAME
from cistern.port.nor import NorFile
from cistern.store import Log
from cistern_tools import mpy, paths
from cistern_tools.flashlog import read_image
from cistern_tools.query import connect
from cistern_tools.receiver.accounts import Accounts
from net_support import Certificates

HERE = Path(__file__).parent
# Hz of each counter; the last sends most parcels, the first ones with one reading.
SENSORS = {"one": 1, "twenty": 20, "hundred": 100}
INTERVAL_S = 0.3  # between two syncs
FLUSH_MS = 500  # half the default: more and smaller parcels, so more requests to hit
SCALE = 100  # how much shorter the waits after failures are, for everybody
DEADLINE_MS = 1000  # of a call, instead of 20 s
SECTOR, DONE_AT = 4096, 24  # of the flash log: zero where nothing in a sector is needed
# cistern sim and cistern cloud, with one thing of them replaced.
_SIM = """
import sys, typer, pathlib
from cistern_tools import paths
from cistern_tools.sim import sim
paths.SIM_MAIN = pathlib.Path(sys.argv.pop(1))
typer.run(sim)
"""
_CLOUD = """
import typer
from cistern_tools.receiver import commands, store
typer.run(commands.cloud)
"""
_FORGETFUL_CLOUD = _CLOUD.replace(
    "typer.run",
    """
add = store.Store.add_upload
store.Store.add_upload = lambda self, upload: add(self, upload._replace(parcels=None))
typer.run""",
)


@dataclass
class Boot:
    """One start of the board. start, end: UTC seconds in which it captured.

    streams: the last status of each component; sent: names of parcels marked as sent on the flash
    at its end; orderly: it ended by itself.
    """

    number: int
    start: float
    end: float = 0.0
    streams: dict = field(default_factory=dict)
    sent: set = field(default_factory=set)
    orderly: bool = False


class Receiver:
    """`cistern cloud` as a process that can be killed; port is None while it is down."""

    def __init__(self, folder, certificates, forgetful=False):
        self.ca = certificates.ca_file
        self.name = NAME
        self.port = None
        self.data = folder / "cloud"
        self._files = certificates.server("good", NAME)
        self._script = _FORGETFUL_CLOUD if forgetful else _CLOUD
        self._listen = 0
        self._process = None
        self._log = open(folder / "receiver.log", "a")  # noqa: SIM115 - close() closes it
        self.data.mkdir()
        with contextlib.closing(Accounts(self.data)) as accounts:
            accounts.add_part(PART, SECRET)

    def start(self):
        """Start it, on the port that it had; returns when it is ready."""
        certificate, key = self._files
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-c", self._script, "--data", str(self.data), "--json"),
                *("--listen", f"127.0.0.1:{self._listen}", "--cert", certificate, "--key", key),
            ],
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        ready = json.loads(self._process.stdout.readline())
        self.port = self._listen = int(ready["url"].rpartition(":")[2])

    def kill(self):
        """SIGKILL."""
        self.port = None
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process.stdout.close()
            self._process = None

    def close(self):
        """End it."""
        self.kill()
        self._log.close()

    def rows(self, sql):
        """The rows of a query on its store."""
        with contextlib.closing(connect(self.data)) as db:
            return db.execute(sql).fetchall()


_compiling = threading.Lock()


def power_on(machine_file, flash, link, settings, *more):
    """Start a board whose main program is board.py; settings: its CISTERN_CHAOS."""
    architecture = mpy.host_architecture()
    if architecture:
        with _compiling:  # boards that start at the same time would all do it
            mpy.compile_library(architecture)
    settings = {"scale": 1, "boot": 1, **settings, "main": str(paths.SIM_MAIN)}
    command = [
        *(sys.executable, "-c", _SIM, str(HERE / "board.py"), str(machine_file), *link),
        *("--json", "--flash", str(flash), *more),
    ]
    return Board(command, {**os.environ, "CISTERN_CHAOS": json.dumps(settings)})


def link(url, ca, secret):
    """Options of cistern sim."""
    return "--cloud", url, "--ca", ca, "--part-id", PART, "--secret-file", str(secret)


class Device:
    """The board: started, killed and started again, on one flash."""

    def __init__(self, folder, port, dns, ca, flash_size, sensors, harm=None):
        self.folder = folder
        self.flash = folder / "board.flash"
        self.boots = []
        self.board = None
        self._machine = folder / "machine.json"
        made = machine(sensors, INTERVAL_S / 60)
        made["services"][0]["attributes"]["flush_interval_ms"] = FLUSH_MS
        self._machine.write_text(json.dumps(made))
        self._secret = folder / "secret"
        self._secret.write_text(SECRET)
        self._link = link(f"https://{NAME}:{port}", ca, self._secret)
        self._size = flash_size
        self._settings = {"dns": dns, "scale": SCALE, "deadline_ms": DEADLINE_MS, "harm": harm}

    def start(self, *more):
        """Power on; more: further options of cistern sim."""
        number = len(self.boots) + 1
        settings = {**self._settings, "boot": number}
        self.boots.append(Boot(number, time.time()))
        size = "--flash-size", self._size
        self.board = power_on(self._machine, self.flash, self._link, settings, *size, *more)

    def cut(self):
        """Power off, and look at what is on the flash."""
        self.board.power_cut()
        self._ended()

    def _ended(self):
        boot = self.boots[-1]
        boot.end = time.time()
        boot.orderly = self.board.process.returncode == 0
        for status in reversed(self.board.statuses()):
            for name, row in status["streams"].items():
                boot.streams.setdefault(name.partition("/")[0], row)
            break
        if self.flash.exists():
            with contextlib.suppress(ValueError):  # the power was cut before there was a log
                boot.sent = self._marked()

    def _marked(self):
        """Names of parcels that are marked as sent, but for sectors let go as a whole."""
        image = self.flash.read_bytes()
        return {
            parcel.name
            for parcel in read_image(image).parcels
            if parcel.state == "sent" and image[parcel.block * SECTOR + DONE_AT]
        }

    def finish(self, timeout):
        """Have it end by itself; returns its exit status."""
        self.board.process.send_signal(2)
        status = self.board.wait(timeout)
        self._ended()
        return status

    def image(self):
        """What is on the flash, as a FlashLog."""
        return read_image(self.flash.read_bytes())

    def counted(self):
        """What the firmware's own log makes of the flash: readings by state, and those lost."""
        copy = self.folder / "copy.flash"
        shutil.copy(self.flash, copy)
        stats = Log.mount(NorFile(str(copy), copy.stat().st_size), os.urandom).stats()
        return {
            "unsent": sum(stats.unsent_readings.values()),
            "set aside": stats.set_aside,
            "lost": sum(stats.lost.values()),
        }

    def pending(self):
        """Readings on the flash that are not in the cloud, in its own words; None before any."""
        seen = self.board.statuses()
        return sum(row["pending"] for row in seen[-1]["streams"].values()) if seen else None

    def close(self):
        """End it, however."""
        if self.board:
            self.board.close()


def contexts(folder, certificates):
    """The certificates that the proxy can show: {name: SSLContext}."""
    from cistern_tools.receiver.server import tls_context

    other = folder / "other"
    other.mkdir()
    files = {
        "good": certificates.server("good", NAME),
        "other name": certificates.server("name", "other.chaos.test"),
        "expired": certificates.server("expired", NAME, (-9, -1)),
        "other CA": Certificates(other).server("ca", NAME),
    }
    return {which: tls_context(*pair) for which, pair in files.items()}
