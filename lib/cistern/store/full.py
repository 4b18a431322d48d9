"""Making room in a log that is full of what the cloud does not have: thinning it, or giving up its
oldest sector.
"""

from cistern.errors import StoreError
from cistern.store.state import REASONS, loss_key

const = int  # MicroPython's compiler knows const() by its name

_DEFINITION = const(0xF0)
_STATE = const(0xF4)
_DONE_AT = const(24)
_BAD = const(-2)
_TRIES = const(4)
_LOG_FULL = REASONS.index("log_full")
_THINNED = REASONS.index("thinned")
# Sectors whose parcels may be on their way to the cloud: an upload of 32,000 bytes takes parcels
# from a few, but while it waits for its answer a fast board may fill two a second.
_UNDER_WAY = const(48)
_KNOWN = const(32)  # definitions of up to 200 bytes


def give_up_oldest(log, record):
    """Count what is unsent in the oldest sector as lost, then forget the sector. What is set aside
    was counted when it was.

    record: make the count durable first; without, the next sector's state has it.
    """
    # A sector that failed once may do by now: a filesystem had no room, a supply was weak.
    failed = [b for b in range(log.count) if log.sequence[b] == _BAD]
    if failed and log.erase(failed[log.erases % len(failed)]):
        return
    oldest = log.after(0)
    if oldest < 0 or (record and oldest == log.block):
        return
    # Without a trace of it in the log this is for flash that can be written, not for one that
    # fails.
    if record or log.program(oldest, b"\0", _DONE_AT):
        _give_up(log, oldest, _LOG_FULL, record)


def thin(log):
    """Delete every nth sector that holds something needed, oldest first: one in each call."""
    if not log.victims:
        log.victims = sorted([s for s in log.sequence if s > 0])[:: log.delete_every_nth]
        log.victims.reverse()
    s = log.victims.pop()
    b = log.after(s - 1)
    if b != log.block and log.sequence[b] == s:
        _give_up(log, b, _THINNED, True)


def lose(log, definition, code, readings):
    """Count readings as lost, and keep their definition at hand for people."""
    log.state.lose(loss_key(definition, code), readings)
    if len(log.lost_of) < _KNOWN:
        log.lost_of.add(definition)


def append_state(log, victim=0):
    """Make the totals durable; victim: the sequence of the sector whose loss they count, or 0."""
    for _ in range(_TRIES):
        # Where this begins a sector, that may cost another one, and the totals change.
        size = 0
        while size < len(log.state.pack(0)):
            size = len(log.state.pack(0))
            log.prepare(None, size)
        if log.append_once(_STATE, log.state.pack(victim)):
            return
    raise StoreError("the flash takes no count of what is lost")


def _give_up(log, b, code, record):
    victim = log.sequence[b]
    if record:
        # Where this begins another sector, that may have taken this one.
        log.prepare(None, len(log.state.pack(0)) + 9 * len(_unsent(log, b)))
        if log.sequence[b] != victim:
            return
    lost = _unsent(log, b)
    for definition in lost:
        lose(log, definition, code, lost[definition])
    # Count and name in one record: a power cut after it cannot make the loss count twice.
    try:
        if record:
            append_state(log, victim)
        gone = log.sequence[b] != victim
    except StoreError:
        gone = None
    if gone is not False:
        # It is still there, or has been given up on the way: flash that fails.
        for definition in lost:
            log.state.lose(loss_key(definition, code), -lost[definition])
        if gone is None:
            raise StoreError("the flash cannot be written: no sector of the log can be given up")
        append_state(log)
        return
    if log.census:
        log.census.forget(b)
    log.given_up[victim] = code
    if len(log.given_up) > _UNDER_WAY:
        del log.given_up[min(log.given_up)]
    log.done(b)


def _unsent(log, b):
    """{definition: unsent readings} of a sector."""
    found = {}
    walk = log.walk
    if walk.enter(b):
        while walk.step(log.sector_size):
            if walk.kind < _DEFINITION and walk.unsent():
                definition = walk.definitions[walk.kind]
                found[definition] = found.get(definition, 0) + walk.readings
    return found


def arrived(log, ref):
    """The cloud has a parcel whose sector was given up meanwhile: its readings are not lost."""
    log.state.lose(loss_key(ref.definition, log.given_up[ref.sector]), -ref.readings)
    try:
        append_state(log)
    except StoreError:
        pass  # the next state that can be written has it
    return True
