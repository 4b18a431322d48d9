"""Why a connection did not come about, or broke, in words. Loaded when one fails."""

import errno

from cistern.errors import LinkError

NO_MEMORY = "the board has not enough memory for it"
# ENOMEM, ENOBUFS, ENFILE (lwIP says it where it has no memory for one of its ten sockets, of which
# Cistern needs three), and EAI_MEMORY (lwip/netdb.h: 203, negative as MicroPython has it).
_NO_MEMORY = (12, 105, 23, -203)
# mbedTLS's MPI_ALLOC_FAILED is -16, which MicroPython takes for an error of the socket.
_MPI_NO_MEMORY = 16
# ECONNRESET, EPIPE (errno has no name for it), and mbedTLS's NET_CONN_RESET, SSL_CONN_EOF.
_CLOSED = (errno.ECONNRESET, 32, -0x50, -0x7280)

# mbedtls_x509_crt_verify_info() gives these texts (x509_crt.c), one a line.
_VERIFY = (
    ("expired", "the certificate of %s has expired (or the clock is wrong)", True),
    ("future", "the certificate of %s is not valid yet: is the clock right?", True),
    ("does not match", "the server's certificate is not for the name %s", False),
    ("trusted CA", "the certificate of %s is not signed by a trusted CA", False),
)


def failure(layer, text, e, retry=True):
    """The LinkError of `e`, whatever it is: `text` and why. It knows when memory is to blame."""
    number = getattr(e, "errno", 0)
    # mbedTLS's other names for it are X509_ALLOC_FAILED, PK_ALLOC_FAILED and so on.
    lacks = isinstance(e, MemoryError) or number in _NO_MEMORY or "ALLOC_FAILED" in str(e)
    if lacks:
        why = NO_MEMORY
    elif number == errno.ECONNREFUSED:
        why = "connection refused"
    elif number == errno.ECONNRESET:
        why = "connection reset by the other side"
    else:
        why = errno.errorcode.get(number) or str(e)
    made = LinkError(layer, "%s: %s" % (text, why), retry or lacks)
    made.memory = lacks
    return made


def broken(e, name):
    """The LinkError of a connection that `e` broke; name: of the server, while the TLS handshake
    with it is not over, else None.
    """
    if name:
        return _handshake(e, name)
    if isinstance(e, ValueError) or getattr(e, "errno", 0) < 0:
        return failure("tls", "TLS broke", e)
    return failure("connect", "the connection broke", e)


def _handshake(e, name):
    text = str(e)
    for part, sentence, retry in _VERIFY:
        if part in text:
            return LinkError("tls", sentence % name, retry)
    number = getattr(e, "errno", 0)
    if number in _CLOSED:
        return LinkError("tls", "the server closed the connection during the TLS handshake")
    if number == _MPI_NO_MEMORY:
        e = MemoryError()
    return failure("tls", "the TLS handshake with %s failed" % name, e)
