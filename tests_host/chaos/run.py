"""The experiment from start to end."""

import asyncio
import contextlib
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

from chaos import report, rivals
from chaos.faults import plan
from chaos.names import NameServer
from chaos.proxy import Proxy
from chaos.rig import INTERVAL_S, SCALE, SENSORS, Device, Receiver, configuration, contexts
from chaos.verify import Evidence, verify
from chaos.weather import Weather
from net_support import Certificates

CALM_S = 120  # in the end: for the board to deliver what it has
START_S = 60  # for the first start of the board, which may have to be compiled
STATUS_S = 0.2
LOOK_S = 0.5  # between two looks at the flash
# A kill waits so long for its moment; then it falls up to so much later.
MOMENT_S, LATE_S = 3.0, 0.02
CHANGE_S = 30  # in which a board hears of a configuration, unless much happens to it
# Of all readings; another configuration has others. A change makes new streams of all collectors.
TAGS = (("test",), ("test", "changed"))
_ROWS = """
    SELECT component, payload->>'$.readings.boot', payload->>'$.readings.n', time_ns, parcel
    FROM readings"""


@dataclass
class Outcome:
    """What the experiment found. wrong: broken promises, sentences; none is a success."""

    seed: int
    met: list
    tallies: dict
    rivals: dict
    boots: int
    took: float
    wrong: list = field(default_factory=list)

    def __str__(self):
        lines = [
            f"seed {self.seed}: {len(self.met)} faults, {self.boots} starts of the board, "
            f"{self.took:.0f} s",
            "",
            report.faults(self.met),
            "",
            report.readings(self.tallies, self.rivals),
            "",
            *(f"BROKEN: {text}" for text in self.wrong),
            f"{len(self.wrong)} broken promises" if self.wrong else "every promise was kept",
        ]
        return "\n".join(lines)


class Experiment:
    """One run. folder: an empty one, in which everything stays for a look at it.

    seed: where it is even, two uploads go at a time, else one. faults: of faults.plan().
    flash_size, sensors ({name: Hz}): of the board. harm: how it is broken on purpose (board.py);
    forgetful: the receiver does not look at names of parcels.
    """

    def __init__(
        self,
        folder,
        seed,
        faults,
        flash_size="64K",
        sensors=SENSORS,
        harm=None,
        forgetful=False,
    ):
        folder = Path(folder)
        self.weather = Weather(seed)
        certificates = Certificates(folder)
        self.receiver = Receiver(folder, certificates, forgetful)
        self.names = NameServer(self.weather)
        self.proxy = Proxy(self.weather, contexts(folder, certificates), self.receiver)
        self.device = None
        self._folder = folder
        self._faults = faults
        self.sensors = sensors
        self._flash_size = flash_size
        self._harm = harm
        self._threads = 2 - seed % 2
        self._ca = certificates.ca_file
        self._jobs = set()
        self._powered = asyncio.Lock()
        self._serving = asyncio.Lock()
        self._changing = asyncio.Lock()
        self._changes = 0

    async def run(self, progress=None):
        """All of it; returns the Evidence."""
        dns, port = await self.names.open(), await self.proxy.open()
        text = configuration(self.sensors, self._threads, TAGS[0])
        self.device = Device(self._folder, port, dns, self._ca, self._flash_size, text, self._harm)
        try:
            self.receiver.configure(text)
            await asyncio.to_thread(self.receiver.start)
            self.device.start()
            said = await self._until(self.device.board.statuses, START_S)
            assert said, f"the board says nothing: {self.device.board.log()[-2000:]}"
            self.weather.begin()
            looking = asyncio.create_task(self._look())
            await self._storm(progress)
            drained = await self._calm()
            looking.cancel()
            await asyncio.to_thread(self.device.finish, CALM_S)
            return self._evidence(drained)
        finally:
            self.device.close()
            await self.proxy.close()
            self.names.close()
            self.receiver.close()

    async def _storm(self, progress):
        for at, fault in self._faults:
            await asyncio.sleep(max(at - self.weather.now(), 0))
            if fault.scope == "process":
                self._start(getattr(self, "_" + fault.act)(fault))
            else:
                self.weather.arm(fault)
                if fault.scope != "call":
                    self.proxy.hang_up()
            if progress:
                progress(self)

    async def _look(self):
        """Watch which parcels are marked as sent; a sector may be erased soon after."""
        while True:
            await asyncio.sleep(LOOK_S)
            await asyncio.to_thread(self.device.look)

    def _start(self, job):
        self.proxy.watch(self._jobs, job)

    async def _calm(self):
        """Fair weather until all is delivered; whether it was in time."""
        self.weather.clear()
        await asyncio.gather(*self._jobs, return_exceptions=True)
        self.weather.clear()
        return await self._until(self._delivered, CALM_S)

    async def _until(self, condition, seconds):
        """Whether the condition came true in time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not condition():
                    self.device.check()
                    await asyncio.sleep(STATUS_S)
                return True
        return False

    def _delivered(self):
        """Whether the board has said that little waits: a sync's worth of all sensors."""
        pending = self.device.pending()
        return pending is not None and pending <= 3 * sum(self.sensors.values())

    async def _moment(self, fault):
        """Wait for it; the fault with the moment that it really hit."""
        when = fault.more["when"]
        if when != "any":
            if not await self.proxy.moments.next(when, MOMENT_S):
                return replace(fault, more={**fault.more, "when": "any"})
            await asyncio.sleep(fault.more["late"] * LATE_S)
        return fault

    async def _kill_board(self, fault):
        async with self._powered:
            fault = await self._moment(fault)
            self.device.check()
            since = self.weather.now()
            await asyncio.to_thread(self.device.cut)
            await asyncio.sleep(fault.more["away"])
            self.device.start()
            self.weather.meet(fault, since, committed=None)

    async def _kill_receiver(self, fault):
        async with self._serving:
            fault = await self._moment(fault)
            since = self.weather.now()
            self.receiver.kill()
            self.proxy.hang_up(True)
            await asyncio.sleep(fault.more["away"])
            await asyncio.to_thread(self.receiver.start)
            self.weather.meet(fault, since, committed=None)

    async def _change(self, fault):
        """Another configuration, which the board runs live when it hears of it."""
        async with self._changing:
            since = self.weather.now()
            self._changes += 1
            tags = TAGS[self._changes % 2]
            before = self.device.revision()
            self.receiver.configure(configuration(self.sensors, self._threads, tags))
            if await self._until(lambda: self.device.revision() not in (None, before), CHANGE_S):
                self.weather.meet(fault, since)

    async def _outage(self, fault):
        since = self.weather.now()
        self.proxy.away = self.names.away = True
        self.proxy.hang_up(True)
        await asyncio.sleep(fault.more["seconds"])
        self.proxy.away = self.names.away = False
        self.weather.meet(fault, since)

    def _evidence(self, drained):
        rows = self.receiver.rows(_ROWS)
        log = self.device.image()
        return Evidence(
            self.device.boots,
            [(c, b, n, t, p and p.partition(":")[2]) for c, b, n, t, p in rows],
            log,
            self.proxy.uploads,
            self.device.sent,
            self.device.streams,
            drained,
            self.receiver.rows("SELECT coalesce(sum(conflicts), 0) FROM streams")[0][0],
            self.device.counted(),
            {
                (f"{component}/{method}", reason): count
                for component, method, reason, count in self.receiver.rows(
                    "SELECT component, method, reason, count FROM losses"
                )
            },
        )


