"""The byte stream of MicroPython: non-blocking sockets and TLS by mbedTLS.

Connecting (dial_mpy), the TLS handshake and, where a name server is known, the look-up of the name
let other tasks run, and so does every read and write. The handshake is done by the first write,
because only a write drives mbedTLS; its time counts towards connect()'s limit. ALPN is offered
where the firmware has Cistern's module for it (firmware/usermod/alpn).
"""

import asyncio
from asyncio import core
from time import ticks_diff, ticks_ms

from cistern.borrow import borrow
from cistern.errors import LinkError

try:
    import alpn
except ImportError:
    alpn = None

# A query is sent again after 1, 2 and 4 s, as resolvers do; 7 s without an answer is a failure.
DNS_TRIES_MS = (1000, 2000, 4000)


class Stream:
    """A TCP connection, with TLS or without.

    on_write, on_broken, on_close: None, or called before each write, when it broke, and once when
    it is closed. unproven:
    the server's name while its TLS handshake is not over, else None. error: the LinkError that
    broke it, or None.
    """

    on_write = on_broken = on_close = None

    def __init__(self, sock, name, deadline):
        self._sock = sock
        self.unproven = name
        self._deadline = deadline
        self._waiting = []
        self._closed = False
        self.error = None
        self.alpn = None

    def _wait(self, queue):
        """Sleep until the socket is ready for `queue`, or closed.

        Before each read and write, so that a fast peer does not keep other tasks from running.
        """
        task = asyncio.current_task()
        self._waiting.append(task)
        try:
            yield queue(self._sock)
        finally:
            self._waiting.remove(task)

    async def readinto(self, buf):
        """Fill buf with what is there, at least a byte; returns how many, 0 at the end."""
        while True:
            await self._wait(core._io_queue.queue_read)
            if self._closed:
                return 0
            try:
                n = self._sock.readinto(buf)
            except (OSError, ValueError, MemoryError) as e:
                raise self._broken(e) from None
            if n is not None:
                return n

    async def write(self, buf):
        """Write all of buf; the first write also does the handshake."""
        if self.on_write:
            self.on_write()
        if self.unproven:
            left = ticks_diff(self._deadline, ticks_ms())
            try:
                await asyncio.wait_for_ms(self._write(buf), max(left, 1))
            except asyncio.TimeoutError:
                text = f"no end of the TLS handshake with {self.unproven}"
                raise LinkError("tls", text) from None
        else:
            await self._write(buf)

    async def _write(self, buf):
        buf = memoryview(buf)
        while buf:
            await self._wait(core._io_queue.queue_write)
            if self._closed:
                raise LinkError("connect", "the connection was closed")
            try:
                n = self._sock.write(buf)
            except (OSError, ValueError, MemoryError) as e:
                raise self._broken(e) from None
            if n is not None:
                if alpn and self.unproven:
                    self.alpn = alpn.selected(self._sock)
                self.unproven = None
                buf = buf[n:]

    def _broken(self, e):
        """The LinkError of a failure: the first one, because only that has mbedTLS's reason."""
        if not self.error:
            if self.on_broken:
                self.on_broken()
            self.error = borrow("cistern.port.link_why").broken(e, self.unproven)
        return self.error

    def close(self):
        """Close; what was written is still sent. Ends what waits in readinto() and write()."""
        if not self._closed:
            self._closed = True
            for task in self._waiting:
                # asyncio itself would let them wait for ever; a task whose data is something
                # else was woken already and only has to get its turn.
                if task.data is core._io_queue:
                    core._io_queue.remove(task)
                    core._task_queue.push(task)
            self._sock.close()
            if self.on_close:
                self.on_close()


def connect(*asked):
    """An awaitable Stream, as dial_mpy.connect()."""
    return borrow("cistern.port.dial_mpy").connect(*asked)
