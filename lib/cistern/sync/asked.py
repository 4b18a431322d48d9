"""A sync that somebody asked for, and in the log what became of it. Borrowed."""

import asyncio

# The board's state of this name: where it has a text, the next start is to sync at once.
STATE = "sync"
# A start may come before the access point or the receiver is back.
TRY_US = 30000000
AGAIN_MS = 3000
_LOOK_MS = 100


def ask(app, start):
    """See cistern.sync(). app: that of this start, or None; start(): runs the program again."""
    if app and not app.cloud_at:
        app.port.log("error", "sync now: there is no cloud to sync to")
    elif app and app.uploader and app.engine.running:
        begin(app)
    else:
        # The start that follows reads it (uplink.py).
        with open("/last_" + STATE, "w") as f:
            f.write("now")
        start()


def begin(app):
    """Have the program that runs sync now; the log says how it ended."""
    app.asking = asyncio.create_task(watch(app))


async def watch(app):
    """Have app.uploader sync now, if need be more than once, and say how it ended."""
    port, up = app.port, app.uploader
    if port.load_state(STATE):
        port.save_state(STATE, "")
    before = _synced(app)
    end = port.uptime_us() + TRY_US
    while True:
        up.asked = True
        while up.asked is not False:
            await port.sleep_ms(_LOOK_MS)
        failed = up.reported
        if not failed or port.uptime_us() > end:
            break
        await port.sleep_ms(AGAIN_MS)
    count = _synced(app) - before
    if failed:
        text = "sync now: failed after %d readings: %s; the others stay on the board"
        port.log("warning", text % (count, failed))
    else:
        port.log("info", "sync now: done, %d readings were synced and none is left" % count)


def _synced(app):
    return sum(app.synced.values())
