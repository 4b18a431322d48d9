"""A client for h2specd, on either interpreter: one request to URL, then listens until the end.

    net_probe.py http://127.0.0.1:30000/
"""

import asyncio
import sys

from cistern.errors import LinkError
from cistern.net.channel import Channel

if sys.implementation.name == "micropython":
    from cistern.port.stream_mpy import connect
else:
    from cistern.port.stream_host import connect

LISTEN_S = 0.5  # twice, and 1 s to close: h2specd gives a case 3 s


async def main(url):
    host, port = url.split("/")[2].split(":")
    # h2specd compresses with a table of 4,096 bytes whatever SETTINGS_HEADER_TABLE_SIZE says.
    channel = Channel(lambda: connect(host, int(port)), f"{host}:{port}", "http", table=4096)
    try:
        await channel.unary("/", b"", timeout_ms=int(LISTEN_S * 1000))
    except LinkError as e:
        print(e.layer, e)
    for _ in range(int(LISTEN_S * 100)):
        if not channel.connected():
            break
        await asyncio.sleep(0.01)
    await channel.close()


asyncio.run(main(sys.argv[1]))
