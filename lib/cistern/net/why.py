"""What is rare on the wire: errors, words for them, and metadata of any bytes; borrowed."""

from binascii import a2b_base64, b2a_base64

from cistern.net.grpc import text

_ERRORS = (  # RFC 9113, section 7
    "NO_ERROR PROTOCOL_ERROR INTERNAL_ERROR FLOW_CONTROL_ERROR SETTINGS_TIMEOUT STREAM_CLOSED "
    "FRAME_SIZE_ERROR REFUSED_STREAM CANCEL COMPRESSION_ERROR CONNECT_ERROR ENHANCE_YOUR_CALM "
    "INADEQUATE_SECURITY HTTP_1_1_REQUIRED"
)
# Pairs of HTTP status and gRPC status, doc/http-grpc-status-mapping.md; the others are UNKNOWN.
_HTTP = "400 13 401 16 403 7 404 12 429 14 502 14 503 14 504 14"
_UNKNOWN = 2
NO_ALPN = (
    "the server closed the connection right after the TLS handshake: strict gRPC servers demand "
    "ALPN, which this runtime lacks. Use Cistern's firmware, or a server that does without it"
)


def error_name(code):
    """The name of an HTTP/2 error code."""
    names = _ERRORS.split()
    return names[code] if code < len(names) else f"error {code}"


def grpc_status(status):
    """The gRPC status (int) of an HTTP status (str), where an answer has none."""
    known = _HTTP.split()
    return int(known[known.index(status) + 1]) if status in known else _UNKNOWN


def unpercent(message):
    """grpc-message: percent-encoded UTF-8; what is not well-formed stays as it is."""
    first, *parts = message.encode().split(b"%")
    out = bytearray(first)
    for part in parts:
        try:
            out.append(int(part[:2], 16))
            part = part[2:]
        except ValueError:
            out.append(37)  # a percent sign
        out.extend(part)
    return text(out)


def binary(value):
    """The bytes of received metadata in -bin; what is no base64 stays as it is."""
    try:
        return a2b_base64(value + "==="[: -len(value) % 4])
    except ValueError:
        return value


def base64(value):
    """Metadata in -bin as it is sent: without padding."""
    return b2a_base64(value).strip().rstrip(b"=")
