"""Figures of a log."""

from cistern.store.losses import REASONS


class Stats:
    """What a log holds and has done.

    capacity, used, unsent: bytes (of all sectors; of those still needed; of unsent payloads).
    unsent_readings: {definition: readings}. lost: {(CRC32 of the definition, reason): readings}, since the log
    was initialised. Since mounting: erases, forced_erases (those that an append had to wait for), failures
    (programs and erases that did not work), programmed (bytes).
    """

    def __init__(self, log):
        sectors = log.sectors
        self.capacity = sectors.count * log.sector_size
        self.used = sectors.needed() * log.sector_size
        self.unsent = log.unsent_bytes
        by = log.unsent_readings
        self.unsent_readings = {d: by[d] for d in by if by[d]}
        totals = log.losses.totals
        self.lost = {(key, REASONS[code]): totals[key, code] for key, code in totals}
        self.erases = sectors.erases
        self.forced_erases = log.forced_erases
        self.failures = sectors.failures
        self.programmed = sectors.programmed
