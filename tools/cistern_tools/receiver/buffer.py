"""The bytes of a request on their way in, bounded in size, time and memory."""

import asyncio

from grpclib.const import Status
from grpclib.exceptions import GRPCError

from . import limits


class Buffer:
    """The received, not yet consumed bytes of one request.

    Replaces grpclib's, which has no limits.

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
        allowed_s = limits.MESSAGE_S + size / limits.MIN_RATE
        try:
            async with asyncio.timeout(allowed_s):
                while len(self._data) < size and not self._eof:
                    self._more.clear()
                    self._ack(self.unacked_size())
                    await self._more.wait()
        except TimeoutError:
            raise GRPCError(
                Status.DEADLINE_EXCEEDED,
                f"{len(self._data)} of {size} bytes came in {allowed_s:.0f} s",
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
        if size > limits.SMALL_MESSAGE:
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
        self.free = limits.MAX_BUFFERED
