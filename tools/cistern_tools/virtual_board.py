"""A board in virtual time, whose program says and writes what it would on a chip.

Needs lib/ on the path.
"""

import asyncio
import random

from cistern.port.pc import PcPort
from cistern.resources import ResourceError
from cistern.resources.pins import ADC2
from cistern_tools.watch import SAID

BLOCK = 4096
# When a run ends, what does not let itself be cancelled has so many turns to end in.
ENDING = 10


class VirtualPort(PcPort):
    """The simulated board, in a time that passes when its program sleeps.

    free: heap that is free when the configuration is applied, in bytes; -1: unbounded.
    logged: (level, text) of what the program says. A sleep takes up to 1 ms longer than asked
    for, like those of a busy board, so that times cost in a parcel what they cost there.
    """

    def __init__(self, blocks=256, free=-1):
        self.flash = RamFlash(blocks)
        self._free = free
        self.now_us = 0
        self.end_us = None
        self.engine = None
        self.ended = False
        self.logged = []
        self._random = random.Random(1)
        self._start = 0

    def _monotonic_us(self):
        """Asking takes 2 µs."""
        self.now_us += 2
        return self.now_us

    def mem_free(self):
        """As much as the board is said to have."""
        return self._free

    def utc_us(self):
        """The clock is set from the start."""
        return 1_700_000_000_000_000 + self.now_us

    def adc(self, pin):
        """As the simulated board's, but that Wi-Fi has ADC2: there, no reading comes."""
        if pin in ADC2:
            raise ResourceError(
                f"GPIO {pin} is on ADC2, which Wi-Fi needs for itself: use 32 to 39"
            )
        return super().adc(pin)

    async def sleep_ms(self, n):
        """Pass the time; at end_us the engine ends its run."""
        self.now_us += n * 1000 + self._random.randrange(1000)
        if self.now_us >= self.end_us:
            self.engine.running = False
        await asyncio.sleep(0)

    def urandom(self, n):
        """The same in every run, so that every run says the same."""
        return self._random.randbytes(n)

    def log(self, level, text):
        """Keep it. A collector whose source did not return is not asked again."""
        if not self.ended:
            self.logged.append((level, text))
        if SAID in text:
            name, _, said = text.partition(": ")
            for collector in self.engine.collectors if self.engine else ():
                if collector.name == name:
                    collector.source = Stuck(collector.source, said.partition("Error: ")[2])

    def run(self, coroutine):
        """Have it run to its end; the reads that wait then are cancelled, which is no fault of
        theirs. The loop's time is the board's.
        """
        loop = asyncio.new_event_loop()
        loop.time = lambda: self.now_us / 1e6
        # It would tell of tasks that do not let themselves be cancelled, on stderr.
        loop.set_exception_handler(lambda *_: None)
        try:
            loop.run_until_complete(coroutine)
            self.ended = True
            for task in asyncio.all_tasks(loop):
                task.cancel()
            for _ in range(ENDING):
                loop.run_until_complete(asyncio.sleep(0))
        finally:
            self.ended = False
            loop.close()


class Stuck:
    """Instead of a source that did not return once: it says so at once."""

    fields = None

    def __init__(self, source, text):
        self.file, self.waits, self.fields = source.file, source.waits, source.fields
        self.min_period_us, self.block, self.lost, self.hold_us = source.min_period_us, 0, 0, 0
        self._text = text

    def read(self, *_):
        """Raise what it raised."""
        raise ResourceError(self._text)

    read_into = read_block = start_block = read

    def stop_block(self):
        """It has none."""


class RamFlash:
    """NOR flash in memory: MicroPython's extended block device.

    programmed: bytes. begun: how often a block was programmed at its start.
    """

    def __init__(self, blocks):
        self.programmed = 0
        self.begun = 0
        self._blocks = [bytearray(b"\xff" * BLOCK) for _ in range(blocks)]

    def readblocks(self, n, buf, off=0):
        """Fill `buf`."""
        buf[:] = self._blocks[n][off : off + len(buf)]

    def writeblocks(self, n, buf, off=0):
        """Clear the bits that are 0 in `buf`."""
        block = self._blocks[n]
        self.programmed += len(buf)
        self.begun += off == 0
        for i, byte in enumerate(bytes(buf), off):
            block[i] &= byte

    def ioctl(self, op, arg):
        """Block count (4), block size (5), erase (6)."""
        if op == 6:
            self._blocks[arg][:] = b"\xff" * BLOCK
        return {4: len(self._blocks), 5: BLOCK}.get(op, 0)
