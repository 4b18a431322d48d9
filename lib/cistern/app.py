"""The application: what stays of it in memory while a board runs.

setup.py builds the rooms from a configuration and a port, online.py what syncs to a cloud; both
are borrowed. figures.py counts for people, and is loaded when somebody asks.
"""

import asyncio

from cistern.borrow import borrow

STATUS_MS = 1000
RESTART_MS = 1000
# Where there is no memory for what syncs, it is tried again after so long, then after twice as
# long, and so on.
ONLINE_S = 30
ONLINE_MOST_S = 1800
LOSSES_S = 60  # what is lost is told once in this time


class App:
    """One board: its log, its collectors and its link to a cloud.

    cloud_at: what online.connect_to() knows of the cloud, None without one. revision: see
    cloud.robot.Robot. components and marks: see machine.py. pace: see online.tune(). synced:
    {stream definition: readings that the cloud took since start}. memory(size): makes a buffer.
    hole: see online.HOLE. unsynced: why nothing syncs, where the board has no memory for it.
    told, losses_due, untold_s: see losses.py. path: of the board's own configuration. asked: the
    cloud was asked for one since start. trial: see starts.py, None where what runs is known to be
    good. problems: {what: sentence} of what the board runs without. end_us: run() ends when the
    board has been up for so many microseconds; 0: never.
    """

    path = ""
    asked = False
    unsynced = trial = None
    log = clock = engine = cloud = uploader = robot = journal = revision = cloud_at = hole = None
    restarting = False
    ring_room = end_us = 0
    losses_due = False
    untold_s = LOSSES_S  # the first is told at once

    def __init__(self, port):
        self.port = port
        spare = getattr(port, "spare", None)
        self.memory = spare.take if spare else bytearray
        port.health = self.status
        self.components = {}
        self.marks = {}
        self.synced = {}
        self.told = {}
        self.problems = {}

    def load(self, path, text=None, error=None):
        """Run the configuration of the file `path`, or its `text`; see load.load()."""
        return borrow("cistern.load").load(self, path, text, error)

    def change(self, config, revision):
        """Run `config`, a RobotConfig of the cloud, from now on; revision "": it has none."""
        borrow("cistern.change").change(self, config, revision)

    def take(self, machine):
        """Run the configuration `machine`, a dict, from now on."""
        borrow("cistern.load").take(self, machine)

    def apply(self, plan):
        """Run what the plan names; what cannot be made is reported and left out."""
        borrow("cistern.load").apply(self, plan)

    def connect_to(self, *cloud):
        """Sync to a cloud: its url, ca_file (PEM or DER), server_name, part_id and secret.

        Raises ValueError for a URL that is none.
        """
        borrow("cistern.online").connect_to(self, *cloud)

    async def run(self, seconds, report):
        """Capture and sync for `seconds` (0: for ever), then finish.

        report: None, or called with status() once a second.
        """
        tasks = [asyncio.create_task(self._supervise(self.engine.run))]
        port = self.port
        online_us = port.uptime_us() if self.cloud_at else None
        wait_s = ONLINE_S
        if seconds:
            self.end_us = port.uptime_us() + int(seconds * 1000000)
        left_ms = STATUS_MS
        while left_ms > 0 and not self.restarting:
            if online_us is not None and port.uptime_us() >= online_us:
                online_us = None
                if self.go_online():
                    for job in self.uploader.run, self.robot.run:
                        tasks.append(asyncio.create_task(self._supervise(job)))
                else:
                    port.log("error", "%s; next try in %d s" % (self.unsynced, wait_s))
                    online_us = port.uptime_us() + wait_s * 1000000
                    wait_s = min(2 * wait_s, ONLINE_MOST_S)
            await port.sleep_ms(min(left_ms, STATUS_MS))
            if self.engine.alive:
                self.engine.alive = False
                port.feed()
            if getattr(port, "worn", False):
                self.restarting = True
            self.tell_losses(1)
            self._judge(False)
            if report:
                report(self.status())
            if self.end_us:
                left_ms = (self.end_us - port.uptime_us()) // 1000
        for task in tasks:
            task.cancel()
        await port.sleep_ms(0)  # they end
        await self.finish(report, self.uploader)
        if self.restarting:
            port.reset()

    def go_online(self):
        """Make a fresh connection and what sends through it; that is loaded only here. False where
        there is no memory for it.
        """
        self.hole = self.unsynced = None
        try:
            borrow("cistern.uplink").make(self)
            return True
        except MemoryError:
            self.cloud = self.uploader = self.robot = None
            self.unsynced = "not enough memory to sync: the board captures and keeps"
            return False

    async def _supervise(self, job):
        """Run a job for ever: what a programming error ends is reported and started again."""
        while True:
            try:
                await job()
                return
            except Exception as e:
                self.port.log_exception(e)
            await self.port.sleep_ms(RESTART_MS)

    def stop(self):
        """No more capture: make all that was captured durable."""
        self.engine.stop()
        if not self.engine.flush():
            self.port.log("error", "the flash log took not all readings; those in RAM are lost")
        self._judge(True)

    def _judge(self, ended):
        """If it is time, say whether what runs is good."""
        trial = self.trial
        if trial:
            due_us = trial.asked_us if self.asked else trial.due_us
            if ended or self.port.uptime_us() > due_us:
                try:
                    borrow("cistern.starts").judge(self, ended)
                except MemoryError:
                    pass  # the next time

    async def finish(self, report=None, uploader=None):
        """Stop, and sync what can be synced in a few seconds.

        uploader: that of this event loop; without one a new connection is made.
        """
        self.stop()
        self.tell_losses(LOSSES_S)
        if self.cloud_at and not self.unsynced:
            await borrow("cistern.online").finish(self, uploader)
        if report:
            report(self.status())

    def tell_losses(self, seconds):
        """So many have passed: if it is time, say what was lost."""
        self.untold_s += seconds
        if self.log.state.changed and self.untold_s >= LOSSES_S:
            try:
                borrow("cistern.losses").tell(self)
            except MemoryError:
                pass  # next time
            self.untold_s = 0

    def count_synced(self, definition, readings):
        """The cloud took readings of a stream."""
        self.synced[definition] = self.synced.get(definition, 0) + readings

    def status(self):
        """What the user sees, see figures.status()."""
        from cistern.figures import status

        return status(self)
