"""What a board asks of its cloud beside uploads: RobotService of viam.app.v1 (robot.proto).

Its configuration, applied live; whether to restart; and where its log lines go.
"""

from cistern.borrow import borrow
from cistern.cloud.protobuf import Writer, find
from cistern.errors import GrpcError

_SERVICE = "/viam.app.v1.RobotService/"
NOT_FOUND = 5
UNIMPLEMENTED = 12
# A cloud that cannot be reached is asked less and less often, down to once a minute.
OFFLINE_MS = 60000


class Robot:
    """The part's side of RobotService.

    app: has port, cloud, log, journal, change(config, revision); losses_due: whether the cloud has
    yet to hear of losses; revision: of the configuration that runs, "" for the board's own, None
    for not known yet; asked, which is set when the cloud has answered that question; and
    restarting, which is set to have it restart. poll_ms: how often the cloud is asked.
    """

    poll_ms = 10000

    def __init__(self, app):
        self.app = app
        self._said = {}
        self._restart_us = 0

    async def run(self):
        """Ask for ever. What fails is said once and asked again; the rest goes on."""
        # Not a whole fleet at once.
        wait = min(self.poll_ms, OFFLINE_MS) * self.app.port.urandom(1)[0] >> 10
        jobs = ("configuration", self._config), ("log", self.send_log), ("restart", self._restart)
        while True:
            await self.app.port.sleep_ms(wait)
            longer = min(2 * wait, OFFLINE_MS)
            for name, job in jobs:
                try:
                    await job()
                    said = None
                except Exception as e:  # an answer may be anything
                    said = "cloud: %s: %s" % (name, e)
                    if said != self._said.get(name):
                        self.app.port.log("warning", said)
                self._said[name] = said
                if not self.app.cloud.ready():
                    break
            wait = self.poll_ms  # as a configuration that came now has it
            if not self.app.cloud.ready():
                wait = max(wait, longer)

    def call(self, method, w):
        """Call a method of the service with what `w` has of its request."""
        w.field(1, self.app.cloud.part_id)
        return self.app.cloud.call(_SERVICE + method, w.view())

    async def _config(self):
        config, revision = b"", ""
        try:
            config = find(await self.call("Config", Writer()), 1)
            revision = str(find(config or b"", 15) or b"-", "utf-8")
        except GrpcError as e:
            if e.status not in (NOT_FOUND, UNIMPLEMENTED):
                self.app.asked = True
                raise
        if revision != self.app.revision:
            self.app.change(config, revision)
        self.app.asked = True

    async def send_log(self):
        """Send the lines that wait, and what was lost."""
        if self.app.journal.lines or self.app.losses_due:
            await borrow("cistern.cloud.lines").send(self)

    async def _restart(self):
        now = self.app.port.uptime_us()
        if now < self._restart_us:
            return
        answer = await self.call("NeedsRestart", Writer())
        seconds = find(find(answer, 3) or b"", 1) or 0
        # Not by the first answer: a cloud that always says so must let the board work between.
        if find(answer, 2) and self._restart_us:
            self.app.port.log("warning", "the cloud asks for a restart")
            self.app.restarting = True
        self._restart_us = now + max(seconds * 1000, self.poll_ms) * 1000
