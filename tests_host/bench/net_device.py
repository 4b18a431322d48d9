"""The measured side of net.py, on either interpreter: a task as JSON on stdin, its result out."""

import asyncio
import gc
import json
import sys
import time

from cistern.borrow import borrow
from cistern.net.channel import Channel

MICROPYTHON = sys.implementation.name == "micropython"
if MICROPYTHON:
    from cistern.port.stream_mpy import connect
else:
    from cistern.port.stream_host import connect, within
cpu_s = time.clock if MICROPYTHON else time.process_time
PATH = "/grpc.testing.TestService/EmptyCall"


def channel(task):
    more = {}
    if not MICROPYTHON:
        more = {"rx_size": 65536, "tx_size": 65536, "window": 65535, "within": within}
    return Channel(lambda: connect("127.0.0.1", task["port"]), "bench", "http", **more)


async def speed(task):
    """[uploads, seconds, seconds of CPU]"""
    ch = channel(task)
    message = bytes(task["size"])
    await ch.unary(PATH, message)
    count = 0
    cpu, wall = cpu_s(), time.time()
    while time.time() - wall < task["seconds"]:
        for _ in range(10):
            await ch.unary(PATH, message)
        count += 10
    result = [count, time.time() - wall, cpu_s() - cpu]
    await ch.close()
    return result


async def memory(task):
    """Bytes of live heap at most, while a message of 1 MB is on its way, above those before."""
    total = task["size"]
    piece = bytes(1000)
    peak = [0]
    for part in ("Lock", "Event", "wait_for"):
        getattr(asyncio, part)  # asyncio loads them when they are first used
    for part in ("dial_mpy", "names_mpy"):
        borrow("cistern.port." + part)  # whose dns and pem go with them on a board
    gc.collect()
    before = gc.mem_alloc()

    def pieces():
        left = total
        count = 0
        while left:
            n = min(left, len(piece))
            left -= n
            count += 1
            if not count % 20:
                gc.collect()
                peak[0] = max(peak[0], gc.mem_alloc() - before)
            yield memoryview(piece)[:n]

    ch = channel(task)
    await ch.unary(PATH, pieces(), size=total)
    gc.collect()
    after = gc.mem_alloc() - before
    await ch.close()
    return [peak[0], after]


TASK = json.load(sys.stdin)
print(json.dumps(asyncio.run({"speed": speed, "memory": memory}[TASK["what"]](TASK))))
