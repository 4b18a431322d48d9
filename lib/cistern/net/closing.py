"""How connections end where this side ends them; borrowed."""

import asyncio

# How long the end of a connection may take: GOAWAY has to leave, and what is still coming has to
# be read, or TCP would answer it with a reset that overtakes our GOAWAY.
_CLOSE_S = 1


async def close(channel):
    """As Channel.close()."""
    channel.closed = True
    link = channel.link
    if link:
        if not link.error:
            link.conn.goaway()
            try:
                await asyncio.wait_for(link.flush(), _CLOSE_S)
            except asyncio.TimeoutError:
                pass
            link.fail("call", "the channel is closed", False)
        await link.reader


async def linger(link):
    """Have the GOAWAY of a Link leave that found the peer in error."""
    await asyncio.wait_for(_linger(link), _CLOSE_S)


async def _linger(link):
    async with link.lock:
        await link.stream.write(link.conn.take())
    while await link.stream.readinto(bytearray(64)):  # rx is the next link's
        pass
