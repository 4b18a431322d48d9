"""The cloud's time, from the `date` header of its answers, against the board's. Borrowed until a
date is understood, and then once an hour.
"""

from cistern.sync.clock import DOUBTED_US, OWN_US

_MONTHS = "JanFebMarAprMayJunJulAugSepOctNovDec"
# A server whose clock was never set says 1970; anything before Cistern was written is no time.
EARLIEST_US = 1767225600000000  # 2026-01-01
# A clock of the board that is further from the cloud's was never set, or not in a long time.
DISAGREEMENT_US = 10000000
# A crystal that is off by 20 ppm takes five weeks for it: a clock that is further off was set
# wrong, and so may it have been in earlier boots, since it outlives restarts.
DOUBT_US = 60000000
# A date has whole seconds, and is as old as its answer was long under way; below that nobody knows
# which clock is right.
DRIFT_US = 2000000


def settle(port, log, anchor, utc_us):
    """Have the clock, and the anchor of this boot, fit the cloud's time.

    anchor(utc_us): makes one of now.
    """
    port.keep_clock(utc_us)
    own = port.utc_us()  # finer than whole seconds, where it is right
    off = 0 if own is None else own - utc_us
    if own is None or abs(off) > DISAGREEMENT_US:
        own = utc_us
        port.set_clock(utc_us)
    if off and own == utc_us:
        text = "the board's clock is off by %d s; the cloud's time is taken"
        port.log("warning", text % (off // 1000000))
    for boot, found in list(log.anchors().items()):
        by_own_clock = boot != log.boot and found[2] == OWN_US
        if by_own_clock and (abs(off) > DOUBT_US or found[1] > own + DOUBT_US):
            log.append_anchor(found[0], found[1], DOUBTED_US, boot)
    found = log.anchors().get(log.boot)
    if found:
        then = found[1] + port.uptime_us() - found[0]
        if abs(then - own) <= DISAGREEMENT_US:
            own = then  # confirmed
    anchor(own)


def follow(port, log, utc_us):
    """Have the uptime gain or lose where by it and the anchor it is not the cloud's time."""
    port.keep_clock(utc_us)
    uptime_us, anchor_us, _ = log.anchors()[log.boot]
    late = utc_us + 500000 - anchor_us - port.uptime_us() + uptime_us
    # No more, so that a wrong date does little harm where no other comes after it.
    port.owed = ((late > DRIFT_US) - (late < -DRIFT_US)) * DRIFT_US


def parse(date):
    """Microseconds since 1970 of an IMF-fixdate ("Sun, 06 Nov 1994 08:49:37 GMT"; RFC 9110,
    section 5.6.7), or None.
    """
    try:
        parts = date.split()
        day, year = int(parts[1]), int(parts[3])
        at = _MONTHS.index(parts[2])
        hour, minute, second = [int(x) for x in parts[4].split(":")]
    except (ValueError, IndexError, AttributeError):
        return None
    if at % 3 or len(parts[2]) != 3:
        return None
    us = (_days(year, at // 3 + 1, day) * 86400 + hour * 3600 + minute * 60 + second) * 1000000
    return us if us >= EARLIEST_US else None


def _days(year, month, day):
    """Days from 1970-01-01 in the Gregorian calendar, counting years from March."""
    year -= month < 3
    era = (month + 9) % 12
    return year * 365 + year // 4 - year // 100 + year // 400 + (era * 153 + 2) // 5 + day - 719469
