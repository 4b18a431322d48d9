"""The one sum that every status of a board must fulfil, stream by stream (docs/DESIGN.md)."""

MISSED = ("late", "source_error", "source_slow", "stalled")
IN_RAM = ("ring_full", "flash_full")
ON_FLASH = ("log_full", "thinned", "refused", "other")


def unbalanced(status, earlier=None):
    """What is wrong with the counts of a status, in sentences.

    earlier: {stream: readings} that earlier boots had left on flash, to be sent, when this one
    began; nothing where it is None.
    """
    found = []
    streams = status["streams"]
    for name in streams:
        row = streams[name]

        def lost(reasons, row=row):
            return sum([row.get("lost_" + reason, 0) for reason in reasons])

        def same(what, a, b, name=name, row=row):
            if a != b:
                found.append("%s: %s: %d is not %d: %s" % (name, what, a, b, row))

        same("missed", row["missed"], lost(MISSED))
        same("dropped", row["dropped"], lost(IN_RAM) + lost(ON_FLASH))
        ram = row["buffered"] + row["durable"] + lost(IN_RAM)
        same("captured = buffered + durable + lost in RAM", row["captured"], ram)
        if not status["uncounted"]:
            had = row["durable"] + (earlier or {}).get(name, 0)
            have = row["pending"] + row["synced"] + lost(ON_FLASH)
            same("durable and earlier = pending + synced + lost on flash", had, have)
            had = row["captured"] + (earlier or {}).get(name, 0)
            have = row["buffered"] + row["pending"] + row["synced"] + row["dropped"]
            same("captured = buffered + pending + synced + dropped", had, have)
        for reason in ON_FLASH:
            told = status["losses"].get(name, {}).get(reason, 0)
            if told < row.get("lost_" + reason, 0):
                found.append("%s: only %d of them in losses: %s" % (name, told, row))
    return found


def assert_balanced(status, earlier=None):
    """Raises AssertionError where a reading is in none of the places it may be in, or in two."""
    found = unbalanced(status, earlier)
    assert not found, "\n".join(found)


def left(status):
    """What the next boot finds on flash: its `earlier`, from the last status of an orderly end."""
    assert not status["uncounted"]
    return {name: status["streams"][name]["pending"] for name in status["streams"]}
