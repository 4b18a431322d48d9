"""Making room in a log that is full of what the cloud does not have: thinning it, or giving up its
oldest sector.
"""

from cistern.store.state import REASONS, loss_key

const = int  # MicroPython's compiler knows const() by its name

_DEFINITION = const(0xF0)
_STATE = const(0xF4)
_DONE_AT = const(24)
_LOG_FULL = REASONS.index("log_full")
_THINNED = REASONS.index("thinned")
# Sectors whose parcels may be on their way to the cloud: an upload of 32,000 bytes takes parcels
# from a few.
_UNDER_WAY = const(16)


def give_up_oldest(log, record):
    """Count what is unsent in the oldest sector as lost, then forget the sector.

    record: make the count durable first; without, the next sector's state has it.
    """
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


def _give_up(log, b, code, record):
    walk = log.walk
    victim = log.sequence[b]
    if walk.enter(b):
        while walk.step(log.sector_size):
            if walk.kind < _DEFINITION and walk.pending():
                log.state.lose(loss_key(walk.definitions[walk.kind], code), walk.readings)
    if log.census:
        log.census.forget(b)
    log.given_up[victim] = code
    if len(log.given_up) > _UNDER_WAY:
        del log.given_up[min(log.given_up)]
    # Count and name in one record: a power cut after it cannot make the loss count twice.
    if record:
        log.append_record(_STATE, log.state.pack(victim))
    log.done(b)


def arrived(log, ref):
    """The cloud has a parcel whose sector was given up meanwhile: its readings are not lost."""
    log.state.lose(loss_key(ref.definition, log.given_up[ref.sector]), -ref.readings)
    log.append_record(_STATE, log.state.pack(0))
