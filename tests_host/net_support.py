"""Peers for the tests of net/: certificates, servers in processes of their own, built tools."""

import contextlib
import datetime
import fcntl
import ipaddress
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from support import LIB, ROOT, micropython_command

HERE = ROOT / "tests_host"
BIN = ROOT / "build" / "bin"
# Go tools: name, module, version, package. Pinned, so that a result can be repeated.
TOOLS = {
    "h2spec": "github.com/summerwind/h2spec/cmd/h2spec@v2.2.1+incompatible",
    "h2specd": "github.com/summerwind/h2spec/cmd/h2specd@v2.2.1+incompatible",
    "server": "google.golang.org/grpc/interop/server@v1.60.0",
}
NAME = "cloud.test"
INTERPRETERS = ("cpython", "micropython")


def missing(what):
    """A tool is not there: a reason to skip for a user, a failure in CI."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what} is missing on a CI machine")
    pytest.skip(f"{what} is missing")


def go_tool(name):
    """The path of a program written in Go, built into build/bin when it is not there."""
    path = BIN / name
    if not path.exists():
        if not shutil.which("go"):
            missing(f"go (to build {name})")
        BIN.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            ["go", "install", TOOLS[name]],
            env={**os.environ, "GOBIN": str(BIN)}, capture_output=True, text=True, check=False,
            cwd=BIN,
        )
        if done.returncode:
            missing(f"{name} (go install said: {done.stderr[-300:]})")
    return str(path)


def program(name, package):
    path = shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin")
    if not path:
        missing(f"{name} (Debian: {package})")
    return path


def interpreter(name):
    """The command and the environment to run a script with lib/ on its path."""
    if name == "cpython":
        return [sys.executable], {"PYTHONPATH": str(LIB)}
    command = micropython_command()
    if command is None:
        missing("micropython")
    return [*command, "-X", "heapsize=8M"], {"MICROPYPATH": f".frozen:{LIB}"}


class Certificates:
    """A CA, and certificates for servers and clients, as files in a folder."""

    def __init__(self, folder):
        self.folder = folder
        self.key, self.ca = self._make("test CA", None)
        self.ca_file = self._write("ca.pem", self.ca)

    def _make(self, name, issuer, days=(-1, 30), names=()):
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.datetime.now(datetime.UTC)
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer[1].subject if issuer else subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + datetime.timedelta(days=days[0]))
            .not_valid_after(now + datetime.timedelta(days=days[1]))
            .add_extension(x509.BasicConstraints(ca=not issuer, path_length=None), True)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), False)
        return key, builder.sign(issuer[0] if issuer else key, hashes.SHA256())

    def _write(self, name, *things):
        path = self.folder / name
        parts = []
        for thing in things:
            if isinstance(thing, x509.Certificate):
                parts.append(thing.public_bytes(serialization.Encoding.PEM))
            else:
                parts.append(
                    thing.private_bytes(
                        serialization.Encoding.PEM,
                        serialization.PrivateFormat.PKCS8,
                        serialization.NoEncryption(),
                    )
                )
        path.write_bytes(b"".join(parts))
        return str(path)

    def server(self, label="server", name=NAME, days=(-1, 30)):
        """(certificate file, key file) for a name and 127.0.0.1."""
        names = [x509.DNSName(name), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        key, cert = self._make(name, (self.key, self.ca), days, names)
        return self._write(f"{label}.crt", cert), self._write(f"{label}.key", key)

    def other_ca(self):
        return self._write("other.pem", self._make("other CA", None)[1])

    def two(self):
        """A PEM file with an unrelated CA before the right one."""
        return self._write("two.pem", self._make("other CA", None)[1], self.ca)

    def der(self):
        path = self.folder / "ca.der"
        path.write_bytes(self.ca.public_bytes(serialization.Encoding.DER))
        return str(path)


# Below those that a system gives to whom asks for any port (Linux: from 32768 on).
_PORTS = range(20000, 32000)
_LOCKS = f"{tempfile.gettempdir()}/cistern-test-port"
_held = []  # locks of the ports that this process has handed out


def free_port(count=1):
    """A port for programs that cannot choose one themselves, and those after it: no other run of
    these tests is given them while this one lasts, and no program that asks for any.
    """
    for first in random.sample(_PORTS, len(_PORTS)):
        with contextlib.ExitStack() as locks:
            try:
                for port in range(first, first + count):
                    lock = locks.enter_context(open(f"{_LOCKS}-{port}", "w"))
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    with socket.socket() as s:
                        s.bind(("127.0.0.1", port))
            except OSError:
                continue
            _held.append(locks.pop_all())
            return first
    raise AssertionError("no port is free")


@contextlib.contextmanager
def process(*command, port=None, **kwargs):
    """A server in a process of its own: yields its port, which it prints or is told."""
    kwargs.setdefault("stderr", subprocess.DEVNULL)
    child = subprocess.Popen(
        command, stdout=subprocess.DEVNULL if port else subprocess.PIPE, text=True, **kwargs
    )
    try:
        if port is None:
            line = child.stdout.readline()
            assert line.strip().isdigit(), f"{command} said {line!r}"
            port = int(line)
        else:
            deadline = time.monotonic() + 20
            while True:
                assert child.poll() is None, f"{command} ended with {child.returncode}"
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                    break
                assert time.monotonic() < deadline, f"{command} does not listen"
                time.sleep(0.02)
        yield port
    finally:
        child.terminate()
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def client(name, port, cases, tls=None, timeout=60, **options):
    """Run net_client.py under an interpreter; returns {case: what it printed}."""
    command, env = interpreter(name)
    config = {"port": port, "tls": tls, "cases": list(cases), **options}
    done = subprocess.run(
        [*command, str(HERE / "net_client.py")], input=json.dumps(config),
        env={**os.environ, **env}, capture_output=True, text=True, timeout=timeout, check=False,
    )
    results = {}
    for line in done.stdout.splitlines():
        row = json.loads(line)
        results[row["case"]] = row
    assert len(results) == len(cases), done.stdout[-2000:] + done.stderr[-2000:]
    return results
