"""Sentences for what rarely happens; imported only then."""

_ERRORS = (  # RFC 9113, section 7
    "NO_ERROR PROTOCOL_ERROR INTERNAL_ERROR FLOW_CONTROL_ERROR SETTINGS_TIMEOUT STREAM_CLOSED "
    "FRAME_SIZE_ERROR REFUSED_STREAM CANCEL COMPRESSION_ERROR CONNECT_ERROR ENHANCE_YOUR_CALM "
    "INADEQUATE_SECURITY HTTP_1_1_REQUIRED"
)
NO_ALPN = (
    "the server closed the connection right after the TLS handshake: strict gRPC servers demand "
    "ALPN, which this runtime lacks. Use Cistern's firmware, or a server that does without it"
)


def error_name(code):
    """The name of an HTTP/2 error code."""
    names = _ERRORS.split()
    return names[code] if code < len(names) else f"error {code}"