def experiment(folder, seed, seconds, rate=8.0, progress=None, **more):
    """Run the experiment and the models of the others; returns the Outcome.

    kills, changes, outage, kinds: of faults.plan(); flash_size, sensors, harm, forgetful: of
    Experiment.
    """
    weather = {k: more.pop(k) for k in ("kills", "changes", "outage", "kinds") if k in more}
    start = time.monotonic()
    one = Experiment(folder, seed, plan(seed, seconds, rate, **weather), **more)
    try:
        evidence = asyncio.run(one.run(progress))
    finally:
        text = "".join(f"{met}\n" for met in one.weather.met)
        (Path(folder) / "faults.txt").write_text(text)
    tallies = verify(evidence, one.sensors)
    wrong = [text for tally in tallies.values() for text in tally.wrong]
    wrong += [f"the board took a certificate for good: {which}" for which in one.proxy.fooled]
    wrong += [f"the experiment itself failed: {defect!r}" for defect in one.proxy.defects]
    if not evidence.drained:
        wrong.append(f"the board did not deliver what it had in {CALM_S} s of fair weather")
    return Outcome(
        seed,
        one.weather.met,
        tallies,
        _others(evidence, one.weather, one.sensors),
        len(evidence.boots),
        time.monotonic() - start,
        wrong,
    )


def _others(evidence, weather, sensors):
    """The models' results, with the readings that the board took and the faults that it met."""
    first = {}
    for _, boot, _, time_ns, _ in evidence.stored:
        first[boot] = min(first.get(boot, time_ns), time_ns)
    work = rivals.Workload(
        sensors,
        [
            (first[boot.number] / 1e9 - weather.epoch, boot.end - weather.epoch)
            for boot in evidence.boots
            if boot.number in first
        ],
        sorted(weather.met, key=lambda one: one.at),
        INTERVAL_S,
        SCALE,
    )
    return {"micro-rdk": rivals.micro_rdk(work), "viam-server": rivals.viam_server(work)}
