"""What a plan writes to flash: a board in virtual time, and the parcels that it writes counted.

Needs lib/ on the path. Nothing here is guessed but the values that the inputs have.
"""

import asyncio
import gc
import heapq
from collections import defaultdict

from cistern import setup
from cistern.app import App
from cistern.capture.collector import stream_name
from cistern.record import Stream, read_definition
from cistern_tools.virtual_board import BLOCK, VirtualPort

DAY_S = 86400
# Turns of the board's loop that are simulated, fewer where there are more than LOOKS streams to
# look at in each, and bounds of the time that they may stand for.
TURNS = 20_000
LOOKS = 16
LEAST_S = 5
MOST_S = 600
# Before it, devices start: a board takes longer from its power-on to its first reading, and what a
# device says meanwhile is no mistake of a configuration.
STARTED_US = 2_000_000
# That time is stretched, up to so many times more turns, for so many flush intervals to fit in.
STRETCH = 5
FLUSHES = 3
# A ring is filled up to this size, and the rest of a larger one is taken to be like it.
FILLED = 65536
# A long period is waited for in parts of four minutes; the longest is a day.
PARTS = 400
# A read that waits is given up after 30 s at most (lib/cistern/capture/waiter.py), and what does
# not let itself be given up some seconds later.
WAITED_US = 40_000_000
# What a collector says of a reading that failed, see lib/cistern/capture/collector.py.
NO_READING = "no reading, will be tried again at its rate: "
# docs/SPEC.md: a sector's header; a record's; in a parcel the count of its readings; in a
# definition its number; what a sector says of the boots before it, one anchor in it.
SECTOR_HEAD, RECORD_HEAD, COUNT, NUMBER, STATE = 32, 8, 2, 1, 5 + 24
# So many sectors are filled for the forecast: their edges are a part of it as small.
SECTORS = 200
TICKS = (1 << 30) - 1


def _name(wanted):
    """What the program calls a collector of the plan."""
    stream = Stream(wanted.component_type, wanted.component, wanted.method, wanted.params)
    return stream_name(stream)


