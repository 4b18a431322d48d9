"""gRPC calls over a connection that is made when it is needed, and kept.

    channel = Channel(connect, "cloud.example:443")
    reply = await channel.unary("/package.Service/Method", message)
"""

import asyncio

from cistern.borrow import borrow
from cistern.errors import LinkError
from cistern.net import const
from cistern.net.grpc import WHY, Call, error, request
from cistern.net.h2 import Connection

_FRAME_HEADER = const(9)
_REFUSED_STREAM = const(7)
_ENHANCE_YOUR_CALM = const(11)
_INTERNAL = const(13)
# Of events.py.
_DATA = const(0)
_HEADERS = const(1)
_RESET = const(3)
_GOAWAY = const(7)
_END = const(10)


class Link:
    """One connection: a byte stream, the state of HTTP/2, a task that reads, one that pings.

    lock: of writing and of the channel's tx.
    """

    def __init__(self, stream, channel):
        self.conn = Connection(channel.window, table=channel.table)
        self.freed = asyncio.Event()  # a stream ended, or the peer allows more
        self.error = None
        self.stream = stream
        self._channel = channel
        self.lock = asyncio.Lock()
        self._flusher = None
        self._heard = False
        self.reader = asyncio.create_task(self._read())
        self._pinger = asyncio.create_task(self._keep_alive())

    def fail(self, layer, text, retry=True, close=True):
        """The connection is over: every call on it ends with this error."""
        if not self.error:
            self.error = LinkError(layer, text, retry)
            for st in list(self.conn.streams.values()):
                st.owner.fail(layer, text, retry, layer != "tls")
            self.freed.set()
            if self._pinger is not asyncio.current_task():
                self._pinger.cancel()
        if close:
            self.stream.close()  # which also ends what waits on it

    def _broke(self, e):
        if isinstance(e, LinkError):
            self.fail(e.layer, str(e), e.retry)
        else:
            self.fail("connect", repr(e))

    async def _read(self):
        stream, conn, buf = self.stream, self.conn, self._channel.rx
        view = memoryview(buf)
        try:
            while True:
                n = await stream.readinto(buf)
                if not n:
                    break
                self._heard = True
                for event in conn.receive(view[:n]):
                    self._on(event)
                if conn.error:
                    code = borrow(WHY).error_name(conn.error.code)
                    self.fail("http2", f"the server broke HTTP/2: {code}", close=False)
                    await borrow("cistern.net.closing").linger(self)
                self.kick()
            if not conn.ready and not stream.alpn and self._channel.scheme == "https":
                self.fail("tls", borrow(WHY).NO_ALPN, False)
            self.fail("connect", "closed by the server")
        except Exception as e:
            self._broke(e)

    def _on(self, event):
        """Pass an event of HTTP/2 on to its call."""
        kind = event[0]
        st = event[1]
        if not st:
            if kind == _GOAWAY and event[3] == _ENHANCE_YOUR_CALM:
                self._channel.keepalive_ms *= 2  # too many PINGs, gRPC's proposal A8
            for st in self.conn.streams.values():  # their windows may have changed
                st.owner.event.set()
            self.freed.set()
            return
        call = st.owner
        if kind == _HEADERS:
            call.on_headers(event[2])
        elif kind == _DATA:
            call.on_data(event[2])
        elif kind == _END:
            call.on_end()
        elif kind == _RESET:
            code = event[2]
            # A refused call was not processed, RFC 9113, section 8.7.
            text = f"call reset: {borrow(WHY).error_name(code)}"
            call.fail("http2", text, True, code != _REFUSED_STREAM)
        call.event.set()

    async def _keep_alive(self):
        """PING when nothing came for keepalive_ms; an answer must come within answer_ms."""
        channel = self._channel
        quiet = 0
        while channel.keepalive_ms:
            self._heard = False
            await asyncio.sleep(channel.keepalive_ms / 4000)
            self.conn.idle = 0
            quiet = 0 if self._heard else quiet + 1
            if quiet >= 4:
                quiet = 0
                self.conn.ping()
                self.kick()
                await asyncio.sleep(channel.answer_ms / 1000)
                if not self._heard:
                    self.fail("http2", f"no PING answered within {channel.answer_ms} ms")
                    return

    def kick(self):
        """Have what HTTP/2 wants to say written; whoever writes now takes it along."""
        if not self.error and not self.lock.locked() and (self.conn.pending() or self._drained()):
            self._flusher = asyncio.create_task(self.flush())

    def _drained(self):
        return self.conn.closing and not self.conn.streams

    async def flush(self):
        """Write all that HTTP/2 has to say."""
        async with self.lock:
            while self.conn.pending() and not self.error:
                await self._put(self.conn.take())
        if self._drained() and not self.error:
            self.fail("connect", "")  # no call is left to be told

    async def _put(self, data):
        """Write to the byte stream; when that fails, the calls know by fail()."""
        try:
            await self.stream.write(data)
        except Exception as e:
            self._broke(e)
        except BaseException:  # cancelled: half a frame may be out, so the link is over
            self.fail("connect", "write aborted")
            raise

    async def send(self, call, pieces, left, end):
        """Send `left` bytes of DATA from an iterator of pieces, as the windows allow."""
        conn, tx, piece = self.conn, memoryview(self._channel.tx), b""
        while True:
            async with self.lock:
                if conn.pending() > len(tx) // 2:
                    await self._put(conn.take())
                # Looked at after the waits: meanwhile the call may have failed, or the server may
                # have answered early and not want the rest.
                if call.error or call.done:
                    break
                call.event.clear()  # a window that opens from here on is seen below
                at = conn.pending()  # goes first, in the same write
                body = at + _FRAME_HEADER
                n = min(conn.sendable(call.stream), left, len(tx) - body)
                stop = body + n
                while body < stop:
                    while not piece:
                        piece = memoryview(next(pieces))
                    k = min(len(piece), stop - body)
                    tx[body : body + k] = piece[:k]
                    piece = piece[k:]
                    body += k
                left -= n
                if piece and not left:
                    raise ValueError("message over its size")
                tx[:at] = conn.take()
                if n or not left:
                    call.seen = call.seen or not left
                    conn.data_header(tx, at, call.stream, n, end and not left)
                    at = stop
                if at:
                    await self._put(tx[:at])
            if not left:
                break
            if not n:
                await call.event.wait()
        self.kick()
        if call.error:
            raise call.error


