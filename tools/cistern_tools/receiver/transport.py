"""grpclib's server with limits: it survives and answers whatever a client sends.

What grpclib leaves open and this module closes: message size and time (a request is read only up
to its method's limit, and at a minimum rate), memory of all requests together, connections that
never get through their handshake or never send a valid request, peers that vanished, peers that do
not read their answers, frames of unknown type (RFC 9113 section 4.1: ignore), requests that are no
gRPC. Every answer gets a `date` header, by which devices set their clocks.
"""

import asyncio
import contextlib
import errno
import logging
import socket
import ssl
import time
from email.utils import formatdate
from functools import partial

import h2.config
import h2.connection
import h2.exceptions
from grpclib.config import Configuration
from grpclib.const import Cardinality, Status
from grpclib.const import Handler as Method
from grpclib.exceptions import GRPCError
from grpclib.protocol import Connection, EventsProcessor, H2Protocol, Peer
from grpclib.server import Handler, Server, request_handler
from h2.errors import ErrorCodes
from h2.settings import SettingCodes

MAX_MESSAGE = 32 * 2**20  # as goutils, the RPC library of Viam's cloud
# Unread bytes a client may send on one stream: 2.5 MB/s at 100 ms round trip.
STREAM_WINDOW = 256 * 1024
CONNECTION_WINDOW = 2**20  # unread bytes on one connection
MAX_STREAMS = 64  # requests at once on one connection; a device has one, viam-server some ten
# Bytes of all requests being received; decoding takes some 10 times more.
MAX_BUFFERED = 2 * MAX_MESSAGE
SMALL_MESSAGE = 64 * 1024  # not counted in MAX_BUFFERED: bounded by connections and streams
# * CONNECTION_WINDOW = 512 MiB at the very worst; a process may open 1024 files.
MAX_CONNECTIONS = 512
# Bytes of answers a client has not taken; the largest answer is a configuration.
MAX_UNSENT = 2**20
HANDSHAKE_S = 15  # TLS handshake; an ESP32 needs 0.7 s, a bad network some round trips
FIRST_REQUEST_S = 30  # from the accept to the first request with a valid token or login
MESSAGE_S = 60  # for a whole message, plus
MIN_RATE = 2048  # bytes a second, a bad GPRS connection
IDLE_S = 240  # without a byte from the client: send a PING
PING_S = 20  # and without a byte for this long after it: it is gone
WRITE_STALL_S = 60  # a client that takes nothing of its answer
SWEEP_S = 2
STOP_S = 5  # for requests that are being answered when the receiver stops
GOODBYE_S = 1  # for the closing handshakes of TLS
MAX_RESETS = 200  # cancelled requests between two sweeps; more is an attack (CVE-2023-44487)
ACCEPT_PAUSE_S = 0.5  # when the process has no file descriptors left

log = logging.getLogger(__name__)


def limits_of(methods, small):
    """Returns {path: largest message} for `methods`; those in `small` get SMALL_MESSAGE."""
    return {path: SMALL_MESSAGE if path in small else MAX_MESSAGE for path in methods}


class Buffer:
    """The received, not yet consumed bytes of one request; replaces grpclib's, which has no
    limits.

    Bytes are acknowledged to flow control only while a reader waits for more, so at most one
    message and one window are held.
    """

    def __init__(self, ack, limit, budget):
        self._ack = ack
        self._limit = limit
        self._budget = budget
        self._reserved = 0
        self._data = bytearray()
        self._unacked = 0
        self._eof = False
        self._more = asyncio.Event()

    def add(self, data, ack_size):
        """Takes a DATA frame's payload; `ack_size` counts its padding too."""
        self._data += data
        self._unacked += ack_size
        self._more.set()

    def eof(self):
        """Notes that the client has ended its side of the stream."""
        self._eof = True
        self._more.set()

    def unacked_size(self):
        """Returns how many bytes flow control still counts, and forgets them."""
        size, self._unacked = self._unacked, 0
        return size

    def release(self):
        """Gives back what this request had reserved of the common budget."""
        self._budget.free += self._reserved
        self._reserved = 0

    async def read(self, size):
        """Returns exactly `size` bytes, or none at the end of the stream; raises GRPCError."""
        self._check(size)
        try:
            async with asyncio.timeout(MESSAGE_S + size / MIN_RATE):
                while len(self._data) < size and not self._eof:
                    self._more.clear()
                    self._ack(self.unacked_size())
                    await self._more.wait()
        except TimeoutError:
            raise GRPCError(
                Status.DEADLINE_EXCEEDED,
                f"{len(self._data)} of {size} bytes came in {MESSAGE_S + size / MIN_RATE:.0f} s",
            ) from None
        if len(self._data) < size:
            if not self._data:
                return b""
            raise GRPCError(
                Status.INTERNAL,
                f"the stream ended after {len(self._data)} of {size} bytes of a message",
            )
        self._ack(self.unacked_size())
        taken = bytes(memoryview(self._data)[:size])
        del self._data[:size]
        return taken

    def _check(self, size):
        if size > self._limit:
            raise GRPCError(
                Status.RESOURCE_EXHAUSTED,
                f"the message has {size} bytes, this method takes {self._limit} at most: "
                "send less at once",
            )
        if size > SMALL_MESSAGE:
            if size > self._budget.free:
                raise GRPCError(
                    Status.UNAVAILABLE,
                    "the receiver is busy with other large messages: try again later",
                )
            self._budget.free -= size
            self._reserved += size


