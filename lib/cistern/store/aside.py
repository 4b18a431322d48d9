"""Setting a parcel aside that the cloud refuses: counted, then marked. Borrowed; it is rare."""

from struct import pack

from cistern.errors import StoreError
from cistern.store.full import append_state, lose
from cistern.store.state import REASONS, loss_key

const = int  # MicroPython's compiler knows const() by its name

_ASIDE = const(0x0F)
_REFUSED = const(0xF5)
_SIZE = const(15)  # of the record's body
_REASON = REASONS.index("refused")


def set_aside(log, ref):
    """See Log.set_aside()."""
    key = loss_key(ref.definition, _REASON)
    body = pack("<IHIBI", ref.sector, ref.index, key[0], key[1], ref.readings)
    try:
        # A sector that is begun for the record may cost the oldest one, which counts what it has.
        log.prepare(None, _SIZE)
        if not _unsent(log, ref):
            return False
        # Count and name in one record: a power cut after it cannot make the loss count twice.
        log.append_record(_REFUSED, body)
        if log.sequence[ref.block] != ref.sector:
            # The flash failed, another sector was begun, and the parcel's was the oldest.
            append_state(log)
            return False
    except StoreError:
        pass  # flash that takes nothing: the next state that can be written has the count
    lose(log, ref.definition, _REASON, ref.readings)
    return log.mark(ref, _ASIDE)


def _unsent(log, ref):
    state = bytearray(1)
    log.device.readblocks(ref.block, state, ref.index)
    state = state[0] & log.marks.get(ref.sector << 12 | ref.index, 255)
    return log.sequence[ref.block] == ref.sector and state & 0xF0 and state & 0x0F
