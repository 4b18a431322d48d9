"""What went wrong in a TLS handshake, in words. Loaded when one fails."""

import errno

from cistern.errors import LinkError

# ECONNRESET, EPIPE (errno has no name for it), and mbedTLS's NET_CONN_RESET, SSL_CONN_EOF.
_CLOSED = (errno.ECONNRESET, 32, -0x50, -0x7280)

# mbedtls_x509_crt_verify_info() gives these texts (x509_crt.c), one a line.
_VERIFY = (
    ("expired", "the certificate of %s has expired (or the clock is wrong)", True),
    ("future", "the certificate of %s is not valid yet: is the clock right?", True),
    ("does not match", "the server's certificate is not for the name %s", False),
    ("trusted CA", "the certificate of %s is not signed by a trusted CA", False),
)


def tls_error(e, name):
    """The LinkError for mbedTLS's OSError or ValueError in the handshake with server `name`."""
    text = str(e)
    for part, sentence, retry in _VERIFY:
        if part in text:
            return LinkError("tls", sentence % name, retry)
    if isinstance(e, OSError) and e.errno in _CLOSED:
        return LinkError("tls", "the server closed the connection during the TLS handshake")
    return LinkError("tls", f"the TLS handshake with {name} failed: {text}")
