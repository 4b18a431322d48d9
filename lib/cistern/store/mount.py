"""Opening a log: finding its sectors and where the newest ends. Needed once a boot, then
forgotten.
"""

from struct import unpack_from

from cistern.errors import StoreError
from cistern.store.sector import MAGIC
from cistern.store.state import State

const = int  # MicroPython's compiler knows const() by its name

_SECTOR_HEAD = const(32)
_DONE_AT = const(24)
_HEAD = const(8)
_PAGE = const(256)
_ERASED = const(-1)
_ANCHOR = const(0xF2)
_DROP = const(0xF3)
_STATE = const(0xF4)
_REFUSED = const(0xF5)
_ASIDE = b"\x0f"
# One to write, one erased ahead, one to give up, one for a sector that goes bad.
_MIN_SECTORS = const(4)
_ERASE = "if what is there can go, erase it by `cistern log erase`"


def mount(log, urandom):
    """Make `log` what its device holds; see Log.mount."""
    if log.count < _MIN_SECTORS:
        raise StoreError(
            "the log needs %d sectors at least; its partition has %d" % (_MIN_SECTORS, log.count)
        )
    log.log_id = None
    log.boot = log.next = 0
    _scan(log)
    new = not log.log_id
    if new:
        _check_ours(log)
        log.log_id = urandom(8)
    log.state = State(log.sector_size)
    log.stated = False
    _resume(log)
    log.boot += 1
    log.state.before = dict(log.state.losses)
    log.state.changed = bool(log.state.losses)
    if new:
        log._open()
    return log


def _scan(log):
    walk = log.walk
    head = walk.head
    blank = b"\xff" * len(head)
    marked = MAGIC + blank[len(MAGIC) :]
    used = -1
    for b in range(log.count):
        if walk.enter(b):
            if log.log_id and log.log_id != walk.log_id:
                raise StoreError("the partition has sectors of two logs: " + _ERASE)
            log.log_id = walk.log_id
            log.next = max(log.next, walk.sequence)
            log.boot = max(log.boot, walk.boot)
            # A sector without a record may have a header that a power cut left weak; it is not
            # used.
            if head[_DONE_AT] and head[_SECTOR_HEAD:] != blank[_SECTOR_HEAD:]:
                log.sequence[b] = walk.sequence
        elif head == marked:
            log.sequence[b] = _ERASED
        elif head == blank:
            continue
        used = b
    # In the first lap nothing was ever erased, and what lies ahead was never written.
    if log.next < log.count:
        for b in range(used + 1, log.count):
            log.sequence[b] = _ERASED


def _check_ours(log):
    """Refuse what is neither blank nor begins as our sectors do."""
    start = bytearray(4)
    if log.walk.mask and not log.walk.blank(0, len(MAGIC), log.sector_size):
        raise StoreError(
            "an encrypted partition cannot show that it is blank: " + _ERASE
        )
    for b in range(log.count):
        log.device.readblocks(b, start, 0)
        # A first header that was cut short leaves the rest of its sector blank.
        torn = not [i for i in range(4) if start[i] & MAGIC[i] != MAGIC[i]]
        if start == MAGIC or log.walk.blank(b, _SECTOR_HEAD if torn else 0, log.sector_size):
            continue
        if start[:3] == MAGIC[:3]:
            raise StoreError(
                "the log has format %d and this firmware writes %d: update the firmware, or %s"
                % (start[3], MAGIC[3], _ERASE)
            )
        raise StoreError(
            "sector %d of the partition holds something that is no Cistern log: %s" % (b, _ERASE)
        )


def _resume(log):
    """Take up the newest sector where it ends."""
    walk = log.walk
    while True:
        newest = max(log.sequence)
        if newest <= 0:
            return
        b = log.block = log.after(newest - 1)
        # Its first record tells the state, or that of the sector before if it was cut short.
        older = max([0] + [s for s in log.sequence if s < newest])
        log.state = State(log.sector_size)
        if older:
            _load(log, log.after(older - 1))
        log.stated = False
        if _load(log, b):
            break
        # Power may have gone while its header was written, which would then be weak.
        log.sequence[b] = 0
    log.boot = max(log.boot, walk.boot)
    log.seed = walk.seed
    log.stated = log.stated or not (log.state.anchors or log.state.losses)
    if newest < log.next:
        return
    for number in walk.definitions:
        log.definitions[walk.definitions[number]] = number
    # Behind the last intact record there may be a torn one.
    end = log.sector_size
    while end > walk.next:
        start = max(walk.next, (end - 1) // _PAGE * _PAGE)
        if not walk.blank(b, start, end):
            break
        end = start
    log.at = end


def _load(log, block):
    walk, state = log.walk, log.state
    any_ = False
    walk.enter(block)
    while walk.step(log.sector_size):
        any_ = True
        if walk.kind == _STATE:
            log.stated = True
            victim = state.load(walk.body())
            b = log.after(victim - 1) if victim else -1
            # A power cut came between counting a sector's readings as lost and giving it up.
            if b >= 0 and log.sequence[b] == victim:
                log.done(b)
        elif walk.kind == _ANCHOR:
            state.anchor(*unpack_from("<IQQI", walk.body()))
        elif walk.kind == _DROP:
            definition, code, count = unpack_from("<IBI", walk.body())
            state.lose((definition, code), count)
        elif walk.kind == _REFUSED:
            sector, at, definition, code, count = unpack_from("<IHIBI", walk.body())
            state.lose((definition, code), count)
            # A power cut may have come between counting a parcel as refused and marking it.
            b = log.after(sector - 1)
            if b >= 0 and log.sequence[b] == sector:
                now = bytearray(1)
                log.device.readblocks(b, now, at)
                if now[0] & 0xF0:
                    log.program(b, _ASIDE, at)
    return any_
