"""Just enough of DNS (RFC 1035) to look up an IPv4 address: the query, and what came back."""

from struct import pack, unpack_from

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
        got, flags, questions, answers = unpack_from(">HHHH", packet)
        if got != ident or not flags & 0x8000:
            return None
        code = flags & 15
        if code:
            why = _SERVER_ERRORS[code] if code < len(_SERVER_ERRORS) else ""
            raise ValueError(why or f"error {code}")
        at = 12
        for _ in range(questions):
            at = _skip_name(packet, at) + 4
        for _ in range(answers):
            at = _skip_name(packet, at)
            kind, _, _, _, n = unpack_from(">HHHHH", packet, at)
            at += 10
            if kind == _A and n == 4:
                return ".".join(str(b) for b in packet[at : at + 4])
            at += n
    except (IndexError, ValueError) as e:
        if isinstance(e, IndexError) or "buffer" in str(e):
            return None
        raise
    raise ValueError("the name has no IPv4 address")
