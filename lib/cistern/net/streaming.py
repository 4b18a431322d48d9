"""Calls of more than one message each way; unary ones are the channel's own."""

import asyncio

from cistern.net.grpc import Call


async def start(channel, path, metadata=(), timeout_ms=0):
    """Start a call of any kind: send() messages, end(), receive() until None; release() it.

    timeout_ms: until its end; 0 is none, for what may go on for ever.
    """
    call = Call(channel.max_message, asyncio.Event())
    if timeout_ms:
        call.timer = asyncio.create_task(_expire(call, timeout_ms))
    await channel.open(call, path, metadata, timeout_ms)
    call.link.kick()
    return call


async def end(call):
    """No more messages from here (half-close)."""
    await call.link.send(call, None, 0, True)


async def _expire(call, ms):
    """The deadline of a call, where nobody waits for the whole of it."""
    await asyncio.sleep(ms / 1000)
    call.timer = None
    call.fail("deadline", f"no answer within {ms} ms")
    call.release()
