"""What was lost, by stream: the log counts by the CRC32 of definitions, people read names."""

import json
from binascii import crc32

from cistern.capture.collector import stream_name
from cistern.record import read_definition
from cistern.store import REASONS

OTHERS = "(other streams)"  # those beyond what the log counts one by one

_NO_READING = b"[10]]"  # how a definition ends whose Shape has no fields

_streams = {}  # definition → (its CRC32, the Stream's name)


def name_of(definition):
    """The name of a definition's stream."""
    return _known(definition)[1]


def _known(definition):
    if definition not in _streams:
        crc = crc32(definition)
        try:
            name = stream_name(read_definition(definition)[0])
        except Exception:  # whatever is on flash
            name = "#%08x" % crc
        _streams[definition] = crc, name
    return _streams[definition]


def definitions(app):
    """Iterate over the definitions at hand, of streams that run, were sent or are on flash, and
    over those that they had before their first reading.
    """
    for d in _at_hand(app):
        yield d
        try:
            yield _before_readings(d)
        except Exception:  # whatever is on flash
            pass


def _before_readings(definition):
    """It with the shape of no reading, by which those are counted that were lost before any."""
    root = json.dumps(read_definition(definition)[1].root, separators=(",", ":"))
    return definition[: -len(root.encode()) - 1] + _NO_READING


def _at_hand(app):
    for c in app.engine.collectors:
        yield c.ring.definition
    yield from app.synced
    yield from app.log.lost_of
    if app.log.census:
        yield from app.log.census.readings


def by_stream(app, counts):
    """{name: {reason: readings}} of {(CRC32, code): readings}; a stream whose definition is not
    at hand is called by its CRC32, "#0123abcd".
    """
    found = {}
    if counts:
        names = {0: OTHERS}
        for definition in definitions(app):
            crc, name = _known(definition)
            names[crc] = name
        for crc, code in counts:
            row = found.setdefault(names.get(crc) or "#%08x" % crc, {})
            row[REASONS[code]] = row.get(REASONS[code], 0) + counts[crc, code]
    return found