class Budget:
    """Bytes that all requests together may still hold."""

    def __init__(self):
        self.free = MAX_BUFFERED


class _DatedConnection(h2.connection.H2Connection):
    """Adds `date` (RFC 9110 section 6.6.1) to the headers of every answer, whoever writes it."""

    def send_headers(self, stream_id, headers, *args, **kwargs):
        if headers[0][0] == ":status":
            headers = [headers[0], ("date", formatdate(usegmt=True)), *headers[1:]]
        return super().send_headers(stream_id, headers, *args, **kwargs)


class _Connection(Connection):
    """A connection that request handlers can mark as trusted."""

    trusted = False

    def get_peer(self):
        return ClientPeer(self)


class ClientPeer(Peer):
    """What request events know of the client."""

    def __init__(self, connection):
        super().__init__(getattr(connection, "_transport", None))
        self._connection = connection

    def trust(self):
        """Notes that this client has shown a valid secret or token."""
        self._connection.trusted = True


class _Processor(EventsProcessor):
    """Gives each request a bounded buffer, and ignores events that a server has no use for."""

    def __init__(self, handler, connection, listener):
        super().__init__(handler, connection)
        self._listener = listener
        self.resets = 0

    def process_request_received(self, event):
        stream = self.connection.create_stream(stream_id=event.stream_id)
        path = next((value for name, value in event.headers if name == ":path"), "")
        limit = self._listener.limits.get(path, SMALL_MESSAGE)
        stream.buffer = Buffer(
            partial(self.connection.ack, stream.id), limit, self._listener.budget
        )
        release_stream = self.register(stream)

        def release():
            stream.buffer.release()
            release_stream()

        self.handler.accept(stream, event.headers, release)

    def process_stream_reset(self, event):
        super().process_stream_reset(event)
        self.resets += 1
        if self.resets > MAX_RESETS:
            raise h2.exceptions.ProtocolError("too many cancelled requests")

    def process(self, event):
        if type(event) in getattr(self, "processors", ()):
            super().process(event)


class _Calls(Handler):
    """The requests of one connection."""

    draining = False

    def accept(self, stream, headers, release_stream):
        self.__gc_step__()
        self._tasks[stream] = self.loop.create_task(self._answer(stream, headers, release_stream))

    async def _answer(self, stream, headers, release_stream):
        if self.draining:
            await _refuse(stream, Status.UNAVAILABLE, "the receiver is stopping: try again")
            release_stream()
            return
        await request_handler(
            self.mapping,
            stream,
            headers,
            self.codec,
            self.status_details_codec,
            self.dispatch,
            release_stream,
        )
        # request_handler leaves a stream without an answer when it cannot make sense of the
        # headers.
        if not self.closing and stream.closable:
            await _refuse(stream, Status.INTERNAL, "the request's headers could not be understood")

    def busy(self):
        """Returns the tasks of requests that are still being answered."""
        return [task for task in self._tasks.values() if not task.done()]


async def _refuse(stream, status, message):
    with contextlib.suppress(h2.exceptions.ProtocolError):
        await stream.send_headers(
            [
                (":status", "200"),
                ("content-type", "application/grpc"),
                ("grpc-status", str(status.value)),
                ("grpc-message", message),
            ],
            end_stream=True,
        )
        if stream.closable:
            stream.reset_nowait()


