"""The experiment from start to end."""

import asyncio
import contextlib
import time
from dataclasses import dataclass, field
from pathlib import Path

from chaos import report, rivals
from chaos.faults import plan
from chaos.names import NameServer
from chaos.proxy import Proxy
from chaos.rig import INTERVAL_S, SCALE, SENSORS, Device, Receiver, contexts
from chaos.verify import Evidence, verify
from chaos.weather import Weather
from net_support import Certificates

CALM_S = 120  # in the end: for the board to deliver what it has
START_S = 60  # for the first start of the board, which may have to be compiled
STATUS_S = 0.2
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

    faults: of faults.plan(). flash_size, sensors ({name: Hz}): of the board. harm: how it is
    broken on purpose (board.py); forgetful: the receiver does not look at names of parcels.
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
        self._ca = certificates.ca_file
        self._jobs = set()
        self._powered = asyncio.Lock()
        self._serving = asyncio.Lock()

    async def run(self, progress=None):
        """All of it; returns the Evidence."""
        dns, port = await self.names.open(), await self.proxy.open()
        self.device = Device(
            self._folder, port, dns, self._ca, self._flash_size, self.sensors, self._harm
        )
        try:
            await asyncio.to_thread(self.receiver.start)
            self.device.start()
            await self._until(self.device.board.statuses, START_S)
            self.weather.begin()
            await self._storm(progress)
            drained = await self._calm()
            status = await asyncio.to_thread(self.device.finish, CALM_S)
            assert status == 0, f"the board ended with {status}: {self.device.board.log()[-2000:]}"
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

    def _start(self, job):
        task = asyncio.create_task(job)
        self._jobs.add(task)
        task.add_done_callback(self._jobs.discard)

    async def _calm(self):
        """Fair weather until all is delivered; whether it was in time."""
        self.weather.clear()
        await asyncio.gather(*self._jobs)
        self.weather.clear()
        if self.device.board.process.poll() is not None:
            self.device.start()
        return await self._until(self._delivered, CALM_S)

    async def _until(self, condition, seconds):
        """Whether the condition came true in time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not condition():
                    await asyncio.sleep(STATUS_S)
                return True
        return False

    def _delivered(self):
        """Whether the board has said that little waits: a sync's worth of all sensors."""
        pending = self.device.pending()
        return pending is not None and pending <= 3 * sum(self.sensors.values())

    async def _kill_board(self, fault):
        async with self._powered:
            since = self.weather.now()
            await asyncio.to_thread(self.device.cut)
            await asyncio.sleep(fault.more["away"])
            self.device.start()
            self.weather.meet(fault, since, committed=None)

    async def _kill_receiver(self, fault):
        async with self._serving:
            since = self.weather.now()
            self.receiver.kill()
            self.proxy.hang_up(True)
            await asyncio.sleep(fault.more["away"])
            await asyncio.to_thread(self.receiver.start)
            self.weather.meet(fault, since, committed=None)

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
            drained,
            self.receiver.rows("SELECT coalesce(sum(conflicts), 0) FROM streams")[0][0],
            self.device.counted(),
        )


def experiment(folder, seed, seconds, rate=8.0, progress=None, **more):
    """Run the experiment and the models of the others; returns the Outcome.

    kills, outage, kinds: of faults.plan(); flash_size, sensors, harm, forgetful: of Experiment.
    """
    weather = {k: more.pop(k) for k in ("kills", "outage", "kinds") if k in more}
    start = time.monotonic()
    one = Experiment(folder, seed, plan(seed, seconds, rate, **weather), **more)
    evidence = asyncio.run(one.run(progress))
    tallies = verify(evidence, one.sensors)
    wrong = [text for tally in tallies.values() for text in tally.wrong]
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
