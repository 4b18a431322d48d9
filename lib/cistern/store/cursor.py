"""Parcels that the cloud does not have yet, oldest first."""

from collections import namedtuple

from cistern.store.sector import Walk

const = int  # MicroPython's compiler knows const() by its name

_COUNT_SIZE = const(2)
_DEFINITION = const(0xF0)


# A parcel in the log. sector and index are its name for ever, whatever becomes of the parcel.
# definition: bytes; boot: the one it was written in; readings: how many; size: of its payload.
# A tuple, since an upload holds many.
Ref = namedtuple("Ref", ("sector", "index", "block", "definition", "boot", "readings", "size"))


class Cursor:
    """Goes once over the unsent parcels of a log that may grow, lose sectors and be marked
    meanwhile.
    """

    def __init__(self, log):
        self._log = log
        self._walk = Walk(log.device, log.marks, log.walk.known)
        self._sequence = 0  # of the sector it is in, or was

    def next(self, definition=None, records=0):
        """The Ref of the next unsent parcel, or None; with `definition`, the next one that has it.

        records: after so many that were passed over the result is False: call again to go on.

        After None, calling again finds what was appended since. What it passes over, another
        cursor finds.
        """
        log, walk = self._log, self._walk
        while True:
            if self._sequence and log.sequence[walk.block] == self._sequence:
                while walk.step(log.end_of(walk.block)):
                    if walk.kind < _DEFINITION and walk.unsent():
                        found = walk.definitions[walk.kind]
                        if definition in (None, found):
                            return Ref(
                                walk.sequence,
                                walk.at,
                                walk.block,
                                found,
                                walk.boot,
                                walk.readings,
                                walk.size - _COUNT_SIZE,
                            )
                    records -= 1
                    if not records:
                        return False
                if walk.block == log.block:
                    return None
            block = log.after(self._sequence)
            if block < 0:
                return None
            self._sequence = log.sequence[block]
            if not walk.enter(block):
                walk.next = log.sector_size
