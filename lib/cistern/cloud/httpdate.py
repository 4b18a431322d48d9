"""The `date` header of an HTTP answer (RFC 9110, section 5.6.7): how a board without a clock gets
one.

Needed until a date is understood, then forgotten: its memory is needed.
"""

import sys

_MONTHS = "JanFebMarAprMayJunJulAugSepOctNovDec"
# A server whose clock was never set says 1970; anything before Cistern was written is no time.
EARLIEST_US = 1767225600000000  # 2026-01-01


def parse(date):
    """Microseconds since 1970 of an IMF-fixdate ("Sun, 06 Nov 1994 08:49:37 GMT"), or None."""
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
    if us < EARLIEST_US:
        return None
    if sys.implementation.name == "micropython" and sys.modules.pop(__name__, None):
        del sys.modules["cistern.cloud"].httpdate
    return us


def _days(year, month, day):
    """Days from 1970-01-01 in the Gregorian calendar, counting years from March."""
    year -= month < 3
    era = (month + 9) % 12
    return year * 365 + year // 4 - year // 100 + year // 400 + (era * 153 + 2) // 5 + day - 719469