class Forecast:
    """What a plan's collectors write, measured on a board in virtual time.

    free: heap that the board has for it, see VirtualPort. said: (level, path or name, message) of
    what the program reports. silent: the paths of the collectors that had no reading. streams: a
    dict for each collector that runs. bytes_per_s: of flash,
    headers and all.
    """

    def __init__(self, plan, free=-1):
        self._port = VirtualPort(free=free)
        self._app = App(self._port)
        setup.open_log(self._app, "")
        self._app.apply(plan)
        self._port.now_us += STARTED_US
        self._port.engine = self._app.engine
        # By stream: (readings, bytes of payload, bytes of the definition).
        self._parcels = defaultdict(list)
        self._flush_s = plan.service.flush_interval_ms / 1000
        self._count_parcels()
        self.streams = []
        if self._app.engine.collectors:
            rate = sum(c.frequency_hz for c in plan.collectors)
            turns = TURNS * LOOKS // max(LOOKS, len(plan.collectors))
            # It wakes 20 times a second.
            span_us = int(1e6 * self._span(turns, rate + 20))
            self._port.end_us = self._port.now_us + span_us
            self._port.run(self._app.engine.run())
            wanted = {_name(c): c for c in plan.collectors}
            for collector in self._app.engine.collectors:
                self._measure(collector, wanted[collector.name])
            self._add_all(wanted)
        self.bytes_per_s = sum(s["flash_bytes_per_day"] for s in self.streams) / DAY_S
        paths = {_name(c): c.path for c in plan.collectors}
        self.silent = {paths[c.name] for c in self._app.engine.collectors if not c.captured}
        self.said = []
        for level, text in dict.fromkeys(self._port.logged):
            where, _, message = text.partition(": ")
            self.said.append((level, paths.get(where, where), message))
        # What of the user's own coroutines goes on is to end while somebody looks at it.
        del self._app, self._port
        gc.collect()

    def _span(self, turns, turns_per_s):
        """Seconds to simulate."""
        span = min(max(turns / turns_per_s, LEAST_S), MOST_S)
        return max(span, min(FLUSHES * self._flush_s, STRETCH * turns / turns_per_s))

    def _count_parcels(self):
        append = self._app.log.append

        def counted(definition, payload, readings):
            append(definition, payload, readings)
            name = stream_name(read_definition(definition)[0])
            self._parcels[name].append((readings, len(payload), len(definition)))

        self._app.log.append = counted

    def _measure(self, collector, wanted):
        """Have some parcels of every stream."""
        parcels = self._parcels[collector.name]
        if not parcels:
            self._app.engine.seal(collector)
        # A slow stream's readings are sealed one by one; it may have had none in that time.
        slow = wanted.frequency_hz * self._flush_s <= 1
        while slow and len(parcels) < FLUSHES and self._take(collector):
            self._app.engine.seal(collector)

    def _add_all(self, wanted):
        """Make `streams`, from parcels as they were on average and the sectors that they fill."""
        collectors = [c for c in self._app.engine.collectors if self._parcels[c.name]]
        rates = []
        for collector in collectors:
            parcels = self._parcels[collector.name]
            readings, size = (sum(p[i] for p in parcels) / len(parcels) for i in (0, 1))
            # The last definition counts, as the shape of the readings is known then.
            definition = RECORD_HEAD + NUMBER + parcels[-1][2]
            period = readings / wanted[collector.name].frequency_hz
            rates.append((period, readings, RECORD_HEAD + COUNT + size, definition))
        for collector, per_s in zip(collectors, bytes_per_second(rates), strict=True):
            hz = wanted[collector.name].frequency_hz
            ring = self._ring_readings(collector)
            self.streams.append(
                {
                    "stream": collector.name,
                    "path": wanted[collector.name].path,
                    "frequency_hz": hz,
                    "ring_bytes": collector.ring.size,
                    "ring_readings": ring,
                    "ring_seconds": ring / hz,
                    "flash_bytes_per_reading": per_s / hz,
                    "flash_bytes_per_day": per_s * DAY_S,
                }
            )

    def _take(self, collector):
        """Go to the collector's next deadline and serve it; False if it gave no reading."""
        before = collector.captured
        counted = before + collector.missed
        for _ in range(PARTS):
            left = self._port.ticks_diff(collector.tick, self._port.now_us & TICKS)
            self._port.now_us += max(left, 0)
            if collector.source.waits:
                self._port.run(self._await(collector, counted))
            else:
                collector.serve()
            if collector.captured + collector.missed > counted:
                break
        return collector.captured > before

    async def _await(self, collector, counted):
        port = self._port
        end_us = port.now_us + WAITED_US
        collector.serve()
        # It may be one of the parts of a long period, in which nothing is read.
        while len(asyncio.all_tasks()) > 1 and port.now_us < end_us:
            if collector.captured + collector.missed > counted:
                break
            port.now_us += 1000
            await asyncio.sleep(0)
        else:
            told = any(text.startswith(f"{collector.name}: ") for _, text in port.logged)
            if port.now_us >= end_us and not told:
                text = f"{NO_READING}no answer within {WAITED_US // 1_000_000} s"
                port.log("error", f"{collector.name}: {text}")

    def _ring_readings(self, collector):
        ring = collector.ring
        while not ring.overwritten and ring.used < FILLED and self._take(collector):
            pass
        if ring.overwritten:
            return ring.readings
        return int(ring.readings * ring.size / ring.used) if ring.used else 0


def bytes_per_second(parcels):
    """Flash that each of some streams takes, bytes a second, in the order of `parcels`.

    parcels: (seconds between two parcels, readings in one, its bytes with its header, bytes of
    the stream's definition) of each stream. SECTORS sectors are filled with them as the log does
    it: the first parcel of a stream in a sector brings the definition, and one of several
    readings is cut where the sector ends. What a sector has besides is shared by its bytes.
    """
    due = [(period * (i + 1) / len(parcels), i) for i, (period, *_) in enumerate(parcels)]
    heapq.heapify(due)
    written = [0.0] * len(parcels)
    came = [0] * len(parcels)
    whole = BLOCK - SECTOR_HEAD - RECORD_HEAD - STATE
    sectors, room, known, now = 0, 0, set(), 0.0
    while due and sectors < SECTORS:
        now, i = heapq.heappop(due)
        period, readings, size, definition = parcels[i]
        heapq.heappush(due, (now + period, i))
        came[i] += 1
        left = size
        while left > 0:
            cost = 0 if i in known else definition
            least = RECORD_HEAD + COUNT + (size - RECORD_HEAD - COUNT) / readings
            if room < cost + min(least, left):
                sectors += 1
                room, known = whole, set()
                continue
            taken = min(left, room - cost)
            known.add(i)
            written[i] += cost + taken
            room -= cost + taken
            left -= taken
            if left > 0:
                left += RECORD_HEAD + COUNT
    # A stream that is so slow that it never came brings its definition with every parcel.
    rates = [
        n / now if n and c > 1 else (p[2] + p[3]) / p[0]
        for n, c, p in zip(written, came, parcels, strict=True)
    ]
    shared = sectors * BLOCK / sum(written) if sum(written) else 1
    return [rate * shared for rate in rates]
