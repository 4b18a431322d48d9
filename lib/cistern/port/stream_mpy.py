"""The byte stream of MicroPython: non-blocking sockets and TLS by mbedTLS.

Connecting, the TLS handshake and, where a name server is known, the look-up of the name let other
tasks run, and so does every read and write. The handshake is done by the first write, because
only a write drives mbedTLS; its time counts towards connect()'s limit. ALPN is offered where the
firmware has Cistern's module for it (firmware/usermod/alpn).
"""

import asyncio
import errno
import os
import select
import socket
import ssl
from asyncio import core
from time import ticks_add, ticks_diff, ticks_ms

from cistern.errors import LinkError
from cistern.port import dns

try:
    import alpn
except ImportError:
    alpn = None

# Without it, the last part of an upload waits for the peer's delayed ACK, 40 ms.
_TCP_NODELAY = 1
_IPPROTO_TCP = 6
# A query is sent again after 1, 2 and 4 s, as resolvers do; 7 s without an answer is a failure.
_DNS_TRIES_MS = (1000, 2000, 4000)


def _os_error(e):
    if e.errno == errno.ECONNREFUSED:
        return "connection refused"
    if e.errno == errno.ECONNRESET:
        return "connection reset by the other side"
    return errno.errorcode.get(e.errno) or str(e)


def context(tls):
    """An SSLContext from the dict that connect() takes."""
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    secure = not tls.get("insecure")
    # Some builds start with CERT_NONE: always say it.
    ctx.verify_mode = ssl.CERT_REQUIRED if secure else ssl.CERT_NONE
    whose = "CA"
    try:
        if secure:
            for der in _ders(tls.get("ca")):
                ctx.load_verify_locations(cadata=der)
        if tls.get("cert"):
            whose = "client"
            ctx.load_cert_chain(_ders(tls["cert"])[0], _ders(tls["key"])[0])
    except ValueError as e:
        text = f"the {whose} certificates cannot be read: {e}"
        raise LinkError("tls", text, False) from None
    return ctx


def _ders(given):
    """The DER objects in what was given as DER or as PEM."""
    if given and given[0] == 0x30:  # a SEQUENCE, what DER of all these begins with
        return (given,)
    from cistern.port.pem import ders

    return ders(given)


class Stream:
    """A TCP connection, with TLS or without. on_write: None, or called before each write."""

    on_write = None

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
        if self.on_write:
            self.on_write()
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
                if alpn and self._name:
                    self.alpn = alpn.selected(self._sock)
                self._name = None
                buf = buf[n:]

    def _broken(self, e):
        """The LinkError of a failure: the first one, because only that has mbedTLS's reason."""
        if not self._error:
            if self._name:
                from cistern.port.tls_why import tls_error

                self._error = tls_error(e, self._name)
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


async def resolve(host, look_up=None):
    """An address for a name. An address is returned as it is, without any look-up.

    look_up: see connect().
    """
    if ":" in host or not host.strip("0123456789."):
        return host
    known, server = look_up(host) if look_up else (None, None)
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


async def _dial(host, port, tls, deadline, look_up):
    address = await resolve(host, look_up)
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
            if alpn:
                alpn.set(("h2",))  # for this context only: other programs may want HTTP/1.1
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
        if alpn:
            alpn.set(None)
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


async def connect(host, port, tls=None, timeout_ms=20000, look_up=None):
    """Open a byte stream to host:port; returns a Stream, raises LinkError (dns, connect, tls).

    tls: None for clear text, or a dict: ca (PEM of one or several certificates, or DER),
    server_name (when host is not the name in the certificate), cert and key (this client's own),
    insecure (True: nothing about the server is verified).
    timeout_ms: for the name, the connection and the handshake together.
    look_up(host): (its address if that is known, else None; the (address, port) of a name server,
    or None for the system's look-up, which blocks); None: the system's.
    """
    deadline = ticks_add(ticks_ms(), timeout_ms)
    try:
        return await asyncio.wait_for_ms(_dial(host, port, tls, deadline, look_up), timeout_ms)
    except asyncio.TimeoutError:
        raise LinkError(
            "connect", f"no connection to {host} port {port} within {timeout_ms} ms"
        ) from None
