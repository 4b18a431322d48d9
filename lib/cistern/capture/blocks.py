"""A collector above 100 Hz whose sensor samples by its own clock and keeps what it sampled: some
readings at a time are fetched, each with the time at which it was taken.
"""

from array import array

from cistern.capture.collector import Collector

try:
    from cistern.record.rows_fast import put_rows
except (ImportError, ValueError):  # CPython; a port without native code, or code of another one
    from cistern.record.rows_plain import put_rows

const = int  # MicroPython's compiler knows const() by its name

# See collector.py.
_SOURCE_ERROR = const(4)
_STALLED = const(12)


class Blocks(Collector):
    """A Collector of a source with read_block(); see mpu6050.Reader for what that does.

    Readings that the sensor had no room for are counted missed: as stalled, or as source_error
    where fetching had failed meanwhile. Both times of a reading are when it was taken.
    """

    def __init__(self, name, source, ring, period, port):
        self._rate_us = period[0]
        # Well before the sensor runs full, and no more than one block at a time.
        every = min(source.hold_us // 4, source.block * period[0] * 3 // 4)
        Collector.__init__(self, name, source, ring, (every, 0, 1), port)
        self._times = array("i", [0] * source.block)
        self._rows = array("f", [0.0] * (source.block * len(source.fields)))
        self._good = port.ticks_us()  # up to when readings are accounted for
        self._dead = False  # what the sensor keeps was lost meanwhile
        self._told = 0  # of the source's `lost`, counted already

    def serve(self):
        """Fetch what there is."""
        now = self._ticks_us()
        deadline = self._deadline
        while self._diff(now, deadline.tick) >= 0:
            deadline.passed()
        source = self.source
        try:
            n = source.block
            while n == source.block:
                n = source.read_block(self._times, self._rows)
                put_rows(self.ring, self._times, self._rows, n)
                self.captured += n
            lost = source.lost - self._told
            if lost > 0:
                self.lose(_SOURCE_ERROR if self._dead else _STALLED, now, lost)
            source.lost = self._told = 0
            self._dead = False
            self._good = now
        except Exception as e:  # a driver may raise anything; the other collectors go on
            gap = self._diff(now, self._good)
            if self._dead or gap > source.hold_us:
                # It will say so itself when it is back, if ever.
                self._dead = True
                self._good = now
                self._told += gap // self._rate_us
                self.lose(_SOURCE_ERROR, now, gap // self._rate_us)
            self._log("%s: %s" % (type(e).__name__, e))

    def stop(self):
        """No reading is taken from here on."""
        self.source.stop_block()
