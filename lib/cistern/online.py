"""What a board with a cloud does at start, when its configuration changes, and at the end.

Borrowed by the App: what it makes stays, this code does not.
"""

import asyncio

from cistern.app import LOSSES_S
from cistern.borrow import borrow

LAST_SYNC_S = 10
# Kept free in one piece until the code that syncs is loaded: its machine code has as much.
HOLE = 2816


def connect_to(app, url, ca_file, server_name, part_id, secret):
    """Sync to the cloud at `url`, verified by the certificates (PEM or DER) in `ca_file`, which is
    read for each connection. Raises ValueError.
    """
    from cistern.cloud.journal import Journal

    scheme, host, port, authority = borrow("cistern.cloud.url").parse(url)
    tls = None
    if scheme == "https":
        tls = {"ca_file": ca_file, "server_name": server_name or host}
    else:
        app.port.log("warning", "%s is not encrypted: anyone on the way can read it" % url)
    app.cloud_at = (host, port, tls, authority, scheme, part_id, secret)
    app.hole = bytearray(HOLE)
    app.journal = Journal(app.port, secret)


def tune(app):
    """Have the uploader do what the data manager says.

    app.pace: milliseconds between two questions to the cloud and between two syncs, how many
    uploads at once, and the name of the selective syncer.
    """
    up = app.uploader
    app.robot.poll_ms, up.interval_ms, up.threads, name = app.pace
    up.wait_ms = min(up.wait_ms, up.interval_ms)
    up.allowed = None
    if name:
        from cistern.sync.selective import asking

        up.allowed = asking(app.components, name)


async def finish(app, uploader):
    """Sync what can be synced within LAST_SYNC_S; see App.finish()."""
    # Without memory nothing would come of it but a longer gap.
    if getattr(app.port, "worn", False) or (not uploader and not app.go_online()):
        return
    try:
        await asyncio.wait_for(_last_sync(app), LAST_SYNC_S)
    except asyncio.TimeoutError:
        app.port.log("warning", "the last sync was cut short; the rest is on flash")


async def _last_sync(app):
    up = app.uploader
    if up.interval_ms and (not up.allowed or await up.allowed(up)):
        await up.sync()
    try:
        if app.cloud.ready():
            app.tell_losses(LOSSES_S)  # those of this sync, too
            await app.robot.send_log()
    except Exception:  # an answer may be anything
        pass  # those lines are lost, the port has shown them
    await app.cloud.close()
