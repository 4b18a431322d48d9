"""The application: builds the rooms from a configuration and a port, and keeps them running."""

import asyncio

from cistern import config, resources
from cistern.capture.collector import REASONS, stream_name
from cistern.capture.engine import MAX_PARCEL, Engine
from cistern.errors import LinkError
from cistern.record import read_definition
from cistern.store import Log
from cistern.sync.clock import Clock

MACHINE = "machine.json"  # the last good configuration, under this name in the port's state
STATUS_MS = 1000
RESTART_MS = 1000
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
        self.cloud = None
        self.uploader = None
        self.robot = None
        self.journal = None
        self.revision = None
        self.restarting = False
        self._connect = None
        self.components = {}
        self.marks = {}
        self.ring_room = 0
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
        self.clock = Clock(self.port, self.log)

    def load(self, path, text):
        """Take the configuration `text` of file `path`, else the last good one, else False.

        With a cloud, to which connect_to() comes first, its last one goes before them, and
        without any the board waits for it.
        """
        kept = None
        if self._connect:
            self.revision, kept = config.borrow("cistern.cloud.kept").kept(self.port)
        try:
            machine = config.load(text)
            self.port.save_state(MACHINE, text)
        except config.ConfigError as e:
            self.port.log("error", "%s:%d:%d: %s" % (path, e.line, e.column, e.message))
            text = self.port.load_state(MACHINE)
            if text is None and not self._connect:
                self.port.log("error", "there is no earlier configuration to run; mend this one")
                return False
            what = "running the last good configuration"
            self.port.log("warning", what if text else "waiting for the cloud's configuration")
            machine = config.load(text or "{}")
        self.take(kept or machine)
        return True

    def reload(self, text):
        """Run the configuration `text` from now on; raises ConfigError where it is none.

        What did not change in it goes on undisturbed.
        """
        machine = config.load(text)
        self.port.save_state(MACHINE, text)
        self.take(machine)

    def take(self, machine):
        """Run the configuration `machine`, a dict, from now on."""
        self.apply(config.plan(machine, resources))

    def apply(self, plan):
        """Run what the plan names; what cannot be made is reported and left out."""
        for problem in plan.problems:
            self.port.log(problem.level, "%s: %s" % (problem.path, problem.message))
        self._service = service = plan.service
        if self.log is None:
            self.open_log(service.capture_dir)
        if self.engine is None:
            self.engine = Engine(self.port, self.log)
        self.log.delete_every_nth = service.delete_every_nth_when_disk_full
        self.engine.flush_us = service.flush_interval_ms * 1000
        config.borrow("cistern.machine").rebuild(self, plan)
        self._tune()

    def connect_to(self, url, ca, server_name, part_id, secret):
        """Sync to the cloud at `url`, verified by `ca` (PEM or DER). Raises ValueError."""
        from cistern.cloud.journal import Journal

        scheme, host, port, authority = config.borrow("cistern.cloud.url").parse(url)
        tls = None
        if scheme == "https":
            tls = {"ca": ca, "server_name": server_name or host}
        else:
            self.port.log("warning", "%s is not encrypted: anyone on the way can read it" % url)

        async def connect():
            from cistern.sync.polite import Polite

            return Polite(await self.port.connect(host, port, tls), self.engine.quiet)

        self._connect = (connect, authority, scheme, part_id, secret)
        self.journal = Journal(self.port, secret)

    def _make_uploader(self):
        """A fresh connection and what sends through it, if there is a cloud to sync to."""
        if self._connect is None:
            return
        # Without a cloud none of this is loaded.
        from cistern.cloud.client import Cloud
        from cistern.cloud.robot import Robot
        from cistern.net.channel import Channel
        from cistern.sync.uploader import Uploader

        connect, authority, scheme, part_id, secret = self._connect
        channel = Channel(connect, authority, scheme, **self.port.channel)
        self.cloud = Cloud(channel, part_id, secret, self.clock.on_date)
        self.uploader = Uploader(self.port, self.log, self.cloud, MAX_PARCEL, self._count_synced)
        self.uploader.turn = self.engine.quiet
        self.uploader.before = self.engine.settle
        self.robot = Robot(self)
        self._tune()

    def _tune(self):
        """Have the uploader do what the data manager says."""
        up, service = self.uploader, self._service
        if not up:
            return
        self.robot.poll_ms = int(service.cloud_poll_secs * 1000)
        up.interval_ms = 0 if service.sync_disabled else service.sync_interval_ms
        up.wait_ms = min(up.wait_ms, up.interval_ms)
        up.threads = service.maximum_num_sync_threads
        up.allowed = None
        name = service.selective_syncer_name
        if name:
            from cistern.sync.selective import should_sync

            up.allowed = lambda: should_sync(self.components, name)

    def sync_now(self):
        """Make all that was captured durable, and send it at once."""
        self.engine.flush()
        if self.uploader:
            self.uploader.asked = True

    async def run(self, seconds, report):
        """Capture and sync for `seconds` (0: for ever), then finish.

        report: None, or called with status() once a second.
        """
        self._make_uploader()
        jobs = [self.engine.run]
        if self.uploader:
            jobs += self.uploader.run, self.robot.run
        tasks = [asyncio.create_task(self._supervise(job)) for job in jobs]
        end = self.port.uptime_us() + int(seconds * 1000000)
        left_ms = STATUS_MS
        while left_ms > 0 and not self.restarting:
            await self.port.sleep_ms(min(left_ms, STATUS_MS))
            if self.engine.alive:
                self.engine.alive = False
                self.port.feed()
            if report:
                report(self.status())
            if seconds:
                left_ms = (end - self.port.uptime_us()) // 1000
        for task in tasks:
            task.cancel()
        await self.port.sleep_ms(0)  # they end
        await self.finish(report, self.uploader)
        if self.restarting:
            self.port.reset()

    async def _supervise(self, job):
        """Run a job for ever: what a programming error ends is reported and started again."""
        while True:
            try:
                await job()
                return
            except Exception as e:
                self.port.log_exception(e)
            await self.port.sleep_ms(RESTART_MS)

    async def finish(self, report=None, uploader=None):
        """No more capture: make all durable, sync what can be synced within LAST_SYNC_S.

        uploader: that of this event loop; without one a new connection is made.
        """
        self.engine.stop()
        if not self.engine.flush():
            self.port.log("error", "the flash log took not all readings; those in RAM are lost")
        if not uploader:
            self._make_uploader()
        if self.uploader:
            try:
                await asyncio.wait_for(self._last_sync(), LAST_SYNC_S)
            except asyncio.TimeoutError:
                self.port.log("warning", "the last sync was cut short; the rest is on flash")
        if report:
            report(self.status())

    async def _last_sync(self):
        if self.uploader.interval_ms and await self.uploader.may():
            await self.uploader.sync()
        try:
            if self.cloud.ready():
                await self.robot.send_log()
        except LinkError:
            pass  # those lines are lost, the port has shown them
        await self.cloud.close()

    def _count_synced(self, definition, readings):
        name = self._name(definition)
        self._synced[name] = self._synced.get(name, 0) + readings

    def _name(self, definition):
        if definition not in self._names:
            self._names[definition] = stream_name(read_definition(definition)[0])
        return self._names[definition]

    def status(self):
        """What the user sees: t (s since start), heap_free, the figures of sync.status, and counts
        for each stream.

        captured, late, missed, dropped, durable and synced count since start; pending is what is
        on flash and not in the cloud yet, of earlier boots too.
        """
        streams = {}
        for c in self.engine.collectors:
            row = streams[c.name] = _row()
            row["captured"], row["late"], row["missed"] = c.captured, c.late, c.missed
            row["dropped"], row["durable"] = c.dropped, c.durable
            for i, reason in enumerate(REASONS):
                if c.lost[4 * i + 3]:
                    row["lost_" + reason] = c.lost[4 * i + 3]
        for name, count in self._synced.items():
            streams.setdefault(name, _row())["synced"] = count
        pending = self.log.stats().unsent_readings
        for definition in pending:
            row = streams.setdefault(self._name(definition), _row())
            row["pending"] += pending[definition]
        from cistern.sync.status import status

        found = status(self.uploader, self.port, self.log)
        found["t"] = round(self.port.uptime_us() / 1000000, 3)
        found["boot"] = self.log.boot
        found["heap_free"] = self.port.mem_free()
        found["streams"] = streams
        return found


def _row():
    return dict.fromkeys(
        ("captured", "late", "missed", "dropped", "durable", "synced", "pending"), 0
    )
