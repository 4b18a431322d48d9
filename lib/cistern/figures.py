"""The state of a board in figures, for people and for the sensor `health`."""

from cistern.capture.collector import REASONS, stream_name
from cistern.record import read_definition
from cistern.record.value import Source

_COUNTS = ("captured", "late", "missed", "dropped", "durable", "synced", "pending")

_names = {}  # stream definition → name


def status(app):
    """{t, boot, reset, heap_free, streams} and the figures of sync().

    t: seconds since start. reset: why the board started. heap_free: bytes that Python's heap has.
    On a chip also system_free and system_piece: bytes for Wi-Fi and TLS beside what is held for
    them, and the largest piece of it; and memory_restarts: how often since power came the board
    restarted because it had no memory to connect. streams: counts for
    each stream by its name. captured, late, missed, dropped, durable and synced count since start,
    and lost_… for each reason that there was; pending is what is on flash and not in the cloud
    yet, of earlier boots as far as the log was looked through: a sector in each call, and more
    where capture leaves time.
    """
    streams = {}
    for c in app.engine.collectors:
        row = _row(streams, c.name)
        for key in _COUNTS[:5]:
            row[key] = getattr(c, key)
        for i, reason in enumerate(REASONS):
            if c.lost[4 * i + 3]:
                row["lost_" + reason] = c.lost[4 * i + 3]
    found = sync(app.uploader, app.port, app.log, app.engine.parcel)
    if app.unsynced:
        found["link"] = "down: " + app.unsynced
        found["error"] = app.unsynced
    pending = app.log.stats(0).unsent_readings
    for key, counts in ("synced", app.synced), ("pending", pending):
        for definition in counts:
            _row(streams, _name(definition))[key] += counts[definition]
    found["t"] = round(app.port.uptime_us() / 1000000, 3)
    found["boot"] = app.log.boot
    found["reset"] = app.port.reset_cause
    found.update(_memory(app.port))
    found["streams"] = streams
    return found


def _memory(port):
    found = {"heap_free": port.mem_free()}
    if hasattr(port, "system"):
        found["system_free"], found["system_piece"] = port.system()
        found["memory_restarts"] = port.restarts
    return found


def _row(streams, name):
    return streams.setdefault(name, dict.fromkeys(_COUNTS, 0))


def _name(definition):
    if definition not in _names:
        _names[definition] = stream_name(read_definition(definition)[0])
    return _names[definition]


def sync(uploader, port, log, buf):
    """{link, error, synced_s, retry_s, pending_bytes, oldest_s, set_aside}.

    link: "offline" without a cloud, "idle" before the first upload, "up", or "down: " and why.
    error: the last one in words, or None. synced_s: seconds since the cloud took an upload.
    retry_s: until the next try after a failure, else 0. pending_bytes: of parcels on flash that
    the cloud does not have, counted as `pending` is. oldest_s: age of the oldest reading in them.
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
    found["pending_bytes"] = log.stats(1).unsent
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
        if not then or not this:
            return None
        taken += this[0] - this[1] + then[1] - then[0]
    return max(now - taken, 0) // 1000000
