"""What time it is: one anchor a boot, from the board's own clock and the `date` of the cloud."""

from cistern.borrow import borrow

# How far a clock may be wrong that something else keeps, and the cloud's, whose header has whole
# seconds and was written some time ago. The same for both: of two such anchors the later one
# counts (docs/SPEC.md).
UNCERTAINTY_US = 1000000
# How often the boot's clock is held against the cloud's, after the first time.
LOOK_US = 3600000000


class Clock:
    """Keeps the anchor of this boot in `log`.

    It is settled by the first answer of the cloud, before any reading of the boot is sent, and
    never changes after that: whatever a clock does, it does not reorder a boot's readings. What
    the board's crystal is off by, the uptime makes up for (port.owed).
    """

    def __init__(self, port, log):
        self._port = port
        self._log = log
        self._look_us = 0  # uptime of the next look at a date; 0 until it is settled
        self._anchor(port.utc_us())

    def _anchor(self, utc_us):
        if utc_us is not None:
            self._log.append_anchor(self._port.uptime_us(), utc_us, UNCERTAINTY_US)

    def on_date(self, date):
        """Take the `date` header of an answer, or None."""
        now = self._port.uptime_us()
        if date and now >= self._look_us:
            try:
                module = borrow("cistern.sync.settle")
            except MemoryError:
                if self._look_us:
                    return  # the date of another answer will do
                raise
            utc_us = module.parse(date)
            if utc_us:
                settled = self._look_us
                self._look_us = now + LOOK_US
                if settled:
                    module.follow(self._port, self._log, utc_us)
                else:
                    module.settle(self._port, self._log, self._anchor, utc_us)
