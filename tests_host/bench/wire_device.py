"""The measured side of wire.py: a simulated board that watches its heap while it syncs.

Prints {"idle", "peak", "buffers": bytes} when there is no more to send.
"""

import asyncio
import gc
import json
import os

from cistern.app import App
from cistern.net.channel import Channel

QUIET_MS = 1000  # without a call: all was sent
run, unary = App.run, Channel.unary
seen = {"peak": 0, "calls": 0, "busy": 0, "channel": None}


def look():
    """Live heap now."""
    gc.collect()
    now = gc.mem_alloc()
    seen["peak"] = max(seen["peak"], now)
    return now


def watched(pieces):
    """The pieces of an upload, with a look at each."""
    for piece in pieces:
        look()
        yield piece


async def call(self, path, message, metadata=(), timeout_ms=20000, size=None):
    """Channel.unary(), watched."""
    seen["channel"] = self
    seen["calls"] += 1
    seen["busy"] += 1
    if size is not None:
        message = watched(message)
    try:
        return await unary(self, path, message, metadata, timeout_ms, size)
    finally:
        seen["busy"] -= 1


async def watch():
    """Look whenever the sync lets others run; in the end, what is left without a connection."""
    from time import ticks_diff, ticks_ms

    since, calls = ticks_ms(), 0
    while not calls or ticks_diff(ticks_ms(), since) < QUIET_MS:
        if seen["busy"] or calls != seen["calls"]:
            calls, since = seen["calls"], ticks_ms()
        look()
        await asyncio.sleep_ms(0)
    channel = seen["channel"]
    channel._link.fail("call", "the end of the measurement")
    channel._link = None
    await asyncio.sleep_ms(100)
    found = {"peak": seen["peak"], "buffers": len(channel.rx) + len(channel.tx)}
    found["idle"] = look()
    print(json.dumps(found))


async def both(self, seconds, report):
    """App.run(), watched."""
    watching = asyncio.create_task(watch())
    await run(self, seconds, report)
    await watching


App.run, Channel.unary = both, call
with open(os.getenv("CISTERN_BENCH_MAIN")) as main:
    exec(main.read())
