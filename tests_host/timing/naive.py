"""The program that a user would write first: a task for each sensor, JSON lines in a file."""

import asyncio
import json


async def capture(name, source, period_ms, sleep_ms, append, clock):
    """Read a source each period and append what it says to the file."""
    values = [0] * len(source.fields) if source.fields else None
    while True:
        try:
            reading = await read(source, values)
            append(json.dumps({"time": clock(), "name": name, "value": reading}) + "\n")
        except ValueError:
            print("no reading of", name)
        await sleep_ms(period_ms)


async def read(source, values):
    """One reading."""
    if values is None:
        return await source.read() if source.waits else source.read()
    if source.waits:
        await source.read_into(values)
    else:
        source.read_into(values)
    return values


def tasks(streams, sleep_ms, append, clock):
    """Start them; streams: [(name, source, Hz)]."""
    return [
        asyncio.create_task(capture(name, source, int(1000 / hz), sleep_ms, append, clock))
        for name, source, hz in streams
    ]