_HTTP1_ANSWER = (
    b"HTTP/1.1 505 HTTP Version Not Supported\r\n"
    b"content-type: text/plain\r\nconnection: close\r\n\r\n"
    b"This is Cistern's receiver: it speaks gRPC over HTTP/2 to devices. "
    b"To look at the data use: cistern query\n"
)
_HTTP1_STARTS = (b"GET ", b"HEAD ", b"POST ", b"PUT ", b"OPTIONS ", b"DELETE ", b"PATCH ")


class _Protocol(H2Protocol):
    """One connection: HTTP/2 by ALPN or by prior knowledge, which look the same from here on."""

    def __init__(self, handler, listener):
        super().__init__(handler, listener.config, listener.h2_config)
        self._listener = listener
        self.transport = None
        self.made = self.last_received = time.monotonic()
        self.pinged = self.paused = None
        self.closed = asyncio.Event()
        self._first = True

    def connection_made(self, transport):
        # The SETTINGS go out with the answer to the client's first bytes, which may not be HTTP/2.
        self.transport = transport
        raw = transport.get_extra_info("socket")
        if raw is not None:
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        core = _DatedConnection(config=self.h2_config)
        core.local_settings.update(
            {
                SettingCodes.MAX_CONCURRENT_STREAMS: MAX_STREAMS,
                SettingCodes.INITIAL_WINDOW_SIZE: STREAM_WINDOW,
            }
        )
        # They go out with the preface; nothing was sent under others.
        core.local_settings.acknowledge()
        core.initiate_connection()
        core.increment_flow_control_window(CONNECTION_WINDOW - 65535)  # RFC 9113 section 6.9.2
        self.connection = _Connection(core, transport, config=self.config)
        self.processor = _Processor(self.handler, self.connection, self._listener)

    def data_received(self, data):
        self.last_received = time.monotonic()
        self.pinged = None
        if self._first:
            self._first = False
            if data.startswith(_HTTP1_STARTS):
                self.transport.write(_HTTP1_ANSWER)
                self.processor.close("HTTP/1.1")
                return
        try:
            self._process(data)
        except h2.exceptions.ProtocolError as e:
            self._drop(f"it broke HTTP/2: {e}")
        except Exception as e:  # a defect of h2 or grpclib must not take more than this connection
            self._drop(f"its frames could not be processed: {e!r}")

    def _process(self, data):
        events = self.connection.feed(data)
        self.connection.flush()
        for event in events:
            self.processor.process(event)
        if self.connection.is_closing():
            return
        self.connection.flush()
        if self.transport.get_write_buffer_size() > MAX_UNSENT:
            self._drop("it does not read what it is sent", abort=True)

    def _drop(self, reason, abort=False):
        log.info("%s: connection closed: %s", self.peer_name(), reason)
        if not self.connection.is_closing():
            with contextlib.suppress(
                Exception
            ):  # GOAWAY says why, if there is still somebody to hear it
                self.connection.flush()
        if abort:
            self.transport.abort()
        self.processor.close(reason)

    def peer_name(self):
        """Returns the client's address for the log."""
        return _peer_name(self.transport.get_extra_info("peername"))

    def pause_writing(self):
        self.paused = time.monotonic()
        super().pause_writing()

    def resume_writing(self):
        self.paused = None
        super().resume_writing()

    def connection_lost(self, exc):
        super().connection_lost(exc)
        self.closed.set()

    @property
    def trusted(self):
        """Whether this client has shown a valid secret or token."""
        return self.connection.trusted

    def sweep(self, now):
        """Closes the connection if its client is silent, stuck or a stranger for too long."""
        self.processor.resets = 0
        if self.connection.is_closing():
            if now - self.last_received > WRITE_STALL_S:  # TLS's closing handshake may hang
                self.transport.abort()
        elif not self.trusted and now - self.made > FIRST_REQUEST_S:
            self._drop(f"no valid request within {FIRST_REQUEST_S} s", abort=True)
        elif self.paused and now - self.paused > WRITE_STALL_S:
            self._drop("it does not read its answers", abort=True)
        elif self.pinged and now - self.pinged > PING_S:
            self._drop("it does not answer", abort=True)
        elif not self.pinged and now - self.last_received > IDLE_S:
            self.pinged = now
            self.connection._connection.ping(b"cistern?")
            self.connection.flush()

    def say_goodbye(self):
        """Sends GOAWAY (RFC 9113 section 6.8) and closes."""
        if not self.connection.is_closing():
            with contextlib.suppress(h2.exceptions.ProtocolError):
                self.connection._connection.close_connection(ErrorCodes.NO_ERROR)
                self.connection.flush()
            self.processor.close("the receiver stops")


