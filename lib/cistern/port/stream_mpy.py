"""The byte stream of MicroPython: non-blocking sockets and TLS by mbedTLS, without ALPN.

Connecting, the TLS handshake and, where a name server is known, the look-up of the name let other
tasks run, and so does every read and write. The handshake is done by the first write, because
only a write drives mbedTLS; its time counts towards connect()'s limit.
"""

import asyncio
import errno
import os
import select
import socket
import ssl
from asyncio import core
from binascii import a2b_base64
from time import ticks_add, ticks_diff, ticks_ms

from cistern.errors import LinkError
from cistern.port import dns

ALPN = False
# Without it, the last part of an upload waits for the peer's delayed ACK, 40 ms.
_TCP_NODELAY = 1
_IPPROTO_TCP = 6
# A query is sent again after 1, 2 and 4 s, as resolvers do; 7 s without an answer is a failure.
_DNS_TRIES_MS = (1000, 2000, 4000)

# ECONNRESET, EPIPE (errno has no name for it), and mbedTLS's NET_CONN_RESET, SSL_CONN_EOF.
_CLOSED = (errno.ECONNRESET, 32, -0x50, -0x7280)

# mbedtls_x509_crt_verify_info() gives these texts (x509_crt.c), one a line.
_VERIFY = (
    ("expired", "the certificate of %s has expired (or the clock is wrong)", True),
    ("future", "the certificate of %s is not valid yet: is the clock right?", True),
    ("does not match", "the server's certificate is not for the name %s", False),
    ("trusted CA", "the certificate of %s is not signed by a trusted CA", False),
)


def _tls_error(e, name):
    text = str(e)
    for part, sentence, retry in _VERIFY:
        if part in text:
            return LinkError("tls", sentence % name, retry)
    if isinstance(e, OSError) and e.errno in _CLOSED:
        return LinkError("tls", "the server closed the connection during the TLS handshake")
    return LinkError("tls", f"the TLS handshake with {name} failed: {text}")


def _os_error(e):
    if e.errno == errno.ECONNREFUSED:
        return "connection refused"
    if e.errno == errno.ECONNRESET:
        return "connection reset by the other side"
    return errno.errorcode.get(e.errno) or str(e)


def _ders(pem):
    """The DER objects in PEM text, or the one that was given."""
    if isinstance(pem, str):
        pem = pem.encode()
    if b"-----BEGIN" not in pem:
        return [pem]
    # Not every build of MicroPython has mbedTLS's PEM reader, so all get DER.
    return [a2b_base64(p.split(b"-----")[1]) for p in pem.split(b"-----BEGIN")[1:]]


def context(tls):
    """An SSLContext from the dict that connect() takes."""
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # Some builds start with CERT_NONE: always say it.
    ctx.verify_mode = ssl.CERT_NONE if tls.get("insecure") else ssl.CERT_REQUIRED
    try:
        if tls.get("ca"):
            for der in _ders(tls["ca"]):
                ctx.load_verify_locations(cadata=der)
        elif not tls.get("insecure"):
            raise ValueError("none are configured, and MicroPython has none of its own")
    except ValueError as e:
        raise LinkError("tls", f"the CA certificates cannot be read: {e}", False) from None
    if tls.get("cert"):
        try:
            ctx.load_cert_chain(_ders(tls["cert"])[0], _ders(tls["key"])[0])
        except ValueError as e:
            raise LinkError("tls", f"the client certificate cannot be used: {e}", False) from None
    return ctx


class Stream:
    """A TCP connection, with TLS or without."""

    def __init__(self, sock, name, deadline):
        self._sock = sock
        self._name = name  # of the server while its TLS handshake is not over, else None
        self._deadline = deadline
        self._waiting = []
        self._closed = False
        self._error = None
        self.alpn = None

    def _wait(self, queue):
        """Sleep until the socket is ready for `queue`, or closed.

        Before each read and write, so that a fast peer does not keep other tasks from running.
        """
        task = asyncio.current_task()
        self._waiting.append(task)
        try:
            yield queue(self._sock)
        finally:
            self._waiting.remove(task)

    async def readinto(self, buf):
        """Fill buf with what is there, at least a byte; returns how many, 0 at the end."""
        while True:
            await self._wait(core._io_queue.queue_read)
            if self._closed:
                return 0
            try:
                n = self._sock.readinto(buf)
            except (OSError, ValueError) as e:
                raise self._broken(e) from None
            if n is not None:
                return n

    async def write(self, buf):
        """Write all of buf; the first write also does the handshake."""
        if self._name:
            left = ticks_diff(self._deadline, ticks_ms())
            try:
                await asyncio.wait_for_ms(self._write(buf), max(left, 1))
            except asyncio.TimeoutError:
                raise LinkError("tls", f"no end of the TLS handshake with {self._name}") from None
        else:
            await self._write(buf)

    async def _write(self, buf):
        buf = memoryview(buf)
        while buf:
            await self._wait(core._io_queue.queue_write)
            if self._closed:
                raise LinkError("connect", "the connection was closed")
            try:
                n = self._sock.write(buf)
            except (OSError, ValueError) as e:
                raise self._broken(e) from None
            if n is not None:
                self._name = None
                buf = buf[n:]

    def _broken(self, e):
        """The LinkError of a failure: the first one, because only that has mbedTLS's reason."""
        if not self._error:
            if self._name:
                self._error = _tls_error(e, self._name)
            elif isinstance(e, ValueError) or e.errno < 0:
                self._error = LinkError("tls", f"TLS broke: {e}")
            else:
                self._error = LinkError("connect", f"the connection broke: {_os_error(e)}")
        return self._error

    def close(self):
        """Close; what was written is still sent. Ends what waits in readinto() and write()."""
        if not self._closed:
            self._closed = True
            for task in self._waiting:
                # asyncio itself would let them wait for ever; a task whose data is something
                # else was woken already and only has to get its turn.
                if task.data is core._io_queue:
                    core._io_queue.remove(task)
                    core._task_queue.push(task)
            self._sock.close()


