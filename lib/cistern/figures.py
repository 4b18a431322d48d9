"""The state of a board in figures, for people and for the sensor `health`."""

from cistern.capture.collector import REASONS
from cistern.lost import by_stream, name_of
from cistern.record.value import Source
from cistern.sync.clock import DOUBTED_US

# As Collector.counts() has them, and what comes to them from elsewhere.
_COUNTS = ("captured", "late", "missed", "dropped", "durable")
_COUNTS_2 = ("buffered", "synced", "pending")
_DROPPED = _COUNTS.index("dropped")
_RING_FULL = len(_COUNTS) + REASONS.index("ring_full")
_FLASH_FULL = len(_COUNTS) + REASONS.index("flash_full")
# What the log itself loses, of readings that were durable; the collectors know the rest.
_LOST_BY_LOG = ("log_full", "thinned", "refused", "other")
_ALL = 0xFFFF  # sectors


def status(app):
    """{t, boot, clock, reset, heap_free, streams, losses, problems} and the figures of sync().

    t: seconds since start. clock: set, none or bounded (docs/SPEC.md). reset: why the board
    started. heap_free: bytes that Python's heap has.
    On a chip also system_free and system_piece: bytes for Wi-Fi and TLS beside what is held for
    them, and the largest piece of it; and memory_restarts: how often since power came the board
    restarted because it had no memory to connect.

    streams: readings of each stream by its name. Since start: captured (taken), late (taken, but
    late), missed (not taken), durable (put on flash), synced (the cloud has them), dropped (taken
    and lost), and lost_… for each reason that there was, of the missed and the dropped ones. Now:
    buffered (in RAM), pending (on flash and not in the cloud yet, of earlier boots as far as the
    log was looked through: see uncounted).
    losses: {stream: {reason: readings}} since the log was initialised, earlier boots included.
    problems: sentences: what the board runs without, and why.

    Of each stream, where earlier boots left nothing on flash and uncounted is 0,

        captured = buffered + pending + synced + dropped
    """
    streams = {}
    for name in app.engine.past:
        _add(_row(streams, name), app.engine.past[name])
    for c in app.engine.collectors:
        row = _row(streams, c.name)
        captured = -1
        app.engine.note_overwritten(c)
        c.lock()
        while captured != c.captured:  # a timer takes readings between any two steps
            captured = c.captured
            counts = c.counts()
            held = c.held()
            # Of what the log refused and the ring then overwrote nobody has taken note yet.
            counts[_DROPPED] += c.ring.overwritten + c.ring.gone
            counts[_RING_FULL] += c.ring.overwritten
            counts[_FLASH_FULL] += c.ring.gone
        c.unlock()
        _add(row, counts)
        row["buffered"] += held
    found = sync(app.uploader, app.port, app.log, app.engine.parcel, app.engine.running)
    if app.unsynced:
        found["link"] = "down: " + app.unsynced
        found["error"] = app.unsynced
    pending = app.log.stats(0).unsent_readings
    for key, counts in ("synced", app.synced), ("pending", pending):
        for definition in counts:
            _row(streams, name_of(definition))[key] += counts[definition]
    state = app.log.state
    losses = by_stream(app, state.losses)
    before = by_stream(app, state.before)
    for name in losses:
        for reason in losses[name]:
            n = losses[name][reason] - before.get(name, {}).get(reason, 0)
            if reason in _LOST_BY_LOG and n:
                row = _row(streams, name)
                row["dropped"] += n
                row["lost_" + reason] = n
    found["t"] = round(app.port.uptime_us() / 1000000, 3)
    found["boot"] = app.log.boot
    found["clock"] = _clock(app)
    found["reset"] = app.port.reset_cause
    found.update(_memory(app.port))
    found["streams"] = streams
    found["losses"] = losses
    found["problems"] = list(app.problems.values())
    return found


def _memory(port):
    found = {"heap_free": port.mem_free()}
    if hasattr(port, "system"):
        found["system_free"], found["system_piece"] = port.system()
        found["memory_restarts"] = port.restarts
    return found


def _clock(app):
    """set: the board knows the time; bounded: it does not, and its readings are sent by bounds."""
    if app.log.boot in app.log.anchors():
        return "set"
    return "bounded" if app.uploader and app.uploader.again_us else "none"


def _row(streams, name):
    return streams.setdefault(name, dict.fromkeys(_COUNTS + _COUNTS_2, 0))


def _add(row, counts):
    for i, key in enumerate(_COUNTS):
        row[key] += counts[i]
    for i, reason in enumerate(REASONS):
        if counts[len(_COUNTS) + i]:
            key = "lost_" + reason
            row[key] = row.get(key, 0) + counts[len(_COUNTS) + i]


def sync(uploader, port, log, buf, busy=True):
    """{link, error, synced_s, retry_s, pending_bytes, uncounted, oldest_s, set_aside}.

    link: "offline" without a cloud, "idle" before the first upload, "up", or "down: " and why.
    error: the last one in words, or None. synced_s: seconds since the cloud took an upload.
    retry_s: until the next try after a failure, else 0. pending_bytes: of parcels on flash that
    the cloud does not have, counted as `pending` is. uncounted: sectors of the log that neither
    counts yet: one is looked through in each call, all at once where no capture is disturbed by
    it, and more where capture leaves time. oldest_s: age of the oldest reading in them.
    set_aside: parcels that the cloud refused since start. Ages are None where there is nothing, or
    no clock to tell them. buf: has room for a parcel.
    """
    now = port.uptime_us()
    found = {"link": "offline", "error": None, "synced_s": None, "retry_s": 0, "set_aside": 0}
    if uploader:
        found["link"] = uploader.link
        found["error"] = uploader.error
        found["set_aside"] = uploader.set_aside
        if uploader.link[:4] == "down":
            found["retry_s"] = uploader.wait_ms // 1000
        if uploader.synced_us is not None:
            found["synced_s"] = (now - uploader.synced_us) // 1000000
    stats = log.stats(1 if busy else _ALL)
    found["pending_bytes"] = stats.unsent
    found["uncounted"] = stats.uncounted
    found["oldest_s"] = _oldest_s(log, now, buf)
    return found


def _oldest_s(log, now, buf):
    ref = log.unsent().next()
    payload = ref and ref.size <= len(buf) and log.read(ref, buf)
    if not payload:
        return None
    taken = Source(payload).uint()
    if ref.boot != log.boot:
        anchors = log.anchors()
        then, this = anchors.get(ref.boot), anchors.get(log.boot)
        if not then or not this or then[2] == DOUBTED_US:
            return None
        taken += this[0] - this[1] + then[1] - then[0]
    return max(now - taken, 0) // 1000000
