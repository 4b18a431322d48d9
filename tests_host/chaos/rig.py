"""The processes of the experiment, and what each start of the board left behind."""

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from binascii import crc32
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from bench_support import PART, SECRET, Board, machine
from chaos.names import NAME
from cistern.port.nor import NorFile
from cistern.store import Log
from cistern_tools import mpy, paths
from cistern_tools.flashlog import FlashLog, read_definition, read_image
from cistern_tools.query import connect
from cistern_tools.receiver.accounts import Accounts
from net_support import Certificates
from shared.balance import unbalanced

HERE = Path(__file__).parent
# Hz of each counter; the last sends most parcels, the first ones with one reading.
SENSORS = {"one": 1, "twenty": 20, "hundred": 100}
INTERVAL_S = 0.05  # between two syncs
FLUSH_MS = 300  # a third of the default: more and smaller parcels, so more requests to hit
POLL_S = 1  # after which a board hears of a new configuration
SCALE = 400  # how much shorter the waits after failures are, for everybody
DEADLINE_MS = 1000  # of a call, instead of 20 s
NOTHING = FlashLog("", 0)
# Modules one by one, with names and compiler that experiments need, take more than the product.
HEAP = "512K"
# What a board says of the cloud's configuration that it runs, at start or when there is another.
CONFIGURED = re.compile(r"configuration (\S+) (?:of last time )?runs")
# The firmware's code is for one thread, and several experiments run in this process.
FIRMWARE = threading.Lock()
# cistern sim and cistern cloud without the start of all other commands.
_SIM = """
import typer
from cistern_tools.sim import sim
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

    streams: the last status of each component; flash: {component: the number after the last one
    that was on the flash at its end}; orderly: it ended by itself. earlier: {stream: readings}
    that were on the flash, to be sent, when it began; unbalanced: {component: what is wrong with
    the sums of its statuses, in sentences}.
    """

    number: int
    start: float
    end: float = 0.0
    streams: dict = field(default_factory=dict)
    flash: dict = field(default_factory=dict)
    orderly: bool = False
    earlier: dict = field(default_factory=dict)
    unbalanced: dict = field(default_factory=dict)


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

    def configure(self, text):
        """Have it give the part this configuration."""
        path = self.data / "machines" / f"{PART}.json"
        path.parent.mkdir(exist_ok=True)
        new = path.with_suffix(".new")
        new.write_text(text)
        new.replace(path)

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
            mpy.compile_library(architecture, roots={})
    settings = {"scale": 1, "boot": 1, **settings, "main": str(paths.SIM_MAIN)}
    command = [
        *(sys.executable, "-c", _SIM, str(machine_file), *link),
        *("--program", str(HERE / "board.py")),
        *("--json", "--heap", HEAP, "--flash", str(flash), *more),
    ]
    return Board(command, {**os.environ, "CISTERN_CHAOS": json.dumps(settings)})


def link(url, ca, secret):
    """Options of cistern sim."""
    return "--cloud", url, "--ca", ca, "--part-id", PART, "--secret-file", str(secret)


def configuration(sensors, threads, tags):
    """The machine as JSON. threads: uploads at a time."""
    made = machine(sensors, INTERVAL_S / 60)
    made["services"][0]["attributes"].update(
        flush_interval_ms=FLUSH_MS,
        cloud_poll_secs=POLL_S,
        maximum_num_sync_threads=threads,
        tags=tags,
    )
    return json.dumps(made)


class Device:
    """The board: started, killed and started again, on one flash."""

    def __init__(self, folder, port, dns, ca, flash_size, machine_text, harm=None):
        self.folder = folder
        self.flash = folder / "board.flash"
        self.boots = []
        self.board = None
        self.streams = {}  # by CRC32 of its definition: "component/method", of all seen
        self.sent = set()  # names of parcels that were seen marked as sent on the flash
        self._off = True
        self._machine = folder / "machine.json"
        self._machine.write_text(machine_text)
        self._secret = folder / "secret"
        self._secret.write_text(SECRET)
        self._link = link(f"https://{NAME}:{port}", ca, self._secret)
        self._size = flash_size
        self._settings = {"dns": dns, "scale": SCALE, "deadline_ms": DEADLINE_MS, "harm": harm}

    def start(self, *more):
        """Power on; more: further options of cistern sim."""
        self.close()
        number = len(self.boots) + 1
        settings = {**self._settings, "boot": number}
        earlier = Counter()
        for parcel in (self.look() or NOTHING).parcels:
            if parcel.state == "unsent":
                stream = read_definition(parcel.definition)
                earlier[f"{stream['component_name']}/{stream['method']}"] += parcel.readings
        self.boots.append(Boot(number, time.time(), earlier=earlier))
        size = "--flash-size", self._size
        self._off = False
        self.board = power_on(self._machine, self.flash, self._link, settings, *size, *more)

    def cut(self):
        """Power off, and look at what is on the flash."""
        self._off = True
        self.board.power_cut()
        self._ended()

    def _ended(self):
        boot = self.boots[-1]
        boot.end = time.time()
        boot.orderly = self.board.process.returncode == 0
        for status in self.board.statuses():
            for text in unbalanced(status, boot.earlier):
                name = text.partition("/")[0]
                boot.unbalanced[name] = [f"start {boot.number} of the board: {text}"]
        for status in reversed(self.board.statuses()):
            for name, row in status["streams"].items():
                boot.streams.setdefault(name.partition("/")[0], row)
            break
        log = self.look()
        for reading in log.readings() if log else ():
            data = reading["data"]["readings"]
            if data["boot"] == boot.number:
                name = reading["component_name"]
                boot.flash[name] = max(boot.flash.get(name, 0), data["n"] + 1)

    def look(self):
        """Note which parcels are marked as sent; what is on the flash, None before any log is.

        While the board runs some of it may be half written.
        """
        if not self.flash.exists():
            return None
        try:
            log = read_image(self.flash.read_bytes())
        except ValueError:
            return None
        for parcel in log.parcels:
            stream = read_definition(parcel.definition)
            key = f"#{crc32(parcel.definition):08x}"
            self.streams[key] = "/".join((stream["component_name"], stream["method"]))
            if parcel.state == "sent":
                self.sent.add(parcel.name)
        return log

    def check(self):
        """Raises AssertionError if the board ended, but by cut()."""
        status = self.board.process.poll()
        if status is not None and not self._off:
            raise AssertionError(f"the board ended with {status}: {self.board.log()[-3000:]}")

    def finish(self, timeout):
        """Have it end by itself. Raises AssertionError if it does not do so properly."""
        self.board.process.send_signal(2)
        if self.board.wait(timeout):
            self.check()
        self._ended()

    def image(self):
        """What is on the flash, as a FlashLog."""
        return read_image(self.flash.read_bytes())

    def counted(self):
        """What the firmware's own log makes of the flash: readings by state, and those lost."""
        copy = self.folder / "copy.flash"
        shutil.copy(self.flash, copy)
        with FIRMWARE:
            stats = Log.mount(NorFile(str(copy), copy.stat().st_size), os.urandom).stats()
        return {
            "unsent": sum(stats.unsent_readings.values()),
            "set aside": stats.set_aside,
            "lost": sum(stats.lost.values()),
        }

    def revision(self):
        """Of the configuration that it runs, or None."""
        said = CONFIGURED.findall(self.board.log())
        return said[-1] if said else None

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