class Channel:
    """Makes calls to one server.

    connect: async callable that returns a byte stream (readinto, write, close, alpn).
    authority: the server's name, with its port when that is not the scheme's.
    scheme: "https" when the byte stream is TLS, else "http".
    keepalive_ms, answer_ms: PING after that long (up to a quarter more) without a byte from the
        server, and how long it may take to answer; keepalive_ms=0 sends none.
    window: bytes of answers that the server may send ahead, a call. With max_message, the largest
        message that is taken, it bounds the memory of a call.
    rx_size: what one read takes; larger frames are handled in pieces.
    tx_size: what one write carries, a frame with what goes before it. As a TLS record (+ 29 bytes)
        1,431 fill a TCP segment of 1,460; 4,096 is the largest record that ESP32's mbedTLS sends.
    table: bytes of memory for header fields that the server repeats (HPACK).
    within: async (awaitable, seconds), like asyncio.wait_for; stream_host has a faster one.
    memory: makes a bytearray of a size.

    link: the newest connection, or None. closed: there will be no other.
    """

    def __init__(
        self,
        connect,
        authority,
        scheme="https",
        keepalive_ms=60000,
        answer_ms=10000,
        window=4096,
        max_message=65536,
        rx_size=256,
        tx_size=1431,
        table=0,
        within=asyncio.wait_for,
        memory=bytearray,
    ):
        self.authority = authority
        self.scheme = scheme
        self.keepalive_ms = keepalive_ms
        self.answer_ms = answer_ms
        self.window = window
        self.max_message = max_message
        # For good: a piece of heap so large may be hard to find when a connection begins.
        self.rx = memory(rx_size)
        self.tx = memory(tx_size)
        self.table = table
        self._connect = connect
        self._within = within
        self._lock = asyncio.Lock()
        self.link = None
        self.closed = False

    def connected(self):
        """Whether there is a connection on which calls can start."""
        link = self.link
        return link and not link.error and not link.conn.closing

    async def open(self, call, path, metadata, timeout_ms):
        """Give a call its stream; its header block waits to be written."""
        fields = request(path, self.authority, self.scheme, metadata, timeout_ms)
        async with self._lock:
            while True:
                if self.closed:
                    raise LinkError("call", "the channel is closed", False)
                link = self.link
                if not link or link.error:
                    link = self.link = None  # its heap is needed
                    stream = await self._connect()
                    if self.closed:
                        stream.close()
                        continue
                    link = self.link = Link(stream, self)
                conn = link.conn
                # After GOAWAY its last calls go on, with the only buffers that there are.
                if not conn.closing and len(conn.streams) < conn.max_streams:
                    break
                link.freed.clear()
                await link.freed.wait()
            call.link = link
            call.stream = conn.open(fields, False, call)

    async def unary(self, path, message, metadata=(), timeout_ms=20000, size=None):
        """Make one call; returns the reply: .message (bytearray), .headers and .trailers (dicts of
        str). Raises LinkError or GrpcError.

        message: bytes-like, or with size= an iterable of bytes-like pieces of that many bytes.
        timeout_ms: for everything, connecting included; also sent to the server.
        A call that the server surely did not take is tried once more, if its message is bytes.
        """
        call = Call(self.max_message, asyncio.Event())
        try:
            return await self._within(
                self._unary(call, path, message, metadata, timeout_ms, size), timeout_ms / 1000
            )
        except asyncio.TimeoutError:
            text = f"no answer within {timeout_ms} ms"
            raise LinkError("deadline", text, True, call.seen) from None

    async def _unary(self, call, path, message, metadata, timeout_ms, size):
        again = size is None
        while True:
            await self.open(call, path, metadata, timeout_ms)
            try:
                await call.send(message, size, True)
                body = await call.receive()
                if body is None or await call.receive() is not None:
                    raise error(_INTERNAL, "not one message")
                call.message = body
                return call
            except LinkError as e:
                if not again or e.maybe_seen or e.layer not in ("http2", "connect"):
                    raise
            finally:
                call.release()
            again = False
            call.__init__(self.max_message, asyncio.Event())

    def close(self):
        """End the connection with GOAWAY; calls that still run fail."""
        return borrow("cistern.net.closing").close(self)
