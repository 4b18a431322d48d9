"""The byte stream of CPython: asyncio's transports, TLS by OpenSSL with ALPN."""

import asyncio
import os
import socket
import ssl
import sys

from cistern.errors import LinkError
from cistern.port.pem import authority

ALPN = True  # this runtime offers it

_CLOSE_S = 1  # how long a silent peer may keep a closed TLS connection in memory

# X509_V_ERR_* of OpenSSL.
_EXPIRED = 10
_NOT_YET = 9
_HOST = (62, 64)


class Stream:
    """A TCP connection, with TLS or without."""

    def __init__(self, reader, writer):
        self._reader = reader
        self._writer = writer
        self._writing = False
        tls = writer.get_extra_info("ssl_object")
        self.alpn = tls.selected_alpn_protocol() if tls else None

    async def readinto(self, buf):
        """Fill buf with what is there, at least a byte; returns how many, 0 at the end."""
        try:
            data = await self._reader.read(len(buf))
        except OSError as e:
            raise _broken(e) from None
        buf[: len(data)] = data
        return len(data)

    async def write(self, buf):
        """Write all of buf."""
        self._writing = True
        try:
            self._writer.write(bytes(buf))
            await self._writer.drain()
        except OSError as e:
            raise _broken(e) from None
        self._writing = False

    def close(self):
        """Close; what was written is still sent, unless the other side does not take it.

        Ends what waits in readinto() and write().
        """
        if self._writing:
            self._writer.transport.abort()
        else:
            self._writer.close()


def _broken(e):
    if isinstance(e, ssl.SSLError):
        return LinkError("tls", f"TLS broke: {e.reason or e}")
    return LinkError("connect", f"the connection broke: {e.strerror or e}")


def _certificates(ca):
    """PEM as str, DER as bytes: what cadata= takes."""
    if isinstance(ca, str):
        return ca
    return ca.decode() if b"-----BEGIN" in ca else bytes(ca)


def context(tls):
    """An SSLContext from the dict that connect() takes."""
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    ctx.set_alpn_protocols(["h2"])
    if tls.get("insecure"):
        ctx.check_hostname = False
        ctx.verify_mode = ssl.CERT_NONE
    else:
        try:
            ca = authority(tls)
            if ca:
                ctx.load_verify_locations(cadata=_certificates(ca))
            else:
                ctx.load_default_certs()
        except (OSError, ValueError) as e:  # SSLError is an OSError
            raise LinkError("tls", f"the CA certificates cannot be read: {e}", False) from None
    if tls.get("cert"):
        _load_chain(ctx, tls["cert"], tls["key"])
    return ctx


def _load_chain(ctx, cert, key):
    """CPython takes files only."""
    import tempfile

    def pem(data, kind):
        data = data.encode() if isinstance(data, str) else bytes(data)
        if b"-----BEGIN" in data:
            return data
        import base64

        body = base64.encodebytes(data)
        return b"-----BEGIN %s-----\n%s-----END %s-----\n" % (kind, body, kind)

    with tempfile.NamedTemporaryFile(delete=False) as f:  # created readable by the owner only
        f.write(pem(key, b"PRIVATE KEY") + b"\n" + pem(cert, b"CERTIFICATE"))
    try:
        ctx.load_cert_chain(f.name)
    except (ssl.SSLError, ValueError) as e:
        raise LinkError("tls", f"the client certificate cannot be used: {e}", False) from None
    finally:
        os.unlink(f.name)


def _tls_error(e, name):
    """A sentence for what went wrong in a handshake."""
    code = getattr(e, "verify_code", 0)
    if code == _EXPIRED:
        return LinkError("tls", f"the certificate of {name} has expired (or the clock is wrong)")
    if code == _NOT_YET:
        return LinkError("tls", f"the certificate of {name} is not valid yet: is the clock right?")
    if code in _HOST:
        return LinkError("tls", f"the server's certificate is not for the name {name}", False)
    if code:
        return LinkError(
            "tls",
            f"the certificate of {name} is not signed by a trusted CA ({e.verify_message})",
            False,
        )
    if isinstance(e, ssl.SSLError):
        return LinkError("tls", f"the TLS handshake with {name} failed: {e.reason or e}")
    return LinkError("tls", f"the server closed the connection during the TLS handshake ({e})")


async def _dial(host, port, tls):
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=1)  # SOCK_STREAM
    except OSError as e:
        raise LinkError("dns", f"the name {host} cannot be resolved: {e.strerror}") from None
    for family, kind, proto, _, address in found:
        sock = socket.socket(family, kind, proto)
        sock.setblocking(False)
        try:
            await loop.sock_connect(sock, address)
            break
        except OSError as e:
            sock.close()
            why = os.strerror(e.errno) if e.errno else str(e)
            refused = LinkError("connect", f"cannot connect to {host} port {port}: {why}")
        except BaseException:
            sock.close()
            raise
    else:
        raise refused
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if not tls:
        return Stream(*await asyncio.open_connection(sock=sock))
    name = tls.get("server_name") or host
    try:
        return Stream(
            *await asyncio.open_connection(
                sock=sock, ssl=context(tls), server_hostname=name, ssl_shutdown_timeout=_CLOSE_S
            )
        )
    except OSError as e:
        raise _tls_error(e, name) from None
    finally:
        if sys.exc_info()[1]:
            sock.close()


async def within(awaitable, seconds):
    """asyncio.wait_for without a task of its own: two turns of the loop less a call."""
    async with asyncio.timeout(seconds):
        return await awaitable


async def connect(host, port, tls=None, timeout_ms=20000):
    """Open a byte stream to host:port; returns a Stream, raises LinkError (dns, connect, tls).

    tls: None for clear text, or a dict: ca (PEM of one or several certificates, or DER; without
    it the system's), server_name (when host is not the name in the certificate), cert and key
    (PEM, this client's own), insecure (True: nothing about the server is verified).
    timeout_ms: for the name, the connection and the handshake together.
    """
    try:
        async with asyncio.timeout(timeout_ms / 1000):
            return await _dial(host, port, tls)
    except TimeoutError:
        raise LinkError(
            "connect", f"no connection to {host} port {port} within {timeout_ms} ms"
        ) from None
