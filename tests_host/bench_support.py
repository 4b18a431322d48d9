"""A receiver and simulated boards as processes, and questions about what they did."""

import contextlib
import datetime
import ipaddress
import json
import os
import subprocess
import sys
import time

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from cistern_tools.query import connect
from cistern_tools.receiver.accounts import Accounts

SECRET = "a secret of this test's own, 32 bytes"
PART = "test-part"


def machine(sensors, interval_mins=0.01):
    return {
        "components": [
            {
                "name": name,
                "type": "sensor",
                "model": "fake",
                "attributes": {"counter": True},
                "service_configs": [
                    {
                        "type": "data_manager",
                        "attributes": {
                            "capture_methods": [
                                {
                                    "method": "Readings",
                                    "capture_frequency_hz": hz,
                                    "cache_size_kb": 4,
                                }
                            ]
                        },
                    }
                ],
            }
            for name, hz in sensors.items()
        ],
        "services": [
            {
                "name": "dm",
                "type": "data_manager",
                "attributes": {"sync_interval_mins": interval_mins, "tags": ["test"]},
            }
        ],
    }


class Bench:
    """A receiver and what a board needs to reach it, in a folder of their own."""

    def __init__(self, folder):
        self.folder = folder
        self.data = folder / "cloud"
        self.secret = folder / "secret"
        self.secret.write_text(SECRET + "\n")
        self.flash = folder / "board.flash"
        self.data.mkdir()
        with contextlib.closing(Accounts(self.data)) as accounts:
            accounts.add_part(PART, SECRET)
        self.machine = folder / "machine.json"
        self.receiver = None
        self.url = self.ca = ""

    def start_receiver(self, listen="127.0.0.1:0", *more):
        self.receiver = subprocess.Popen(
            [*cistern("cloud"), "--data", str(self.data), "--listen", listen, "--json", *more],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        ready = json.loads(self.receiver.stdout.readline())
        self.url = ready["url"]
        self.ca = ready["ca"] or self.folder / "ca.pem"

    def stop_receiver(self):
        if self.receiver:
            self.receiver.terminate()
            assert self.receiver.wait(20) == 0
            self.receiver.stdout.close()
            self.receiver = None

    def board(self, *more, cloud=True, runtime="micropython", **changes):
        """Start a board; changes: url, ca, secret, part."""
        link = ["--offline"]
        if cloud:
            link = [
                *("--cloud", changes.get("url", self.url)),
                *("--ca", str(changes.get("ca", self.ca))),
                *("--part-id", changes.get("part", PART)),
                *("--secret-file", str(changes.get("secret", self.secret))),
            ]
        command = [*cistern("sim"), str(self.machine), *link, "--json", "--runtime", runtime]
        return Board([*command, "--flash", str(self.flash), *more])

    def rows(self, sql, *args):
        with contextlib.closing(connect(self.data)) as db:
            return db.execute(sql, args).fetchall()

    def counters(self, component):
        """{boot: [n, …] in the order of their times}."""
        found = {}
        sql = """SELECT payload->>'$.readings.boot', payload->>'$.readings.n' FROM readings
            WHERE component = ? ORDER BY time_ns"""
        for boot, n in self.rows(sql, component):
            found.setdefault(boot, []).append(n)
        return found


class Board:
    """A running simulated board; what it prints goes to files, so that nothing blocks."""

    def __init__(self, command, environment=None):
        name = f"board-{time.monotonic_ns()}"
        folder = command[command.index("--flash") + 1] + "-out"
        os.makedirs(folder, exist_ok=True)
        # The board appends: where this reads, it has the same position in the file.
        self._out = open(f"{folder}/{name}.out", "a+")  # noqa: SIM115 - closed by close()
        self._err = open(f"{folder}/{name}.err", "a+")  # noqa: SIM115
        self.process = subprocess.Popen(
            command, stdout=self._out, stderr=self._err, env=environment
        )

    def _printed(self, statuses):
        self._out.seek(0)
        lines = self._out.read().splitlines(True)
        return [line for line in lines if line.startswith("{") == statuses and line[-1] == "\n"]

    def statuses(self):
        return [json.loads(line) for line in self._printed(True)]

    def log(self):
        """The log, and what MicroPython says when a program ends by an exception."""
        self._err.seek(0)
        return self._err.read() + "".join(self._printed(False))

    def stream(self, name):
        """The newest status of a stream, or None."""
        seen = self.statuses()
        return seen[-1]["streams"].get(name) if seen else None

    def power_cut(self):
        self.process.kill()
        self.process.wait()

    def wait(self, timeout=60):
        return self.process.wait(timeout)

    def close(self):
        if self.process.poll() is None:
            self.power_cut()
        self._out.close()
        self._err.close()


def cistern(command):
    return [sys.executable, "-m", "cistern_tools", command]


def expired_certificate(folder):
    """Options for a receiver whose certificate ended yesterday; its CA is folder/ca.pem."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    day = datetime.timedelta(days=1)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    builder = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now - 9 * day, now - day)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
    )
    certificate = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    (folder / "ca.pem").write_bytes(certificate)
    (folder / "server.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return "--cert", str(folder / "ca.pem"), "--key", str(folder / "server.key")


@contextlib.contextmanager
def running(board):
    try:
        yield board
    finally:
        board.close()
