"""What makes a header block well-formed: RFC 9113, section 8.2 and 8.3."""

# Section 8.2.2: fields of a connection, which HTTP/2 replaces.
_CONNECTION = (
    b"connection",
    b"proxy-connection",
    b"keep-alive",
    b"transfer-encoding",
    b"upgrade",
)


def check(fields, pseudo):
    """The pseudo-header fields of a list of (name, value), as a dict; None if it is malformed.

    pseudo: the names of those that are allowed, each once and before all other fields.
    """
    seen = {}
    regular = False
    for name, value in fields:
        if name[:1] == b":":
            if regular or name not in pseudo or name in seen:
                return None
            seen[name] = value
        else:
            regular = True
            if (
                not name
                or name in _CONNECTION
                or (name == b"te" and value != b"trailers")  # section 8.2.2
            ):
                return None
            for c in name:  # section 8.2.1; 65 to 90 is upper case, 58 a colon
                if c < 33 or 65 <= c <= 90 or c > 126 or c == 58:
                    return None
        if value != value.strip() or b"\0" in value or b"\r" in value or b"\n" in value:
            return None
    return seen
