"""The simulated board's main program for the experiment: the product's, in a hurry.

Run by MicroPython in place of firmware/sim.py, which it ends up running unchanged. The waits
after failures are SCALE times shorter, so that 2,000 failures fit a quarter of an hour; the name
server is the experiment's own. CISTERN_CHAOS: {"boot", "dns", "main", "harm"}.
"""

import json
import os

import cistern.cloud.client as client
import cistern.resources.fake as fake
from cistern.sync import backoff

settings = json.loads(os.getenv("CISTERN_CHAOS"))


def replace(module, **values):
    """Set what the module has; a name that is gone must not go unnoticed."""
    for name in values:
        getattr(module, name)
        setattr(module, name, values[name])


SCALE = settings["scale"]
DNS_SCALE = 100  # the name server is a process that takes some ms
replace(
    backoff,
    FIRST_MS=max(backoff.FIRST_MS // SCALE, 1),
    OFFLINE_MS=backoff.OFFLINE_MS // SCALE,
    LONGEST_MS=backoff.LONGEST_MS // SCALE,
)
replace(client, CALL_TIMEOUT_MS=settings["deadline_ms"])
# The counters say which start of the board they are from.
replace(fake, _boot=settings["boot"])
if settings.get("dns"):
    from cistern.port import stream_mpy, unix

    replace(unix, name_server=lambda: ("127.0.0.1", settings["dns"]))
    tries = tuple([n // DNS_SCALE for n in stream_mpy.DNS_TRIES_MS])
    replace(stream_mpy, DNS_TRIES_MS=tries)


def harm(how):
    """Break the product in one way, to see the experiment notice."""
    from cistern.sync.uploader import Uploader

    send, name = Uploader.send, Uploader._name

    async def ack_first(self, refs, *more):
        for ref in refs:
            self.log.mark_sent(ref)
        await send(self, refs, *more)

    def new_names(self, refs):
        self.log.log_id, kept = os.urandom(8), self.log.log_id
        try:
            return name(self, refs)
        finally:
            self.log.log_id = kept

    async def block(self, *more):
        import time

        time.sleep(1)
        await send(self, *more)

    if how == "new names":
        Uploader._name = new_names
    else:
        Uploader.send = {"ack first": ack_first, "block": block}[how]


if settings.get("harm"):
    harm(settings["harm"])
with open(settings["main"]) as main:
    exec(main.read())