def name_server():
    """(address, port) of the name server, or None to use the system's blocking look-up.

    This one is for a PC; a board's port puts its own here.
    """
    try:
        with open("/etc/resolv.conf") as f:
            for line in f:
                words = line.split()
                if len(words) > 1 and words[0] == "nameserver":
                    return words[1], 53
    except OSError:
        pass
    return None


def _hosts(host):
    """The address of a name in /etc/hosts, or None."""
    try:
        with open("/etc/hosts") as f:
            for line in f:
                words = line.split("#")[0].split()
                if host in words[1:]:
                    return words[0]
    except OSError:
        pass
    return None


async def resolve(host):
    """An address for a name. An address is returned as it is, without any look-up."""
    if ":" in host or not host.strip("0123456789."):
        return host
    known = _hosts(host)
    server = None if known else name_server()
    if known or not server:
        return known or host
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        sock.connect(socket.getaddrinfo(server[0], server[1])[0][-1])
        ident = int.from_bytes(os.urandom(2), "big")
        for ms in _DNS_TRIES_MS:
            sock.send(dns.query(ident, host))
            try:
                return await asyncio.wait_for_ms(_reply(sock, ident), ms)
            except asyncio.TimeoutError:
                pass
        raise ValueError("the name server does not answer")
    except (OSError, ValueError) as e:
        raise LinkError("dns", f"the name {host} cannot be resolved: {e}") from None
    finally:
        sock.close()


def _reply(sock, ident):
    while True:
        yield core._io_queue.queue_read(sock)
        found = dns.answer(ident, sock.recv(dns.MAX_ANSWER))
        if found:
            return found


async def _dial(host, port, tls, deadline):
    address = await resolve(host)
    try:
        family, kind, _, _, where = socket.getaddrinfo(address, port, 0, socket.SOCK_STREAM)[0]
    except OSError:
        raise LinkError("dns", f"the name {host} cannot be resolved") from None
    sock = socket.socket(family, kind)
    done = False
    try:
        sock.setblocking(False)
        try:
            # Not every build has names for these, nor does every one take them.
            sock.setsockopt(_IPPROTO_TCP, _TCP_NODELAY, 1)
        except OSError:
            pass
        try:
            sock.connect(where)
        except OSError as e:
            if e.errno != errno.EINPROGRESS:
                raise
        await _writable(sock)
        name = None
        stream = sock
        if tls:
            name = tls.get("server_name") or host
            stream = context(tls).wrap_socket(
                sock, server_hostname=name, do_handshake_on_connect=False
            )
        done = True
        return Stream(stream, name, deadline)
    except OSError as e:
        why = _os_error(e)
        raise LinkError("connect", f"cannot connect to {host} port {port}: {why}") from None
    except MemoryError:
        raise LinkError("tls", "not enough memory for a TLS connection") from None
    finally:
        if not done:
            sock.close()


def _writable(sock):
    """Wait until a connection attempt is over; raises OSError when it failed."""
    yield core._io_queue.queue_write(sock)
    poll = select.poll()
    poll.register(sock, select.POLLOUT)
    for _, flags in poll.poll(0):
        if flags & (select.POLLERR | select.POLLHUP):
            sock.recv(1)  # raises what went wrong
            raise OSError(errno.ECONNRESET)


async def connect(host, port, tls=None, timeout_ms=20000):
    """Open a byte stream to host:port; returns a Stream, raises LinkError (dns, connect, tls).

    tls: None for clear text, or a dict: ca (PEM of one or several certificates, or DER),
    server_name (when host is not the name in the certificate), cert and key (this client's own),
    insecure (True: nothing about the server is verified).
    timeout_ms: for the name, the connection and the handshake together.
    """
    deadline = ticks_add(ticks_ms(), timeout_ms)
    try:
        return await asyncio.wait_for_ms(_dial(host, port, tls, deadline), timeout_ms)
    except asyncio.TimeoutError:
        raise LinkError(
            "connect", f"no connection to {host} port {port} within {timeout_ms} ms"
        ) from None
