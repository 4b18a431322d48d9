"""Parcels that cannot be sent or that the cloud refuses: found, told and set aside. Borrowed.

What an error of an upload says is in the table of cloud/verdict.py. Where it may be for what is
in the upload, halves of it are sent until the parcel is found, so that the others arrive.
"""

from cistern.borrow import borrow
from cistern.cloud.verdict import AWAY, BAD, DOUBT, LATER
from cistern.errors import GrpcError, LinkError
from cistern.sync.uploader import BadParcelError, name

# A suspect is sent alone once in a sync. It is set aside when it failed so often, and the cloud
# took other uploads since the first time: a cloud that fails everything takes none.
TRIES = 3
RESOURCE_EXHAUSTED = 8
BUSY_TRIES = 10  # where the cloud says that it is asked too often, perhaps
# So many parcels refused alone, one after the other: it is taken for the cloud's fault. No more
# are looked for in this sync, and streams wait that have such an error.
MAX_STRIKES = 4
MAX_SUSPECTS = 16  # the same where there are so many


def kind_of(error):
    """AWAY, LATER, DOUBT or BAD."""
    if isinstance(error, MemoryError):
        return DOUBT
    if isinstance(error, BadParcelError):
        return BAD
    return borrow("cistern.cloud.verdict").of(error)


async def find(uploader, refs, bounded, error, accepted):
    """Have the others of an upload arrive, which had `error`. Raises what ends the sync.

    accepted: uploads that the cloud had taken before it.
    """
    doubts = uploader.doubts
    waiting = []
    while error:
        kind = kind_of(error)
        if kind == DOUBT and (
            doubts.strikes >= MAX_STRIKES or len(doubts.suspects) >= MAX_SUSPECTS
        ):
            hold(uploader, refs[0], error)
            return
        if len(refs) > 1 and kind >= DOUBT:
            half = len(refs) // 2
            waiting += [refs[half:], refs[:half]]
        else:
            judge(uploader, refs[0], error, accepted)
            if kind == LATER:
                return
        error = None
        while waiting and not error:
            refs = waiting.pop()
            error = await _sent(uploader, refs, bounded)


async def _sent(uploader, refs, bounded):
    """Send parcels; the error, or None."""
    try:
        size = 0
        for ref in refs:
            size += await uploader.size_of(ref, uploader.starts[ref.boot][0])
        await uploader.send(refs, size, bounded)
    except (BadParcelError, LinkError) as e:
        if not uploader.gone:
            return e
        uploader.gone = False  # the log came round
    return None


def judge(uploader, ref, error, accepted):
    """Do what is to be done about a parcel that had `error` alone. Raises what ends the sync."""
    doubts = uploader.doubts
    kind = kind_of(error)
    if kind == BAD:
        give_up(uploader, ref, error)
        return
    if kind == AWAY:
        doubts.last = ref.definition
        raise error
    if kind == LATER:
        hold(uploader, ref, error)
        text = "%s waits, other streams go on: %s" % (_stream(uploader, ref), _said(error))
        if text != doubts.said:
            doubts.said = text
            uploader.port.log("warning", text)
        return
    doubts.refusal = doubts.refusal or error
    doubts.strikes += 1
    suspects = doubts.suspects
    if name(ref) in suspects:
        known = suspects[name(ref)]
        if doubts.accepted > known[1]:
            known[0] += 1
            if known[0] == 2:
                text = "%s waits, what else there is goes on: %s"
                uploader.port.log("warning", text % (_parcel(uploader, ref), _said(error)))
        if known[0] >= (BUSY_TRIES if _status(error) == RESOURCE_EXHAUSTED else TRIES):
            del suspects[name(ref)]
            give_up(uploader, ref, error)
    else:
        suspects[name(ref)] = [1, accepted]


def hold(uploader, ref, error):
    """Have a stream wait for the next sync."""
    doubts = uploader.doubts
    doubts.refusal = doubts.refusal or error
    doubts.held.add(ref.definition)


def cannot(uploader, ref, error):
    """A parcel could not even be expanded, for `error`. Raises what ends the sync."""
    doubts = uploader.doubts
    if kind_of(error) == DOUBT and doubts.strikes >= MAX_STRIKES:
        raise error
    judge(uploader, ref, error, doubts.accepted)


async def again(uploader):
    """Send each suspect alone, at the end of a sync. Raises what ends it."""
    doubts = uploader.doubts
    left = set(doubts.suspects)
    cursor = uploader.log.unsent()
    ref = await uploader.next(cursor)
    while ref and left:
        if name(ref) in left:
            left.remove(name(ref))
            uploader.gone = False
            start = await uploader.start_of(ref.boot)
            uploader.starts = {ref.boot: start}
            try:
                error = await _sent(uploader, [ref], start[1])
            except MemoryError as e:
                error = e
            if not error:
                doubts.suspects.pop(name(ref), None)
            else:
                judge(uploader, ref, error, 0)
        ref = await uploader.next(cursor)
    if not ref:
        for gone in left:
            del doubts.suspects[gone]


def give_up(uploader, ref, reason):
    """Set a parcel aside, unless it is overwritten, and counted as lost."""
    if not uploader.log.set_aside(ref):
        return
    uploader.set_aside += 1
    text = "%s is kept but not sent again: %s"
    uploader.port.log("error", text % (_parcel(uploader, ref), _said(reason)))


def _status(error):
    return error.status if isinstance(error, GrpcError) else None


def _said(error):
    if isinstance(error, GrpcError):
        return "the cloud refused it with status %d: %s" % (error.status, error)
    if isinstance(error, MemoryError):
        return "there is not enough memory for it"
    return str(error)


def _parcel(uploader, ref):
    parcel = _stream(uploader, ref), ref.readings, ref.sector, ref.index
    return "%s: a parcel of %d readings (%d.%d)" % parcel


def _stream(uploader, ref):
    try:
        stream = uploader.expander_of(ref).stream
        return "%s/%s" % (stream.component_name, stream.method)
    except Exception:  # whatever a definition on flash may be
        return "a stream whose definition cannot be read"
