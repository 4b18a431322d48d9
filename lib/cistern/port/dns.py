"""Just enough of DNS (RFC 1035) to look up an IPv4 address: the query, and what came back."""

from struct import pack

MAX_ANSWER = 512  # section 4.2.1: over UDP, longer ones are truncated
_A = 1  # record type and class IN
_SERVER_ERRORS = ("", "malformed query", "server failure", "no such name", "", "refused")


def query(ident, name):
    """A packet that asks for the addresses of a name; ident is any 16-bit number."""
    out = bytearray(pack(">HHHHHH", ident, 0x0100, 1, 0, 0, 0))  # RD: recursion desired
    for label in name.encode().rstrip(b".").split(b"."):
        if not 0 < len(label) < 64:
            raise ValueError("not a valid host name")
        out.append(len(label))
        out.extend(label)
    out.extend(pack(">BHH", 0, _A, 1))
    return out


def _u16(packet, at):
    return packet[at] << 8 | packet[at + 1]


def _skip_name(packet, at):
    """The position behind a name; a pointer (section 4.1.4) ends it."""
    while True:
        n = packet[at]
        if n >= 192:
            return at + 2
        at += 1 + n
        if not n:
            return at


def answer(ident, packet):
    """The first address in an answer, as text; None for a packet that is not the answer.

    Raises ValueError when the server says no.
    """
    try:
        flags = _u16(packet, 2)
        if _u16(packet, 0) != ident or not flags & 0x8000:
            return None
        code = flags & 15
        at = 12
        for _ in range(_u16(packet, 4)):
            at = _skip_name(packet, at) + 4
        for _ in range(_u16(packet, 6)):
            at = _skip_name(packet, at)
            n = _u16(packet, at + 8)
            if _u16(packet, at) == _A and n == 4:
                return ".".join([str(packet[at + i]) for i in (10, 11, 12, 13)])
            at += 10 + n
        why = _SERVER_ERRORS[code] if code < len(_SERVER_ERRORS) else ""
        why = why or (f"error {code}" if code else "the name has no IPv4 address")
    except IndexError:  # cut off
        return None
    raise ValueError(why)
