"""Components and collectors as a plan names them: made at start, swapped when the plan changes.

Borrowed, as the planner is: what it makes stays, this code does not.
"""

from binascii import crc32

from cistern.borrow import borrow, keep
from cistern.capture.collector import Collector, stream_name
from cistern.capture.engine import FAST_US
from cistern.record import Ring, Shape, Stream

# Components are put off against each other by up to this part of a period, and so much at most: it
# leaves collectors of 100 Hz a gap for the 8 ms of sealing, those of 10 Hz one for the 45 ms of an
# erase.
SPREAD_PART = 8
SPREAD_US = 100000
_GOLDEN = 40503  # / 65536: its multiples, modulo 1, keep apart however many there are


def rebuild(app, plan):
    """Have app.engine capture what the plan names.

    Collectors whose entry and component are as before go on with their deadlines, rings and
    counters. Others are sealed into the log first. What cannot be made is reported and left out.
    """
    engine = app.engine
    wanted = {}
    if not plan.service.capture_disabled:
        for entry in plan.collectors:
            wanted[stream_name(_stream(entry))] = entry, _mark(entry[:4] + entry[5:-1])
    gone = _gone(app, plan.components)
    for c in list(engine.collectors):
        if c.entry is None:
            continue  # it left before, and the log has not taken its readings yet
        name, mark = c.entry
        if name not in gone and wanted.get(c.name, (0, 0))[1] == mark:
            del wanted[c.name]
        else:
            engine.remove(c)
    for name in gone:
        close = getattr(app.components.pop(name), "close", None)
        if close:
            _try(app, name, close)
    _build(app, plan.components)
    _collect_all(app, plan.components, wanted)


def _try(app, path, call, *args):
    try:
        return call(*args)
    except KeyboardInterrupt:
        raise
    except BaseException as e:  # a driver may raise anything; the others run
        if isinstance(e, MemoryError) and app.engine.running:
            raise  # a start has more
        app.port.log("error", "%s: %s" % (path, e))
        return None


def _stream(entry):
    return Stream(entry.component_type, entry.component, entry.method, entry.params, entry.tags)


def _mark(value):
    """A number by which an entry is known again, in whatever order its keys are."""
    return crc32(_plain(value).encode()) & 0x3FFFFFFF


def _plain(value):
    if isinstance(value, dict):
        return "{%s}" % ",".join(["%r:%s" % (k, _plain(value[k])) for k in sorted(value)])
    if isinstance(value, (list, tuple)):
        return "[%s]" % ",".join([_plain(v) for v in value])
    if isinstance(value, float) and value % 1 == 0:
        value = int(value)  # a file has 5, the cloud 5.0
    return repr(value)


def _gone(app, components):
    """Names of those that run and must not any more: changed, left out, or built on such a one."""
    new = {c.name: c for c in components}
    gone = [
        n for n in app.marks if n not in new or app.marks[n] != (new[n].type, _mark(new[n][:-1]))
    ]
    for name in gone:  # it grows on the way
        board = app.marks[name][0].endswith(":board")  # the others have their pins and buses of it
        for other in app.marks:
            if other not in gone and (board or repr(name) in _plain(new[other][3:-1])):
                gone.append(other)
    for name in gone:
        del app.marks[name]
    return gone


def _build(app, components):
    build = borrow("cistern.resources.catalog").build
    # Boards first: sensors sit on their readers.
    for c in sorted(components, key=lambda c: not c.type.endswith(":board")):
        if c.name not in app.components:
            made = _try(app, c.path, build, c, app.port, app.components)
            if made is not None:
                app.components[c.name] = made
                app.marks[c.name] = c.type, _mark(c[:-1])


def _collect_all(app, components, wanted):
    """Make the collectors of `wanted`, {name: (entry, mark)}."""
    names = [c.name for c in components]
    asked = []
    for name in wanted:
        entry = wanted[name][0]
        component = app.components.get(entry.component)
        if component is not None:
            source = _try(app, entry.path, component.source, entry.method, entry.params)
            if source:
                asked.append((name, entry, source))
    new = []
    for size, name, entry, source in borrow("cistern.rings").fitting(app, asked):
        mark = wanted[name][1]
        file = getattr(source, "file", "")  # of a model of the user's own
        path = "%s: %s" % (entry.path, file) if file else entry.path
        c = _try(app, path, _collect, app, name, entry, source, size)
        if c:
            c.entry = entry.component, mark
            part = names.index(entry.component) * _GOLDEN & 0xFFFF
            c.phase = part * min(entry.period_us // SPREAD_PART, SPREAD_US) >> 16
            new.append(c)
    now = app.port.ticks_us()
    for c in new:
        c.start(now)


def _collect(app, name, entry, source, size):
    """Make a collector with a ring of `size` bytes, and have the engine serve it."""
    port = app.port
    us = entry.period_us
    kind = Collector
    can = max(us, source.min_period_us)
    timed = False
    if source.waits:
        kind = keep("cistern.capture.waiter").Waiter
    elif us <= FAST_US:
        if source.block:
            kind = keep("cistern.capture.blocks").Blocks
            can = source.start_block(us)
        elif source.fields and source.at_once and hasattr(port, "timer"):
            kind = keep("cistern.capture.sampler").Sampler
            timed = True
    period = (us, entry.period_rem, entry.period_den)
    if can != us:
        period = (can, 0, 1)
        text = "%s: the device gives a reading every %g s; taken at that rate"
        port.log("warning", text % (entry.path, can / 1000000))
    shape = Shape(source.fields) if source.fields else None
    ring = Ring(_stream(entry), size, can, shape, app.memory, app.engine.scratch)
    try:
        made = kind(name, source, ring, period, port)
    except ValueError as e:
        if not timed:
            raise
        port.log("warning", "%s: %s; polled instead, which may be late" % (entry.path, e))
        made = Collector(name, source, ring, period, port)
        timed = False
    app.engine.add(made, timed)
    return made
