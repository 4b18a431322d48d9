"""The application: builds the rooms from a configuration and a port, and keeps them running."""

import asyncio

from cistern import config, resources
from cistern.capture.collector import Collector
from cistern.capture.engine import FAST_US, MAX_PARCEL, Engine
from cistern.record import Ring, Shape, Stream, read_definition
from cistern.store import Log
from cistern.sync.clock import Clock

MACHINE = "machine.json"  # the last good configuration, under this name in the port's state
STATUS_MS = 1000
RESTART_MS = 1000
# One erase takes 45 ms (datasheet); ask for room in steps of one, four times a second.
ERASE_BUDGET_US = 50000
ERASE_EVERY_MS = 250
PC_CLOCK_US = 100000  # how far a clock that something else keeps may be wrong
LAST_SYNC_S = 10
SECTOR = 4096
RAM_SECTORS = 8  # of 149 KB of heap with Wi-Fi up, 70 KB are code and 40 KB TLS


class App:
    """One board: its log, its collectors and its link to a cloud.

    Raises StoreError when the flash holds something that is no log of Cistern.
    """

    def __init__(self, port):
        self.port = port
        port.health = self.status
        self.log = None
        self.clock = None
        self.engine = None
        self.uploader = None
        self._connect = None
        self._service = None
        self._names = {}
        self._synced = {}

    def open_log(self, capture_dir):
        """Open the log: in files of capture_dir if that is not "", else on flash, else in RAM.

        Raises StoreError where something else is found, and OSError where there is no such folder.
        """
        device = self.port.flash
        if capture_dir:
            from cistern.store.files import FileDevice

            device = FileDevice(capture_dir, self.port.room(capture_dir) // SECTOR)
        elif device is None:
            from cistern.store.ram import RamDevice

            self.port.log("warning", "no flash for the log: a reset loses what is not synced")
            device = RamDevice(RAM_SECTORS)
        self.log = Log.mount(device, self.port.urandom)
        self.clock = Clock(self.log.anchors())
        self._learn_time(self.port.utc_us(), PC_CLOCK_US)

    def _learn_time(self, utc_us, uncertainty_us):
        """Keep an anchor of this boot in the log, the first time that the time is known."""
        if utc_us is not None and self.log.boot not in self.clock.anchors:
            self.log.append_anchor(self.port.uptime_us(), utc_us, uncertainty_us)
            self.clock.anchors = self.log.anchors()

    def load(self, path, text):
        """Take the configuration `text` of file `path`, else the last good one, else False."""
        try:
            machine = config.load(text)
            self.port.save_state(MACHINE, text)
        except config.ConfigError as e:
            self.port.log("error", "%s:%d:%d: %s" % (path, e.line, e.column, e.message))
            text = self.port.load_state(MACHINE)
            if text is None:
                self.port.log("error", "there is no earlier configuration to run; mend this one")
                return False
            self.port.log("warning", "running the last good configuration")
            machine = config.load(text)
        self.apply(config.plan(machine, resources))
        return True

    def apply(self, plan):
        """Build what the plan names; what cannot be built is reported and left out."""
        for problem in plan.problems:
            self.port.log(problem.level, "%s: %s" % (problem.path, problem.message))
        self._service = plan.service
        if self.log is None:
            self.open_log(plan.service.capture_dir)
        self.log.delete_every_nth = plan.service.delete_every_nth_when_disk_full
        self.engine = Engine(self.port, self.log, plan.service.flush_interval_ms * 1000)
        if plan.service.capture_disabled:
            return
        made = self._components(plan)
        for wanted in plan.collectors:
            if wanted.component in made:
                try:
                    source = made[wanted.component].source(wanted.method, wanted.params)
                    self._collect(wanted, source)
                except Exception as e:  # a driver may raise anything; the other collectors run
                    self.port.log("error", "%s: %s" % (wanted.path, e))

    def _components(self, plan):
        made = {}
        # Boards first: sensors sit on their readers.
        for component in sorted(plan.components, key=lambda c: not c.type.endswith(":board")):
            try:
                made[component.name] = resources.build(component, self.port, made)
            except Exception as e:  # a driver may raise anything; the other components run
                self.port.log("error", "%s: %s" % (component.path, e))
        return made

    def _collect(self, wanted, source):
        stream = Stream(
            wanted.component_type, wanted.component, wanted.method, wanted.params, wanted.tags
        )
        shape = Shape(source.fields) if source.fields else None
        ring = Ring(stream, wanted.ring_bytes, wanted.period_us, shape)
        period = (wanted.period_us, wanted.period_rem, wanted.period_den)
        if wanted.period_us < source.min_period_us:
            period = (source.min_period_us, 0, 1)
            text = "%s: the device gives a reading every %.1f s at most; taken at that rate"
            self.port.log("warning", text % (wanted.path, period[0] / 1000000))
        kind = Collector
        fast = period[0] < FAST_US and source.fields and not source.waits
        timed = fast and hasattr(self.port, "timer")
        if timed:
            from cistern.capture.sampler import Sampler

            kind = Sampler
        elif source.waits:
            from cistern.capture.waiter import Waiter

            kind = Waiter
        self.engine.add(kind(stream_name(stream), source, ring, period, self.port), timed)

    def connect_to(self, url, ca, server_name, part_id, secret):
        """Sync to the cloud at `url`, verified by `ca` (PEM or DER). Raises ValueError."""
        from cistern.cloud.url import parse

        scheme, host, port, authority = parse(url)
        tls = None
        if scheme == "https":
            tls = {"ca": ca, "server_name": server_name or host}
        else:
            self.port.log("warning", "%s is not encrypted: anyone on the way can read it" % url)

        def connect():
            return self.port.connect(host, port, tls)

        self._connect = (connect, authority, scheme, part_id, secret)

    def _make_uploader(self):
        """A fresh connection and what sends through it, if there is a cloud to sync to."""
        self.uploader = None
        if self._connect is None or self._service.sync_disabled:
            return
        # Without a cloud none of this is loaded.
        from cistern.cloud.client import Cloud
        from cistern.cloud.httpdate import UNCERTAINTY_US
        from cistern.net.channel import Channel
        from cistern.sync.uploader import Uploader

        connect, authority, scheme, part_id, secret = self._connect

        def on_date(utc_us):
            self._learn_time(utc_us, UNCERTAINTY_US)

        cloud = Cloud(
            Channel(connect, authority, scheme, **self.port.channel), part_id, secret, on_date
        )
        interval_ms = self._service.sync_interval_ms
        self.uploader = Uploader(
            self.port, self.log, self.clock, cloud, interval_ms, MAX_PARCEL, self._count_synced
        )

    async def run(self, seconds, report):
        """Capture and sync for `seconds` (0: for ever), then finish.

        report: None, or called with status() once a second.
        """
        self._make_uploader()
        jobs = [self.engine.run, self._keep_erased]
        if self.uploader:
            jobs.append(self.uploader.run)
        tasks = [asyncio.create_task(self._supervise(job)) for job in jobs]
        end = self.port.uptime_us() + int(seconds * 1000000)
        left_ms = STATUS_MS
        while left_ms > 0:
            await self.port.sleep_ms(min(left_ms, STATUS_MS))
            if report:
                report(self.status())
            if seconds:
                left_ms = (end - self.port.uptime_us()) // 1000
        for task in tasks:
            task.cancel()
        await self.finish(report)

    async def _supervise(self, job):
        """Run a job for ever: what a programming error ends is reported and started again."""
        while True:
            try:
                await job()
                return
            except Exception as e:
                self.port.log_exception(e)
            await self.port.sleep_ms(RESTART_MS)

    async def _keep_erased(self):
        while True:
            while self.log.maintain(ERASE_BUDGET_US, self.port.ticks_us):
                await self.port.sleep_ms(0)
            await self.port.sleep_ms(ERASE_EVERY_MS)

    async def finish(self, report=None):
        """No more capture: make all durable, sync what can be synced within LAST_SYNC_S."""
        self.engine.stop()
        if not self.engine.flush():
            self.port.log("error", "the flash log took not all readings; those in RAM are lost")
        # The old connection may belong to an event loop that was interrupted.
        self._make_uploader()
        if self.uploader:
            try:
                await asyncio.wait_for(self.uploader.sync(), LAST_SYNC_S)
                await self.uploader.close()
            except asyncio.TimeoutError:
                self.port.log("warning", "the last sync was cut short; the rest is on flash")
        if report:
            report(self.status())

    def _count_synced(self, definition, readings):
        name = self._name(definition)
        self._synced[name] = self._synced.get(name, 0) + readings

    def _name(self, definition):
        if definition not in self._names:
            self._names[definition] = stream_name(read_definition(definition)[0])
        return self._names[definition]

    def status(self):
        """What the user sees: t (s since start), link, heap_free, and counts for each stream.

        captured, late, missed, dropped, durable and synced count since start; pending is what is
        on flash and not in the cloud yet, of earlier boots too.
        """
        streams = {}
        for c in self.engine.collectors:
            row = streams[c.name] = _row()
            row["captured"], row["late"], row["missed"] = c.captured, c.late, c.missed
            row["dropped"], row["durable"] = c.dropped, c.durable
        for name, count in self._synced.items():
            streams.setdefault(name, _row())["synced"] = count
        pending = self.log.stats().unsent_readings
        for definition in pending:
            row = streams.setdefault(self._name(definition), _row())
            row["pending"] += pending[definition]
        link = self.uploader.link if self.uploader else "offline"
        return {
            "t": round(self.port.uptime_us() / 1000000, 3),
            "boot": self.log.boot,
            "link": link,
            "heap_free": self.port.mem_free(),
            "streams": streams,
        }


def _row():
    return dict.fromkeys(
        ("captured", "late", "missed", "dropped", "durable", "synced", "pending"), 0
    )


def stream_name(stream):
    """component/method, and the params where there are any: "board/Analogs(reader_name=A1)"."""
    params = ",".join(["%s=%s" % (k, stream.params[k]) for k in sorted(stream.params)])
    name = stream.component_name + "/" + stream.method
    return name + "(" + params + ")" if params else name
