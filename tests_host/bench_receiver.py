"""How many uploads a receiver takes: python tests_host/bench_receiver.py [connections] [uploads].

Each upload has 36 KB in ten parcels, over TLS, and is answered after its commit is on the disk.
The uploads are made before the clock starts.
"""

import asyncio
import os
import sys
import tempfile
import time
from pathlib import Path

from receiver_support import Client, add_part, endpoint, process, reading, select, upload

READINGS = 440  # of 82 bytes
UPLOADS = 200  # of each connection


def requests(number, count):
    """What one device uploads: requests for parcels of a log of its own."""
    log_id = os.urandom(8).hex()
    for sector in range(count):
        names = ",".join(f"{sector}.{i}*{READINGS // 10}" for i in range(10))
        first = sector * READINGS
        readings = [reading(n, v=0.5 * n) for n in range(first, first + READINGS)]
        yield upload(readings, f"cistern1:{log_id}:{names}", component=f"c{number}")


async def device(client, made, took):
    """Uploads one after the other on a connection of its own, as a device does."""
    for request in made:
        began = time.perf_counter()
        await client.upload(request)
        took.append(time.perf_counter() - began)


async def main(ready, connections, count):
    """Runs the devices and prints the figures."""
    took = []
    made = [list(requests(i, count)) for i in range(connections)]
    clients = [Client(endpoint(ready), ready["ca"]) for _ in made]
    for client in clients:
        await client.login()
    began = time.perf_counter()
    await asyncio.gather(*(device(c, m, took) for c, m in zip(clients, made, strict=True)))
    passed = time.perf_counter() - began
    took.sort()
    size = sum(r.ByteSize() for m in made for r in m) / len(took)
    print(
        f"{connections} connections: {len(took) / passed:.0f} uploads/s of {size / 1000:.1f} KB, "
        f"{len(took) * READINGS / passed:.0f} readings/s; answer after "
        f"{took[len(took) // 2] * 1000:.1f} ms (median), "
        f"{took[len(took) * 99 // 100] * 1000:.1f} ms (99 %)"
    )
    for client in clients:
        client.channel.close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        add_part(Path(folder))
        for wanted in [int(a) for a in sys.argv[1:2]] or (1, 4):
            with process(Path(folder)) as (cloud, ready):
                asyncio.run(main(ready, wanted, int((sys.argv[2:] or [UPLOADS])[0])))
                cloud.terminate()
                cloud.wait()
        count, size = select(Path(folder), "SELECT count(*), max(batch) FROM reading")[0]
        stored = (Path(folder) / "readings.db").stat().st_size
        print(f"{count} readings in {size} parcels take {stored / count:.0f} bytes each")