class _Methods(dict):
    """The methods by path; an unknown path gets one that refuses."""

    def get(self, path, default=None):
        return super().get(path) or Method(_unknown, Cardinality.UNARY_UNARY, None, None)


async def _unknown(stream):
    raise GRPCError(Status.UNIMPLEMENTED, "the receiver does not have this method")


class Listener(Server):
    """Accepts connections and serves `services`; grpclib.events.listen shows the requests."""

    def __init__(self, services, limits, ssl_context=None):
        super().__init__(services)
        self.methods = frozenset(self._mapping)
        self._mapping = _Methods(self._mapping)
        self.limits = limits
        self.budget = Budget()
        self.config = Configuration(_keepalive_time=None).__for_server__()
        # Not ASCII: a header that is not would end the connection instead of the request.
        self.h2_config = h2.config.H2Configuration(client_side=False, header_encoding="latin-1")
        self._ssl = ssl_context
        self._sockets = []
        self._accepting = []
        self._tasks = set()  # one for each connection
        self._connections = set()  # of _Protocol
        self._opening = 0
        self._said = {}  # (address, reason) -> when it was logged
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
                    self._say(None, f"no connection can be accepted: {e.strerror}")
                    await asyncio.sleep(ACCEPT_PAUSE_S)
                continue  # anything else concerns one connection, which is gone already
            if not self._make_room():
                self._say(address, f"refused: {MAX_CONNECTIONS} connections are open")
                raw.close()
                continue
            task = loop.create_task(self._serve(raw, address))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _make_room(self):
        """Returns whether one more connection fits, if need be in place of the oldest stranger."""
        if len(self._connections) + self._opening < MAX_CONNECTIONS:
            return True
        strangers = [
            c for c in self._connections if not c.trusted and not c.connection.is_closing()
        ]
        if not strangers:
            return False
        min(strangers, key=lambda c: c.made)._drop("too many connections", abort=True)
        return True

    async def _serve(self, raw, address):
        handler = _Calls(self._mapping, self._codec, self._status_details_codec, self.__dispatch__)
        protocol = _Protocol(handler, self)
        loop = asyncio.get_running_loop()
        tls = {"ssl": self._ssl, "ssl_handshake_timeout": HANDSHAKE_S} if self._ssl else {}
        self._opening += 1
        try:
            await loop.connect_accepted_socket(lambda: protocol, raw, **tls)
        except (OSError, TimeoutError) as e:
            self._say(address, f"TLS handshake failed: {_tls_sentence(e)}")
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
            await asyncio.sleep(SWEEP_S)
            now = time.monotonic()
            for protocol in list(self._connections):
                protocol.sweep(now)

    def _say(self, address, reason):
        """Logs once a minute for each client and reason, so that no client can fill the disk."""
        now = time.monotonic()
        key = (address and address[0], reason)
        if now - self._said.get(key, -60) < 60:
            return
        if len(self._said) > 1000:
            self._said.clear()
        self._said[key] = now
        log.info("%s: %s", _peer_name(address), reason)

    def _close_sockets(self):
        for raw in self._sockets:
            raw.close()

    async def stop(self):
        """Stops accepting, lets requests finish for STOP_S seconds, closes all connections."""
        await _end(self._accepting)
        self._close_sockets()
        busy = []
        for protocol in self._connections:
            protocol.handler.draining = True
            busy += protocol.handler.busy()
        if busy:
            await asyncio.wait(busy, timeout=STOP_S)
        for protocol in list(self._connections):
            protocol.say_goodbye()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=GOODBYE_S)
        for protocol in list(self._connections):
            protocol.transport.abort()
        await _end(self._tasks)


async def _end(tasks):
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _peer_name(address):
    return f"{address[0]}:{address[1]}" if address else "receiver"


def _tls_sentence(error):
    """Returns why a handshake failed, for the person who configures the device."""
    if isinstance(error, TimeoutError):
        return f"not finished within {HANDSHAKE_S} s"
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
