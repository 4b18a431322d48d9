"""Just enough of NTP (RFC 5905) for a client that asks once: the query, and whether what came back
is a time.
"""

from struct import unpack_from

_SIZE = 48
_ASK = 0x23  # version 4, mode 3: client
_SERVER = 0x24  # version 4, mode 4, behind the leap indicator
_UNSYNCHRONISED = 3  # leap indicator (figure 9)
_MOST_STRATUM = 15
# Section 7.2, MAXDISP: 16 s, in the short format's 1/65536 s.
_MOST_DISPERSION = 16 << 16
# Seconds from 1900 to 1970 (section 6), and when they are counted anew: right until 2106.
_EPOCH = 2208988800
_ERA = 1 << 32
# A clock that counts from its server's own start says 1900, which is 2036 as well: until then it
# is the former.
_DAY = 86400
_LONG_BEFORE_2036 = 2051222400
# By so much the floor may be late itself: a crystal that is off by 20 ppm takes a year for it.
_SLACK_S = 600
# A board that old has a CA certificate that has ended.
_MOST_AHEAD_S = 315360000


def query(origin):
    """A packet that asks for the time. origin: 8 random bytes in place of this client's time,
    which only the server that got them can give back.
    """
    packet = bytearray(_SIZE)
    packet[0] = _ASK
    packet[40:] = origin
    return packet


def answer(origin, packet, floor_s):
    """µs since 1970 when the server sent the packet; None for a packet that is no answer to this
    query.

    floor_s: seconds since 1970 that are over for certain, 0 where nothing is. Raises ValueError
    where the server has no time (RFC 4330, section 5), or one that cannot be.
    """
    if len(packet) < _SIZE or packet[0] & 0x3F != _SERVER or packet[24:32] != origin:
        return None
    if not packet[1]:
        code = "".join([chr(b) for b in packet[12:16] if 32 < b < 127])
        raise ValueError("the time server refuses: %s" % code)  # a kiss-o'-death (section 7.4)
    if packet[0] >> 6 == _UNSYNCHRONISED or packet[1] > _MOST_STRATUM:
        raise ValueError("the time server does not know the time itself")
    delay, dispersion = unpack_from(">II", packet, 4)
    reference = unpack_from(">I", packet, 16)[0]
    seconds, fraction = unpack_from(">II", packet, 40)
    # Appendix A.5.1.1, packet(): what makes a header invalid.
    late = delay // 2 + dispersion
    ahead = reference and (seconds - reference) % _ERA >> 31
    if seconds < _DAY and floor_s < _LONG_BEFORE_2036:
        seconds = 0
    if not seconds or late >= _MOST_DISPERSION or ahead:
        raise ValueError("the time server's time is none")
    utc_s = (seconds - _EPOCH) % _ERA
    if utc_s < floor_s - _SLACK_S or (floor_s and utc_s > floor_s + _MOST_AHEAD_S):
        text = "the time server's time cannot be: %d s since 1970, and it was %d before"
        raise ValueError(text % (utc_s, floor_s))
    return utc_s * 1000000 + (fraction * 15625 >> 26)
