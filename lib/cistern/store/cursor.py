"""Parcels that the cloud does not have yet, oldest first."""

from cistern.store.layout import COUNT_SIZE, DEFINITION
from cistern.store.walk import Walk


class Ref:
    """A parcel in the log. sector and index are its name for ever, whatever becomes of the parcel.

    definition: bytes; boot: the one it was written in; readings: how many; size: bytes of its payload.
    """

    def __init__(self, walk):
        self.sector = walk.sequence
        self.index = walk.at
        self.block = walk.block
        self.definition = walk.definitions[walk.kind]
        self.boot = walk.boot
        self.readings = walk.readings
        self.size = walk.size - COUNT_SIZE


class Cursor:
    """Walks the unsent parcels of a log that may grow, lose sectors and be marked meanwhile."""

    def __init__(self, log):
        self._log = log
        self._walk = Walk(log.device, log.sector_size)
        self._sequence = 0  # of the sector it is in, or was

    def next(self, definition=None):
        """The Ref of the next unsent parcel, or None; with `definition`, the next one that has it.

        After None, calling again finds what was appended since. A cursor goes over the log once: what it passed
        over, another one finds.
        """
        log, walk = self._log, self._walk
        while True:
            if walk.sequence and log.sectors.holds(walk.block, walk.sequence):
                while walk.step(log.end_of(walk.block)):
                    if (
                        walk.kind < DEFINITION
                        and walk.unsent()
                        and (definition is None or walk.definitions[walk.kind] == definition)
                    ):
                        return Ref(walk)
                if log.is_open(walk.block):
                    return None
            block = log.sectors.after(self._sequence)
            if block < 0:
                return None
            self._sequence = log.sectors.sequence[block]
            if not walk.enter(block):
                walk.sequence = 0
