"""The bytes of one TCP connection, as far as they get; and TLS over them."""

import asyncio
import contextlib
import socket
import ssl
import struct

READ = 65536
_LINGER = struct.pack("ii", 1, 0)  # close() then sends RST
DRIP_BYTES, DRIP_S = 8, 0.004


class Cut(Exception):  # noqa: N818  not an error here: it is what was asked for
    """The connection is over."""


class Wire:
    """A connection that can end at a byte, go silent, or become slow.

    left_in, left_out: bytes until it is cut in the way that `how` says (reset, end, silence), or
    None. slow: a few bytes at a time; dripped: how often they were. silent: nothing passes any
    more, and nobody is told. sent: bytes.
    """

    def __init__(self, reader, writer):
        self._reader = reader
        self._writer = writer
        self.left_in = self.left_out = None
        self.how = "reset"
        self.slow = self.silent = False
        self.dripped = self.sent = 0
        self.open = True
        self.on_limit = None  # called when left_in or left_out came to its end
        self._silence = asyncio.Event()

    async def recv(self):
        """Some bytes, or b"" at the end."""
        if self.silent:
            await self._silence.wait()
        if self.slow:
            self.dripped += 1
            await asyncio.sleep(DRIP_S)
        try:
            data = await self._reader.read(DRIP_BYTES * 8 if self.slow else READ)
        except OSError:
            data = b""
        if self.left_in is not None and data:
            data = data[: self.left_in]
            self.left_in -= len(data)
            if not self.left_in:
                await self._limit()
        if self.silent:
            await self._silence.wait()
        return data

    async def send(self, data):
        """Send all that may pass. Raises Cut when the connection is over."""
        if self.silent:
            return
        if not self.open:
            raise Cut
        out = data if self.left_out is None else data[: self.left_out]
        try:
            for i in range(0, len(out), DRIP_BYTES if self.slow else READ):
                self._writer.write(out[i : i + (DRIP_BYTES if self.slow else READ)])
                if self.slow:
                    self.dripped += 1
                    await asyncio.sleep(DRIP_S)
            await self._writer.drain()
        except OSError:
            raise Cut from None
        self.sent += len(out)
        if self.left_out is not None:
            self.left_out -= len(out)
            if not self.left_out:
                await self._limit()

    async def _limit(self):
        if self.on_limit:
            self.on_limit()
        self.cut(self.how)
        if self.how != "silence":
            raise Cut

    def cut(self, how="reset"):
        """End the connection, or let it hang."""
        if how == "silence":
            self.silent = True
            return
        if self.open:
            self.open = False
            self._silence.set()
            if how == "reset":
                with contextlib.suppress(OSError):
                    sock = self._writer.get_extra_info("socket")
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER)
                self._writer.transport.abort()
            else:
                self._writer.close()


class Tls:
    """The server's side of TLS over a Wire: recv() and send() of what is inside."""

    def __init__(self, wire, context):
        self._wire = wire
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_side=True)
        self._lock = asyncio.Lock()

    async def handshake(self):
        """Raises Cut when it fails, for whatever reason."""
        while True:
            try:
                self._tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                await self._drain()
                data = await self._wire.recv()
                if not data:
                    raise Cut from None
                self._in.write(data)
            except ssl.SSLError:
                raise Cut from None
        await self._drain()

    async def _drain(self):
        async with self._lock:
            data = self._out.read()
            if data:
                await self._wire.send(data)

    async def recv(self):
        """Some bytes, or b"" at the end."""
        while True:
            try:
                return self._tls.read(READ)
            except ssl.SSLWantReadError:
                data = await self._wire.recv()
                if not data:
                    return b""
                self._in.write(data)
            except ssl.SSLError:
                return b""

    async def send(self, data):
        """Send all of it."""
        self._tls.write(data)
        await self._drain()


class Plain:
    """recv() and send() of an ordinary connection of ours."""

    def __init__(self, reader, writer):
        self._reader = reader
        self._writer = writer

    async def recv(self):
        """Some bytes, or b"" at the end."""
        try:
            return await self._reader.read(READ)
        except OSError:
            return b""

    async def send(self, data):
        """Send all of it."""
        try:
            self._writer.write(data)
            await self._writer.drain()
        except OSError:
            raise Cut from None

    def close(self):
        """End it at once."""
        self._writer.transport.abort()
