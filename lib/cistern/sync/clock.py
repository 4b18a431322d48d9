"""Uptimes of any boot → UTC, by the anchors in the log."""


class Clock:
    """anchors: {boot: (uptime_us, utc_us, uncertainty_us)}, kept up to date by the caller.

    ends: {boot: the last uptime known of it}, for boots that never learned the time.
    """

    def __init__(self, anchors):
        self.anchors = anchors
        self.ends = {}

    def utc_us(self, boot, uptime_us):
        """(UTC in µs, False), or (the latest it can have been, True), or None when nothing bounds
        it yet.
        """
        anchor = self.anchors.get(boot)
        if anchor:
            return anchor[1] + uptime_us - anchor[0], False
        later = [b for b in self.anchors if b > boot]
        if not later:
            return None
        # A boot ended before the next one that knew the time began, and so did all boots between
        # them.
        after = min(later)
        start = self.anchors[after][1] - self.anchors[after][0]
        for b, end in self.ends.items():
            if boot <= b < after:
                start -= end
        return start + uptime_us, True
