"""The board: flash and hardware that take the time of their datasheets, and a link to a cloud."""

import asyncio
import random

from cistern.port.pc import ticks_diff
from cistern.port.simulated import SimulatedBoard
from powercut.nor import Nor

BLOCK = 4096
SECTORS = 256  # 1 MiB, as the partition `capture`
# W25Q64JV: erase of 4 KB, typical and worst; program of a page of 256 B, typical and worst.
ERASE_MS, ERASE_WORST_MS = 45, 400
PAGE_US, PAGE_WORST_US = 700, 3000
PAGE = 256
# A program of few bytes takes less than a page's: ESP-IDF's floor for writes of 4 B is 20.1 kB/s,
# 200 µs each, its driver included.
PROGRAM_US = 200
# bench/mount.py has the same for a read, and the bytes at ESP-IDF's floor of 6.65 MB/s.
READ_US, READ_BYTE_US = 30, 0.15
# One in so many operations takes longer than typical, up to the worst.
SLOW = 100
# mbedTLS on the ESP32: AES is done by hardware, GCM's GHASH is not; 1 MB/s is assumed, and 100 µs
# for a segment through lwIP and the driver.
TLS_BYTE_US, SEND_US = 1.0, 100
ROUND_TRIP_S = 0.03
TICKS = (1 << 30) - 1


class Flash(Nor):
    """A NOR chip (powercut.nor) that stops everything for as long as an operation takes."""

    def __init__(self, clock, seed, sectors=SECTORS, erase_scale=1.0):
        super().__init__(sectors, BLOCK, random.Random(seed))
        self.before = self._take
        self._clock = clock
        self._random = random.Random(seed + 1)
        self._scale = erase_scale

    def _take(self, op):
        kind, _, data = op
        slow = self._random.random() * SLOW < 1
        if kind == "erase":
            ms = ERASE_MS * self._random.uniform(0.8, 1.2)
            if slow:
                ms = self._random.uniform(ERASE_MS, ERASE_WORST_MS)
            self._clock.stall(ms * 1000 * self._scale, "erase")
        else:
            whole = PAGE_US if not slow else self._random.uniform(PAGE_US, PAGE_WORST_US)
            us = PROGRAM_US + (whole - PROGRAM_US) * len(data) / PAGE
            self._clock.charge(us, "program")

    def readblocks(self, n, buf, off=0):
        """Of the block protocol."""
        self._clock.charge(READ_US + len(buf) * READ_BYTE_US, "read")
        super().readblocks(n, buf, off)


class Port(SimulatedBoard):
    """The port's face (docs/DESIGN.md) on a Clock.

    timers: whether it has hardware timers. handshake_ms: of TLS, one call that lets nothing run.
    """

    name = "timing"
    alpn = False
    channel = {}  # as on the chip  # noqa: RUF012
    ticks_diff = staticmethod(ticks_diff)

    def __init__(self, clock, flash, seed, serve, handshake_ms=0):
        self.clock = clock
        self.flash = flash
        self.lines = []
        self.timer = clock.timer
        self.sent = self.received = 0
        self._random = random.Random(seed + 2)
        self._serve = serve
        self._handshake_ms = handshake_ms
        self._state = {}
        t = clock.t
        self.ticks_us = lambda: t[0] // 1000 & TICKS
        self.uptime_us = lambda: t[0] // 1000

    def charge(self, us, what="hardware"):
        """A call into a driver is over: callbacks that have waited for it come."""
        clock = self.clock
        clock.charge(us, what)
        if clock.t[0] >= clock.t[1]:
            clock.due()

    def utc_us(self):
        """Nobody has set the clock."""

    def set_clock(self, utc_us):
        """The chip's clock; nothing here needs it."""

    def keep_clock(self, utc_us):
        """Power does not go."""

    async def sleep_ms(self, ms):
        """MicroPython's: until its clock of milliseconds shows so many more."""
        now = self.clock.t[0]
        if ms <= 0:
            await asyncio.sleep(0)
        else:
            end = (now // 1000000 + ms) * 1000000
            await asyncio.sleep((end - now) / 1e9)

    def urandom(self, n):
        """Seeded."""
        return self._random.randbytes(n)

    def mem_free(self):
        """Not modelled."""
        return 60000

    def log(self, level, text):
        """Keep it."""
        self.lines.append((self.clock.now_us, level, text))

    def log_exception(self, error):
        """A programming error ends the run."""
        raise error

    def model_files(self):
        """None of the user's own."""
        return []

    def load_state(self, name):
        """Of save_state()."""
        return self._state.get(name)

    def save_state(self, name, text):
        """In RAM."""
        self._state[name] = text

    async def connect(self, host, port, tls=None, timeout_ms=20000):
        """A stream to the server that `serve` makes."""
        await asyncio.sleep(ROUND_TRIP_S)
        if tls and self._handshake_ms:
            self.clock.stall(self._handshake_ms * 1000, "handshake")
        return Stream(self, self._serve(), bool(tls))


class Stream:
    """A byte stream to a server in the same process, a round trip away; that costs nothing."""

    alpn = None

    def __init__(self, port, server, tls):
        self._port = port
        self._server = server
        self._byte_us = TLS_BYTE_US if tls else 0
        self._come = bytearray()
        self._event = asyncio.Event()
        self._open = True

    async def readinto(self, buf):
        """Some bytes; 0 at the end."""
        while not self._come and self._open:
            self._event.clear()
            await self._event.wait()
        n = min(len(buf), len(self._come))
        buf[:n] = self._come[:n]
        del self._come[:n]
        self._port.received += n
        self._port.charge(SEND_US + n * self._byte_us, "tls")
        return n

    async def write(self, buf):
        """All of it."""
        if not self._open:
            raise OSError(104, "ECONNRESET")
        self._port.charge(SEND_US + len(buf) * self._byte_us, "tls")
        self._port.sent += len(buf)
        answer = self._server.take(bytes(buf))
        if answer:
            asyncio.get_running_loop().call_later(ROUND_TRIP_S, self._arrive, answer)
        await asyncio.sleep(0)

    def _arrive(self, data):
        self._come += data
        self._event.set()

    def close(self):
        """At once."""
        self._open = False
        self._event.set()
