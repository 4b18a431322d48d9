"""What few readings need: the way of those that the fast way has no form for, integers above 24
bits, bytes, points in time.
"""

from binascii import b2a_base64

from cistern.cloud.protobuf import Writer


def sensor_data(requested_us, received_us, payload, buf=None):
    """Field 2 of the request, one reading, as a memoryview: of the end of `buf` if that suffices.

    Times in µs since 1970; payload: the dict of its Struct.
    """
    if not isinstance(payload, dict):
        raise TypeError("a reading that is no dict")
    w = Writer(buf)
    w.struct(payload)
    w.head(2, 0)
    n = w.n
    w.timestamp(received_us)
    w.head(2, n)
    k = w.n
    w.timestamp(requested_us)
    w.head(1, k)
    w.head(1, n)
    w.head(2, 0)
    return w.view()


def double_of_int(n):
    """The 8 bytes of binary64 nearest to an integer, ties to even; beyond its range: infinity."""
    m = abs(n)
    e = 1077
    # 53 bits, one that rounds, and one for all that follow.
    for step in (32, 8, 1):
        while m >> 54 + step:
            m = m >> step | (m & (1 << step) - 1 != 0)
            e += step
        while not m >> 55 - step:
            m <<= step
            e -= step
    # Rounding up to the next power of 2 carries into the exponent, as it should.
    bits = (e - 1 << 52) + (m >> 2) + (m & 7 in (3, 6, 7))
    if bits >> 52 > 2046:
        bits = 2047 << 52
    return (bits | (n < 0) << 63).to_bytes(8, "little")


def put(w, v):
    """Write a Value: a large integer; as text, bytes (base64) or a time (us: µs since 1970)."""
    if isinstance(v, int):
        at = w.room(9)
        w.buf[at] = 17
        w.buf[at + 1 : at + 9] = double_of_int(v)
    elif isinstance(v, (bytes, bytearray, memoryview)):
        w.field(3, b2a_base64(v).rstrip())
    elif hasattr(v, "us"):
        w.field(3, rfc3339(v.us))
    else:
        raise ValueError("a %s cannot be sent" % type(v).__name__)


def rfc3339(us):
    """UTC of microseconds since 1970, as protobuf's JSON has it."""
    second, us = divmod(us, 1000000)
    days, second = divmod(second, 86400)
    # The Gregorian calendar in eras of 400 years, years from March on.
    era, day = divmod(days + 719468, 146097)
    year = (day - day // 1460 + day // 36524 - day // 146096) // 365
    day -= year * 365 + year // 4 - year // 100
    month = (5 * day + 2) // 153
    day -= (153 * month + 2) // 5 - 1
    year += era * 400 + month // 10
    month = (month + 2) % 12 + 1
    text = "%04d-%02d-%02dT%02d:%02d:%02d" % (
        year,
        month,
        day,
        second // 3600,
        second // 60 % 60,
        second % 60,
    )
    if us % 1000:
        text += ".%06d" % us
    elif us:
        text += ".%03d" % (us // 1000)
    return text + "Z"
