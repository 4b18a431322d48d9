"""Accepts connections, within limits, and stops them in an orderly way."""

import asyncio
import errno
import logging
import socket
import ssl
import time

import h2.config
from grpclib.config import Configuration
from grpclib.const import Cardinality, Status
from grpclib.const import Handler as Method
from grpclib.exceptions import GRPCError
from grpclib.server import Server

from . import limits
from .buffer import Budget
from .complaints import Complaints
from .connection import Calls, Protocol


class _Methods(dict):
    """The methods by path; an unknown path gets one that refuses."""

    def get(self, path, default=None):
        return super().get(path) or Method(_unknown, Cardinality.UNARY_UNARY, None, None)


async def _unknown(stream):
    raise GRPCError(Status.UNIMPLEMENTED, "the receiver does not have this method")


class Listener(Server):
    """Accepts connections and serves `services`; grpclib.events.listen shows the requests."""

    def __init__(self, services, large, ssl_context=None):
        super().__init__(services)
        self.methods = frozenset(self._mapping)
        self._mapping = _Methods(self._mapping)
        self.large = frozenset(large)  # paths of methods with large requests
        self.budget = Budget()
        self.config = Configuration(_keepalive_time=None).__for_server__()
        # Not ASCII: a header that is not would end the connection instead of the request.
        self.h2_config = h2.config.H2Configuration(client_side=False, header_encoding="latin-1")
        self._ssl = ssl_context
        self._sockets = []
        self._accepting = []
        self._tasks = set()  # one for each connection
        self._connections = set()  # of Protocol
        self._opening = 0
        self.complain = Complaints()
        self.port = None

    async def open(self, host, port):
        """Binds to all addresses of `host`; port 0 chooses one, the same for all of them."""
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        failed = None
        for family, _, _, _, address in dict.fromkeys(found):
            try:
                self._bind(family, address)
            except OSError as e:
                failed = e
                if e.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                    break
        if failed and (not self._sockets or failed.errno == errno.EADDRINUSE):
            self._close_sockets()
            raise failed
        self._accepting = [loop.create_task(self._accept(raw)) for raw in self._sockets]
        self._accepting.append(loop.create_task(self._sweep()))

    def _bind(self, family, address):
        raw = socket.socket(family, socket.SOCK_STREAM)
        try:
            self._listen(raw, family, address)
        except OSError:
            raw.close()
            raise
        self._sockets.append(raw)
        self.port = raw.getsockname()[1]

    def _listen(self, raw, family, address):
        raw.setblocking(False)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            raw.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        raw.bind((address[0], self.port or address[1], *address[2:]))
        raw.listen(128)

    async def _accept(self, listening):
        loop = asyncio.get_running_loop()
        while True:
            try:
                raw, address = await loop.sock_accept(listening)
            except OSError as e:
                if e.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                    self.complain(
                        logging.ERROR, None, "no connection can be accepted: %s", e.strerror
                    )
                    await asyncio.sleep(limits.ACCEPT_PAUSE_S)
                continue  # anything else concerns one connection, which is gone already
            if not self._make_room():
                self.complain(
                    logging.WARNING,
                    address,
                    "refused: %d connections are open",
                    limits.MAX_CONNECTIONS,
                )
                raw.close()
                continue
            task = loop.create_task(self._serve(raw, address))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _make_room(self):
        """Returns whether one more connection fits, if need be in place of the oldest stranger."""
        if len(self._connections) + self._opening < limits.MAX_CONNECTIONS:
            return True
        strangers = [
            c for c in self._connections if not c.trusted and not c.connection.is_closing()
        ]
        if not strangers:
            return False
        min(strangers, key=lambda c: c.made)._drop("too many connections", abort=True)
        return True

    async def _serve(self, raw, address):
        handler = Calls(self._mapping, self._codec, self._status_details_codec, self.__dispatch__)
        protocol = Protocol(handler, self)
        loop = asyncio.get_running_loop()
        tls = {"ssl": self._ssl, "ssl_handshake_timeout": limits.HANDSHAKE_S} if self._ssl else {}
        self._opening += 1
        try:
            await loop.connect_accepted_socket(lambda: protocol, raw, **tls)
        except (OSError, TimeoutError) as e:
            self.complain(logging.INFO, address, "TLS handshake failed: %s", _tls_sentence(e))
            return
        finally:
            self._opening -= 1
        self._connections.add(protocol)
        try:
            await protocol.closed.wait()
        finally:
            self._connections.discard(protocol)

    async def _sweep(self):
        while True:
            await asyncio.sleep(limits.SWEEP_S)
            now = time.monotonic()
            for protocol in list(self._connections):
                protocol.sweep(now)

    def _close_sockets(self):
        for raw in self._sockets:
            raw.close()

    async def stop(self):
        """Stops accepting, lets requests finish for limits.STOP_S, closes all connections."""
        await _end(self._accepting)
        self._close_sockets()
        busy = []
        for protocol in self._connections:
            protocol.handler.draining = True
            busy += protocol.handler.busy()
        if busy:
            await asyncio.wait(busy, timeout=limits.STOP_S)
        for protocol in list(self._connections):
            protocol.say_goodbye()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=limits.GOODBYE_S)
        for protocol in list(self._connections):
            protocol.transport.abort()
        await _end(self._tasks)


async def _end(tasks):
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _tls_sentence(error):
    """Returns why a handshake failed, for the person who configures the device."""
    if isinstance(error, TimeoutError):
        return f"not finished within {limits.HANDSHAKE_S} s"
    reason = getattr(error, "reason", None) or ""
    if "UNKNOWN_CA" in reason or "BAD_CERTIFICATE" in reason or "CERTIFICATE_UNKNOWN" in reason:
        return (
            f"the client does not accept the receiver's certificate ({reason}): give it the CA "
            "file, and connect by a name that is in the certificate"
        )
    if "CERTIFICATE_EXPIRED" in reason:
        return "for the client this receiver's certificate has expired: check the client's clock"
    if "HTTP_REQUEST" in reason or "WRONG_VERSION_NUMBER" in reason:
        return "the client does not speak TLS: use an https:// URL"
    if isinstance(error, ssl.SSLError) and reason:
        return reason
    return str(error) or "the client closed the connection"
