"""Device → receiver: readings a second, bytes on the wire a reading, memory that a sync takes.

    python tests_host/bench/wire.py [READINGS]

A board under MicroPython (`cistern sim`, compiled as for a chip) sends a backlog that lies on its
flash to `cistern cloud` over TLS on loopback, through a counter of bytes. Bytes are what TCP
carries: TLS records, HTTP/2 frames, all that the board sends from connecting on. Seconds are from
the first to the last byte. Memory: without TLS, live heap at its highest, measured whenever the
sync lets others run and at every piece of an upload, above the heap with all loaded and no
connection; on a PC every pointer has 64 bits, so a board needs less.
"""

import asyncio
import json
import os
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parents[1] / "lib")]

from bench_support import Bench, Board, cistern, running  # noqa: E402
from cistern.port.nor import NorFile  # noqa: E402
from cistern.record import Ring, Shape, Stream  # noqa: E402
from cistern.store import Log  # noqa: E402
from cistern_tools.paths import SIM_MAIN  # noqa: E402
from cistern_tools.simboard import WORDS  # noqa: E402

FLASH = 1 << 20
HZ = 100
MAX_HEAP = 8 * 1024  # DESIGN.md, law 3
WAIT_S = 180
LIVE = 60  # readings that are due at each sync of a sensor at 10 Hz, by default every 6 s

# name: (component type, method, params, fields, values of reading i)
SHAPES = {
    "Analogs": (
        "rdk:component:board",
        "Analogs",
        {"reader_name": "A1"},
        ((("value",), "u16"),),
        lambda i: (i * 7919 % 65536,),
    ),
    "Readings, one number": (
        "rdk:component:sensor",
        "Readings",
        {},
        ((("readings", "celsius"), "f32"),),
        lambda i: (20 + i % 64 / 8,),
    ),
    "vector": (
        "rdk:component:movement_sensor",
        "LinearAcceleration",
        {},
        tuple((("linear_acceleration", k), "f32") for k in "xyz"),
        lambda i: (i % 8 / 4, -9.75, i % 4 / 2),
    ),
}


class Counter:
    """A way to a TCP port that counts what passes: up and down, in bytes; first, last: seconds."""

    def __init__(self, port):
        self._to = port
        self._tasks = set()
        self._server = None
        self.up = self.down = 0
        self.first = self.last = None

    async def open(self):
        """Start to listen; the port."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self._server.sockets[0].getsockname()[1]

    def close(self):
        """Stop."""
        self._server.close()
        for task in self._tasks:
            task.cancel()

    async def _accept(self, reader, writer):
        to_reader, to_writer = await asyncio.open_connection("127.0.0.1", self._to)
        for way in (("up", reader, to_writer), ("down", to_reader, writer)):
            task = asyncio.create_task(self._pass(*way))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pass(self, way, reader, writer):
        try:
            while data := await reader.read(65536):
                self.last = time.monotonic()
                self.first = self.first or self.last
                setattr(self, way, getattr(self, way) + len(data))
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()


def backlog(path, shape, readings):
    """Put readings on a flash chip in a file, in parcels of a second as a board makes them."""
    kind, method, params, fields, values = SHAPES[shape]
    log = Log.mount(NorFile(str(path), FLASH), os.urandom)
    log.append_anchor(0, int((time.time() - 3600) * 1e6), 1000)
    period = 1000000 // HZ
    ring = Ring(Stream(kind, "bench", method, params), 8000, period, Shape(fields))
    buf = bytearray(3584)
    for i in range(readings):
        # As uneven as they are in the field, for the sake of the times' length.
        ring.put(i * period + i * 7919 % 150, 30 + i % 8, values(i))
        if i % HZ == HZ - 1 or i + 1 == readings:
            while ring.readings:
                sealed = ring.seal(buf, i * period % (1 << 30), i * period)
                log.append(sealed.definition, sealed.payload, sealed.readings)
                ring.release()
                log.maintain(10**6, lambda: 0)


def _cloud(bench, shape, readings, *options):
    bench.flash.unlink(missing_ok=True)
    backlog(bench.flash, shape, readings)
    machine = {"services": [{"name": "dm", "type": "data_manager", "attributes": {}}]}
    machine["services"][0]["attributes"]["sync_interval_mins"] = 0.005
    bench.machine.write_text(json.dumps(machine))
    bench.start_receiver("127.0.0.1:0", *options)


async def measure(folder, shape, readings):
    """(seconds, bytes up, bytes down, uploads, bytes of their messages) of a backlog."""
    bench = Bench(folder)
    _cloud(bench, shape, readings)
    counter = Counter(int(bench.url.rpartition(":")[2]))
    url = f"https://127.0.0.1:{await counter.open()}"
    try:
        with running(bench.board(url=url)) as board:
            await _until(lambda: _stored(bench) >= readings, board)
    finally:
        counter.close()
        bench.stop_receiver()
    uploads, size = bench.rows("SELECT count(*), sum(bytes) FROM uploads")[0]
    assert _stored(bench) == readings
    return counter.last - counter.first, counter.up, counter.down, uploads, size


def _stored(bench):
    found = bench.rows("SELECT coalesce(sum(stored), 0) FROM uploads")
    return found[0][0]


async def _until(condition, board):
    end = time.monotonic() + WAIT_S
    while not condition():
        assert board.process.poll() is None and time.monotonic() < end, board.log()[-2000:]
        await asyncio.sleep(0.02)


async def heap(folder, shape, readings):
    """Bytes of live heap that a sync takes at most."""
    bench = Bench(folder)
    _cloud(bench, shape, readings, "--plaintext")
    link = ("--cloud", bench.url, "--part-id", "test-part", "--secret-file", str(bench.secret))
    program = ("--program", str(HERE / "wire_device.py"))
    command = [*cistern("sim"), str(bench.machine), *link, *program, "--flash", str(bench.flash)]
    environment = {**os.environ, "CISTERN_BENCH_MAIN": str(SIM_MAIN)}
    try:
        with running(Board([*command, "--heap", "2M"], environment)) as board:
            await _until(board.statuses, board)
            found = board.statuses()[0]
    finally:
        bench.stop_receiver()
    assert _stored(bench) == readings
    return found


def main(readings=20000):
    """Print the tables; 1 if a sync takes more memory than it may."""
    title = ("", "readings/s", "B a reading", "of message", "requests", "B down")
    print(f"{title[0]:24}" + "".join(f"{t:>13}" for t in title[1:]))
    for shape in SHAPES:
        for count in (readings, LIVE):
            with tempfile.TemporaryDirectory() as folder:
                seconds, up, down, uploads, size = asyncio.run(measure(Path(folder), shape, count))
            name = shape if count == readings else f"  {count} with a connection"
            rate = f"{count / seconds:13.0f}" if count == readings else f"{'':13}"
            print(f"{name:24}{rate}{up / count:13.1f}{size / count:13.1f}{uploads:13}{down:13}")
    with tempfile.TemporaryDirectory() as folder:
        found = asyncio.run(heap(Path(folder), "Readings, one number", readings))
    taken = found["peak"] - found["idle"]
    chip = (taken - found["buffers"]) // WORDS + found["buffers"]
    print(f"heap of a sync, its connection with it but TLS: {taken} B at most here,")
    print(f"about {chip} B on a chip (bar: {MAX_HEAP})")
    return int(chip > MAX_HEAP)


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
