"""selective_syncer_name: a sensor that says when to sync (viam.md 2.4)."""

from cistern.borrow import borrow

KEY = "should_sync"


async def should_sync(components, name):
    """Whether the Readings of the component `name` have should_sync true.

    components: {name: component}. Raises ValueError where there is none, and what its source does.
    """
    if name not in components:
        raise ValueError("there is no component %s" % name)
    source = components[name].source("Readings", {})
    if source.fields:
        values = [0] * len(source.fields)
        waiting = source.read_into(values)
        if source.waits:
            await waiting
        for i, (path, _) in enumerate(source.fields):
            if path[-1] == KEY:
                return values[i] is True
        return False
    readings = source.read()
    if source.waits:
        readings = await readings
    return readings["readings"].get(KEY) is True


def asking(components, name):
    """A coroutine function that asks so for an Uploader: where it cannot be known, no."""

    async def ask(uploader):
        try:
            return await should_sync(components, name)
        except Exception as e:  # a driver may raise anything
            why = "the selective_syncer: %s" % e
            borrow("cistern.sync.failed").report(uploader, why, uploader.interval_ms)

    return ask
