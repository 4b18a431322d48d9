"""What time it is: one anchor a boot, from the board's own clock and the `date` of the cloud."""

# How far a clock may be wrong that something else keeps, and the cloud's, whose header has whole
# seconds and was written some time ago. The same for both: of two such anchors the later one
# counts (docs/SPEC.md).
UNCERTAINTY_US = 1000000
# A clock of the board that is further from the cloud's was never set, or not in a long time.
DISAGREEMENT_US = 10000000


class Clock:
    """Keeps the anchor of this boot in `log`.

    It is settled by the first answer of the cloud, before any reading of the boot is sent, and
    never changes after that: whatever a clock does, it does not reorder a boot's readings.
    """

    def __init__(self, port, log):
        self._port = port
        self._log = log
        self._settled = False
        self._anchor(port.utc_us())

    def _anchor(self, utc_us):
        if utc_us is not None:
            self._log.append_anchor(self._port.uptime_us(), utc_us, UNCERTAINTY_US)

    def on_date(self, date):
        """Take the `date` header of an answer, or None."""
        if self._settled:
            return
        from cistern.cloud.httpdate import parse

        utc_us = parse(date)
        if utc_us:
            self._settled = True
            self._settle(utc_us)

    def _settle(self, utc_us):
        port, log = self._port, self._log
        own = port.utc_us()  # finer than whole seconds, where it is right
        off = 0 if own is None else own - utc_us
        if own is None or abs(off) > DISAGREEMENT_US:
            own = utc_us
            port.set_clock(utc_us)
        if off and own == utc_us:
            text = "the board's clock is off by %d s; the cloud's time is taken"
            port.log("warning", text % (off // 1000000))
        anchor = log.anchors().get(log.boot)
        if not anchor or abs(anchor[1] + port.uptime_us() - anchor[0] - own) > DISAGREEMENT_US:
            self._anchor(own)
