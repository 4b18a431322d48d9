"""The cloud as a board will meet it, looked at from this PC: its certificate, and whether it takes
HTTP/2 without ALPN, which stock MicroPython does not have.
"""

import datetime
import socket
import ssl
from typing import NamedTuple

from cryptography import x509

TIMEOUT_S = 8
# RFC 9113 section 3.4: the client's preface, an empty SETTINGS frame behind it.
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
_FRAME_HEAD = 9
_SETTINGS = 4


class Cloud(NamedTuple):
    """error: why there is no verified connection, or "". expires: end of the certificate, UTC.
    without_alpn: whether it speaks HTTP/2 to a client without ALPN.
    """

    error: str
    expires: datetime.datetime | None = None
    without_alpn: bool = False


def look(scheme, host, port, server_name, ca):
    """The Cloud at an address. ca: DER or PEM bytes."""
    try:
        if scheme == "http":
            with socket.create_connection((host, port), TIMEOUT_S) as plain:
                return Cloud("", None, _speaks_http2(plain))
        with (
            socket.create_connection((host, port), TIMEOUT_S) as plain,
            _context(ca).wrap_socket(plain, server_hostname=server_name or host) as tls,
        ):
            end = x509.load_der_x509_certificate(tls.getpeercert(True)).not_valid_after_utc
            return Cloud("", end, _speaks_http2(tls))
    except ssl.SSLCertVerificationError as e:
        return Cloud(f"its certificate is refused: {e.verify_message}")
    except (OSError, ValueError) as e:
        return Cloud(str(e) or type(e).__name__)


def _context(ca):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if ca:
        context.load_verify_locations(cadata=ca.decode() if b"-----BEGIN" in ca else ca)
    return context


def _speaks_http2(connection):
    try:
        connection.sendall(_PREFACE)
        head = b""
        while len(head) < _FRAME_HEAD:
            more = connection.recv(_FRAME_HEAD - len(head))
            if not more:
                return False
            head += more
    except OSError:
        return False
    return head[3] == _SETTINGS
