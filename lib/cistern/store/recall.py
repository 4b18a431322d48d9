"""The anchor of a boot that the log's state has forgotten, from where it was written."""

from struct import unpack_from

from cistern.store.sector import Walk
from cistern.store.state import State

const = int  # MicroPython's compiler knows const() by its name

_ANCHOR = const(0xF2)
_STATE = const(0xF4)
# Boots that are known without another look: an upload has few, and the next one has the same.
_KNOWN = const(16)


def recall(log, boot):
    """See Log.recall."""
    known = log.recalled
    if boot in known:
        yield known[boot]
        return
    walk = Walk(log.device)
    anchor = None
    block = sequence = written = 0
    while True:
        b = log.after(sequence)
        if b < 0:
            break
        sequence = log.sequence[b]
        if walk.enter(b):
            if walk.boot > boot:
                # The first sector since the boot ended begins with what was known then.
                anchor = _find(walk, boot, 1)
                break
            block, written = b, sequence
        yield None
    # Or it was forgotten in the sector in which the boot ended.
    if not anchor and written and log.sequence[block] == written and walk.enter(block):
        anchor = _find(walk, boot, -1)
    known[boot] = anchor
    if len(known) > _KNOWN:
        del known[min(known)]
    yield anchor


def _find(walk, boot, records):
    """The best anchor of a boot in so many records of the sector entered, or None; -1: in all."""
    found = None
    while records and walk.step(walk.sector_size):
        records -= 1
        if walk.kind == _STATE:
            state = State(walk.sector_size)
            state.load(walk.body())
            found = state.anchors.get(boot, found)
        elif walk.kind == _ANCHOR:
            of, *anchor = unpack_from("<IQQI", walk.body())
            if of == boot and (not found or anchor[2] <= found[2]):
                found = tuple(anchor)
    return found
