"""A byte stream whose work is done where capture has nothing to do."""


class Polite:
    """A Stream (docs/DESIGN.md) that waits for `turn()` before what takes some ms: encrypting what
    is written, and what becomes of what was read.
    """

    def __init__(self, stream, turn):
        self.close = stream.close
        self._stream = stream
        self._turn = turn

    @property
    def alpn(self):
        """The stream's, which may learn it with the first write."""
        return self._stream.alpn

    async def readinto(self, buf):
        """As the stream's."""
        n = await self._stream.readinto(buf)
        await self._turn()
        return n

    async def write(self, buf):
        """As the stream's."""
        await self._turn()
        await self._stream.write(buf)


def connector(port, host, number, tls, turn):
    """A coroutine function that connects to a host (port.connect()): a Polite stream."""

    async def connect():
        return Polite(await port.connect(host, number, tls), turn)

    return connect
