"""Starts and stops a receiver: what `cistern cloud` does, as a library."""

import contextlib
import fcntl
import os
import ssl
from functools import partial
from pathlib import Path
from typing import NamedTuple

from grpclib.events import RecvRequest, listen

from .. import devca
from .accounts import Accounts
from .gate import Gate
from .listener import Listener
from .machines import Machines
from .readback import Data
from .services import LARGE, Auth, DataSync, Robot, Writer
from .store import Store, StoreError, database_path

LOCK_NAME = "receiver.lock"


class Receiver(NamedTuple):
    """A running receiver."""

    host: str
    port: int
    tls: bool

    @property
    def url(self):
        """The URL that devices and programs use; with the host it was bound to."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.tls else 'http'}://{host}:{self.port}"


def tls_context(certificate, key):
    """Returns an SSLContext for a server: TLS 1.2 or later, `h2` by ALPN for those who offer ALPN.

    A client without ALPN is accepted and speaks HTTP/2 by prior knowledge, since MicroPython has
    none. Raises OSError (ssl.SSLError is one) if the files cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # RFC 9113 section 9.2.2: HTTP/2 wants ephemeral keys and AEAD; this is also what mbedTLS
    # prefers.
    context.set_ciphers("ECDHE+AESGCM:ECDHE+CHACHA20")
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["h2"])
    context.load_cert_chain(certificate, key)
    return context


def dev_tls_context(data_dir, names=()):
    """Returns (SSLContext, path of ca.pem) with the data folder's own development CA."""
    files = devca.ensure(Path(data_dir) / devca.FOLDER, names)
    return tls_context(files.certificate, files.key), files.ca


@contextlib.asynccontextmanager
async def serve(data_dir, host="127.0.0.1", port=0, ssl_context=None):
    """Runs a receiver on `data_dir` while the context is open; yields a Receiver with the bound
    port.

    `ssl_context` None means plaintext. Raises StoreError, AccountError or OSError with a sentence.
    On leaving, running requests are finished and the store is closed.
    """
    data_dir = Path(data_dir)
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        stack.enter_context(_only_one(data_dir))
        known_accounts = stack.enter_context(contextlib.closing(Accounts(data_dir)))
        writer = stack.enter_context(contextlib.closing(Writer(Store(database_path(data_dir)))))
        certificate = None
        if ssl_context is not None:
            certificate = partial(devca.part_certificate, data_dir / devca.FOLDER)
        known_machines = Machines(data_dir)
        services = [
            Auth(known_accounts, known_machines),
            Robot(known_accounts, known_machines, writer, certificate),
            DataSync(known_accounts, writer),
            Data(database_path(data_dir)),
        ]
        listener = Listener(services, LARGE, ssl_context)
        listen(listener, RecvRequest, Gate(known_accounts, listener.methods))
        await listener.open(host, port)
        try:
            yield Receiver(host, listener.port, ssl_context is not None)
        finally:
            await listener.stop()


@contextlib.contextmanager
def _only_one(data_dir):
    """Holds the lock of a data folder; the system releases it however the process ends."""
    descriptor = os.open(data_dir / LOCK_NAME, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise StoreError(f"another receiver is running on {data_dir}; stop it first") from None
        yield
    finally:
        os.close(descriptor)
