"""The same workload by others, on the same board: what a user would write, and micro-rdk.

Both are given the better of what is not known: neither syncs, micro-rdk's own code is free (it is
compiled) and its waits are exact.
"""

import asyncio
import contextlib

import littlefs

from timing.clock import Loop
from timing.hardware import BLOCK, SECTORS
from timing.observe import Row, watch

# As MicroPython mounts LittleFS 2: extmod/vfs_lfs.c.
_UNIT = 32
_CACHE = 4 * _UNIT
# Bytes of micro-rdk's stores, all together, and of an entry of an analog reading and of a vector.
MICRO_STORE = 64000
MICRO_ENTRY = {1: 45, 3: 97}
_FULL = -28  # LFS_ERR_NOSPC


class _Partition(littlefs.UserContext):
    """A partition for LittleFS on a Flash."""

    def __init__(self, flash):
        super().__init__(BLOCK * SECTORS)
        self._flash = flash

    def read(self, cfg, block, off, size):
        buf = bytearray(size)
        self._flash.readblocks(block, buf, off)
        return buf

    def prog(self, cfg, block, off, data):
        self._flash.writeblocks(block, data, off)
        return 0

    def erase(self, cfg, block):
        self._flash.ioctl(6, block)
        return 0

    def sync(self, cfg):
        return 0


class _Files:
    """The file that the naive program appends to."""

    def __init__(self, flash, kept_open):
        self._fs = littlefs.LittleFS(
            context=_Partition(flash),
            block_size=BLOCK,
            block_count=SECTORS,
            read_size=_UNIT,
            prog_size=_UNIT,
            cache_size=_CACHE,
            lookahead_size=_UNIT,
        )
        self._kept_open = kept_open
        self.written = 0
        self._begin()

    def _begin(self):
        # littlefs-python's "a" wants a file that is there.
        self._fs.open("log.jsonl", "w").close()
        self._file = None
        if self._kept_open:
            self._file = self._fs.open("log.jsonl", "ab", buffering=0)

    def append(self, text):
        """Add a line; where the disk is full, begin again."""
        data = text.encode()
        self.written += len(data)
        try:
            if self._file:
                self._file.write(data)
                return
            with self._fs.open("log.jsonl", "ab", buffering=0) as f:
                f.write(data)
        except littlefs.LittleFSError as e:
            if e.code != _FULL:
                raise
            self.close()
            self._begin()

    def close(self):
        """The end."""
        if self._file:
            with contextlib.suppress(littlefs.LittleFSError):
                self._file.close()


def _sources(port, text, rows, clock):
    """[(name, source, Hz)] of what the configuration names, watched by the rows."""
    from cistern import config
    from cistern.capture.collector import stream_name
    from cistern.record import Stream
    from cistern.resources import catalog

    plan = config.plan(config.load(text), catalog)
    made = {}
    for component in sorted(plan.components, key=lambda c: not c.type.endswith(":board")):
        made[component.name] = catalog.build(component, port, made)
    found = []
    for c in plan.collectors:
        source = made[c.component].source(c.method, c.params)
        name = stream_name(Stream(c.component_type, c.component, c.method, c.params))
        watch(source, rows[name], clock)
        found.append((name, source, rows[name].hz))
    return found


def _begin(bench, text, rates, seed):
    port, _ = bench.port(seed)
    rows = {name: Row(name, hz) for name, hz in rates.items()}
    sources = _sources(port, text, rows, bench.clock)
    return port, rows, sources


def _run(bench, rows, seconds, start):
    from timing.run import report_of

    clock = bench.clock
    clock.forget()
    begin = clock.t[0]
    for row in rows.values():
        row.first = begin + row.period
    loop = Loop(clock)

    async def main():
        tasks = start()
        await asyncio.sleep(seconds)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    loop.run_until_complete(main())
    loop.close()
    return report_of(clock, rows, begin, clock.t[0], clock.spent["idle"])


def naive(bench, text, rates, seconds, seed, kept_open=False):
    """One task for each sensor; kept_open: the file is never closed, so that a power cut takes all
    that was written since it was opened.
    """
    from timing.naive import tasks

    port, rows, sources = _begin(bench, text, rates, seed)
    files = _Files(port.flash, kept_open)
    report = _run(
        bench,
        rows,
        seconds,
        lambda: tasks(sources, port.sleep_ms, files.append, port.uptime_us),
    )
    files.close()
    readings = sum(s["captured"] for s in report["streams"])
    report["bytes"] = files.written / max(readings, 1)
    report["survives"] = "nothing" if kept_open else "all"
    return report


def micro_rdk(bench, text, rates, seconds, seed):
    """One task that sleeps the shortest interval after its reads; every interval is floored to a
    multiple of that.
    """
    _, rows, sources = _begin(bench, text, rates, seed)
    every = [int(1000 / hz) for _, _, hz in sources]
    base = min(every)
    turns = [max(ms // base, 1) for ms in every]
    values = [[0] * len(s.fields) if s.fields else None for _, s, _ in sources]

    async def collect():
        n = 0
        while True:
            for (_, source, _), turn, into in zip(sources, turns, values, strict=True):
                if n % turn == 0:
                    await _one(source, into)
            n += 1
            await asyncio.sleep(base / 1000)

    async def _one(source, into):
        with contextlib.suppress(Exception):
            if source.waits:
                # How its drivers wait is not known: they wait beside the others.
                waiting.append(asyncio.create_task(_wait(source, into)))
            elif into is None:
                source.read()
            else:
                source.read_into(into)

    async def _wait(source, into):
        with contextlib.suppress(Exception):
            await (source.read() if into is None else source.read_into(into))

    waiting = []
    report = _run(bench, rows, seconds, lambda: [asyncio.create_task(collect())])
    # What fits its memory, of the rates that there are.
    widths = {name: 3 if s.fields and len(s.fields) > 1 else 1 for name, s, _ in sources}
    second = sum(hz * MICRO_ENTRY[widths[name]] for name, hz in rates.items())
    report["bytes"] = second / sum(rates.values())
    report["counts_cpu"] = False
    report["survives"] = f"nothing; RAM holds {MICRO_STORE / second:.0f} s"
    return report
