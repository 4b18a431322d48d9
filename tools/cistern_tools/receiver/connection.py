"""One connection: grpclib's, made to survive and answer whatever a client sends.

What grpclib leaves open and this module closes: message size and rate, connections that never
send a valid request, peers that vanished or do not read their answers, frames of unknown type
(RFC 9113 section 4.1: ignore), requests that are no gRPC. Every answer gets a `date` header, by
which devices set their clocks.
"""

import asyncio
import contextlib
import logging
import socket
import time
from email.utils import formatdate
from functools import partial

import h2.connection
import h2.exceptions
from grpclib.const import Status
from grpclib.protocol import Connection, EventsProcessor, H2Protocol, Peer
from grpclib.server import Handler, request_handler
from h2.errors import ErrorCodes
from h2.settings import SettingCodes

from . import limits
from .buffer import Buffer
from .frames import FrameSizes


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
        large = path in self._listener.large
        limit = limits.MAX_MESSAGE if large else limits.SMALL_MESSAGE
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
        if self.resets > limits.MAX_RESETS:
            raise h2.exceptions.ProtocolError("too many cancelled requests")

    def process(self, event):
        if type(event) in getattr(self, "processors", ()):
            super().process(event)


class Calls(Handler):
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


class Protocol(H2Protocol):
    """One connection: HTTP/2 by ALPN or by prior knowledge, which look the same from here on."""

    def __init__(self, handler, listener):
        super().__init__(handler, listener.config, listener.h2_config)
        self._listener = listener
        self.transport = None
        self.made = self.last_received = time.monotonic()
        self.pinged = self.paused = None
        self.closed = asyncio.Event()
        self._first = True
        self._frames = FrameSizes()

    def connection_made(self, transport):
        # The SETTINGS go out with the answer to the client's first bytes, which may not be HTTP/2.
        self.transport = transport
        raw = transport.get_extra_info("socket")
        if raw is not None:
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        core = _DatedConnection(config=self.h2_config)
        core.local_settings.update(
            {
                SettingCodes.MAX_CONCURRENT_STREAMS: limits.MAX_STREAMS,
                SettingCodes.INITIAL_WINDOW_SIZE: limits.STREAM_WINDOW,
            }
        )
        # They go out with the preface; nothing was sent under others.
        core.local_settings.acknowledge()
        core.initiate_connection()
        # RFC 9113 section 6.9.2: the connection starts with 65535.
        core.increment_flow_control_window(limits.CONNECTION_WINDOW - 65535)
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
        try:
            self._frames.feed(data)
        except h2.exceptions.FrameTooLargeError:
            self.connection._connection.close_connection(ErrorCodes.FRAME_SIZE_ERROR)
            raise
        events = self.connection.feed(data)
        self.connection.flush()
        for event in events:
            self.processor.process(event)
        if self.connection.is_closing():
            return
        self.connection.flush()
        if self.transport.get_write_buffer_size() > limits.MAX_UNSENT:
            self._drop("it does not read what it is sent", abort=True)

    def _drop(self, reason, abort=False):
        peer = self.transport.get_extra_info("peername")
        self._listener.complain(logging.INFO, peer, "connection closed: %s", reason)
        if not self.connection.is_closing():
            self.connection.flush()  # GOAWAY, which says why
        if abort:
            self.transport.abort()
        self.processor.close(reason)

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
            if now - self.last_received > limits.WRITE_STALL_S:  # TLS's closing handshake may hang
                self.transport.abort()
        elif not self.trusted and now - self.made > limits.FIRST_REQUEST_S:
            self._drop(f"no valid request within {limits.FIRST_REQUEST_S} s", abort=True)
        elif self.paused and now - self.paused > limits.WRITE_STALL_S:
            self._drop("it does not read its answers", abort=True)
        elif self.pinged and now - self.pinged > limits.PING_S:
            self._drop("it does not answer", abort=True)
        elif not self.pinged and now - self.last_received > limits.IDLE_S:
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
