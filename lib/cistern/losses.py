"""Saying what was lost: in words for who looks at the board, in totals for the cloud's log.

Borrowed where losses changed. The App has what stays: told, {(CRC32 of the definition, code):
[readings told, uptimes in s of the first and the last loss of this boot or None, readings that the
cloud was told of]}; losses_due: the cloud does not know all of it; untold_s: seconds since the
last time.
"""

import json
from binascii import crc32, hexlify

from cistern.borrow import lend
from cistern.cloud.protobuf import Writer
from cistern.record import read_definition
from cistern.store import REASONS

# What a line of the cloud's log begins with; docs/CLOUD.md has the rest.
MARK = "readings lost: "
LOGGER = "cistern-losses"  # unlike any name of a module, which the bundle would change
# A stream with more bytes of names is told by its CRC32 alone.
MAX_STREAM = 1000
# So many lines of up to 1.3 KB in one request.
LINES = 4
_READING = "cistern.record.reading"
_LOST = "cistern.lost"
_WHY = {
    "log_full": "the log was full and gave up its oldest",
    "thinned": "the log was nearly full and was thinned",
    "ring_full": "the ring was full before the log took them",
    "flash_full": "the log took nothing and the ring was full",
    "source_error": "the source failed",
    "late": "the board was too busy when they were due",
    "source_slow": "the source was still busy with the one before",
    "stalled": "the board was too busy for what waited",
    "refused": "the cloud refused them; they are kept while there is room",
}


def tell(app):
    """Say for each stream and reason what was lost since the last time."""
    state = app.log.state
    state.changed = False
    app.losses_due = True
    now = app.port.uptime_us() // 1000000
    lost = {}
    for key in state.losses:
        n = state.losses[key]
        if key not in app.told:
            app.told[key] = [state.before.get(key, 0), None, None, -1]
        told = app.told[key]
        if n != told[0]:
            told[1] = max(now - app.untold_s, 0) if told[1] is None else told[1]
            told[2] = now
            lost[key] = n - told[0]
            told[0] = n
    # Where the cloud has some after all, there are fewer.
    by_stream = lend(_LOST).by_stream
    lost = by_stream(app, {key: n for key, n in lost.items() if n > 0})
    all_ = by_stream(app, state.losses)
    show = app.journal.show if app.journal else app.port.log
    for name in lost:
        for reason in lost[name]:
            why = _WHY.get(reason, "of streams beyond those that are counted one by one")
            text = "%s: %d readings lost, %s: %s; %d since the log began"
            show("warning", text % (name, lost[name][reason], reason, why, all_[name][reason]))


async def send(app, anchor):
    """Tell the cloud the totals that it does not know; anchor: of this boot."""
    app.losses_due = False
    known = {crc32(d): d for d in lend(_LOST).definitions(app)}
    while True:
        new = [k for k in app.told if app.told[k][3] != app.told[k][0]][:LINES]
        if not new:
            return
        w = Writer()
        sent = {}
        for key in new:
            sent[key] = app.told[key][0]
            n = w.n
            w.field(5, _line(app, key, known.get(key[0]), anchor))
            w.field(4, LOGGER)
            k = w.n
            w.timestamp(_utc_us(anchor, app.port.uptime_us()))
            w.head(3, k)
            w.field(2, "warning")
            w.head(2, n)
        try:
            await app.robot.call("Log", w)
        except BaseException:
            app.losses_due = True
            raise
        for key in sent:
            app.told[key][3] = sent[key]


def _line(app, key, definition, anchor):
    """What the receiver reads: a sentence, and a JSON object."""
    told = app.told[key]
    stream = "null"
    try:
        if definition:
            stream = json.dumps(read_definition(definition)[0].fields()[:4])
        if lend(_READING).mended(stream) != stream:
            stream = "null"
    except (KeyError, TypeError, ValueError):  # whatever is on flash
        stream = "null"
    if len(stream) > MAX_STREAM:
        stream = "null"
    times = [s if s is None else _utc_us(anchor, s * 1000000) // 1000000 for s in told[1:3]]
    times = ["null" if s is None else str(s) for s in times]
    text = '{"log":"%s","boot":%d,"uptime_ms":%d,"definition":"%08x","stream":%s,"reason":"%s",'
    text += '"count":%d,"first":%s,"last":%s}'
    return MARK + text % (
        str(hexlify(app.log.log_id), "ascii"),
        app.log.boot,
        app.port.uptime_us() // 1000,
        key[0],
        stream,
        REASONS[key[1]],
        told[0],
        times[0],
        times[1],
    )


def _utc_us(anchor, uptime_us):
    return anchor[1] + uptime_us - anchor[0]
