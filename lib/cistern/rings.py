"""How large rings are, and whether the board has memory for them; borrowed by machine.py."""

import gc

from cistern.record import MAX_READING

# Heap that rings leave free, in bytes: 40 KB for TLS, 36 KB for the code of net, cloud and sync,
# which is loaded later (21 KB of .mpy, times 1.74), and 8 KB for requests.
RESERVE = 84000
# But so much they may have on any board: a plain ESP32 has it beside the heap (port.spare).
LEAST_ROOM = 32000
# A collector without its ring: the object, its counters, deadline, definition and shape.
COLLECTOR_BYTES = 1000
SMALLEST = 1000  # such rings are never refused, since cache_size_kb cannot be lowered
NAMED = 3  # so many of the largest rings are named in an error
# What is older than flush_interval_ms goes to flash, within a second as a rule; a ring has room
# for so many intervals, and for a flash that takes nothing for so long.
_INTERVALS = 4
_STALL_US = 60000000
# A reading takes 8 to 12 bytes for its head, and up to 9 for a number.
_HEAD = 12
_NUMBER = 9
_FEW = 4  # readings that a ring has room for in any case, if cache_size_kb allows


def useful(entry, source, flush_us):
    """Bytes of a ring for the readings of `source`: cache_size_kb, or less if the ring would
    never be so full.
    """
    reading = MAX_READING + _HEAD
    if source.fields and not [code for _, code in source.fields if code == "string"]:
        reading = _HEAD + _NUMBER * len(source.fields)
    readings = (_INTERVALS * flush_us + _STALL_US) // entry.period_us + _FEW
    return min(entry.ring_bytes, max(readings * reading, SMALLEST))


def fitting(app, asked):
    """[(bytes of its ring, name, entry, source)] of those that there is memory for.

    asked: [(name, entry, source)]. The largest are refused where there is not.
    """
    gc.collect()
    port = app.port
    free = port.mem_free()
    if hasattr(port, "system"):
        free += port.system()[1]  # the heap grows by that
    wanted = [(useful(a[1], a[2], app.engine.flush_us),) + a for a in asked]
    if free < 0:
        return wanted
    if not app.ring_room:
        app.ring_room = max(free - RESERVE, LEAST_ROOM)
    sizes = [(c.ring.size, c.name) for c in app.engine.collectors]
    sizes += [w[:2] for w in wanted]
    sizes.sort(reverse=True)
    need = sum([size + COLLECTOR_BYTES for size, _ in sizes])
    text = "its ring is refused: rings take %d bytes and this board has %d for them; " % (
        need,
        app.ring_room,
    )
    text += "lower cache_size_kb of the largest: "
    text += ", ".join(["%s (%d)" % (name, size) for size, name in sizes[:NAMED]])
    wanted.sort(key=lambda w: w[0])
    while wanted and need > app.ring_room and wanted[-1][0] > SMALLEST:
        size, _, entry, _ = wanted.pop()
        need -= size + COLLECTOR_BYTES
        port.log("error", "%s: %s" % (entry.path, text))
    return wanted
