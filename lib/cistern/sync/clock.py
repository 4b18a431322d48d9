"""What time it is: one anchor a boot, from the board's own clock and the `date` of the cloud."""

from cistern.borrow import borrow

# How far a clock may be wrong that something else keeps, and the cloud's, whose header has whole
# seconds and was written some time ago. By it an anchor also tells where it is from, and of two
# for a boot the one with less counts, of two such the later one (docs/SPEC.md): the board's own
# clock; one that a later start found wrong; the cloud's, or confirmed by it.
OWN_US = 3000000
DOUBTED_US = 2000000
UNCERTAINTY_US = 1000000
# How often the boot's clock is held against the cloud's, after the first time.
LOOK_US = 3600000000


class Clock:
    """Keeps the anchor of this boot in `log`.

    It is settled by the first answer of the cloud, before any reading of the boot is sent, and
    never changes after that: whatever a clock does, it does not reorder a boot's readings. What
    the board's crystal is off by, the uptime makes up for (port.owed). Where there is neither a
    clock nor a date, see bounds.py; a date that comes later settles it.
    """

    def __init__(self, port, log):
        self._port = port
        self._log = log
        self._look_us = 0  # uptime of the next look at a date; 0 until it is settled
        self._anchor(port.utc_us(), OWN_US)

    def _anchor(self, utc_us, uncertainty_us=UNCERTAINTY_US):
        if utc_us is not None:
            self._log.append_anchor(self._port.uptime_us(), utc_us, uncertainty_us)

    def on_date(self, date):
        """Take the `date` header of an answer, or None."""
        now = self._port.uptime_us()
        if not date:
            # Readings are sent by the board's own clock from here on, if it has one.
            if not self._look_us and self._log.boot in self._log.anchors():
                self._look_us = now
        elif now >= self._look_us:
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
