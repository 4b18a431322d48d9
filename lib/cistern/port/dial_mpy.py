"""Opening the byte stream of MicroPython: the name's address, the connection, what TLS is told.

Borrowed by stream_mpy: the memory of this is needed for the handshake, which comes after it.
"""

import asyncio
import errno
import select
import socket
import ssl
from asyncio import core
from time import ticks_add, ticks_ms

from cistern.borrow import borrow
from cistern.errors import LinkError
from cistern.port.pem import authority, ders
from cistern.port.stream_mpy import Stream, alpn

# Without it, the last part of an upload waits for the peer's delayed ACK, 40 ms.
_TCP_NODELAY = 1
_IPPROTO_TCP = 6


async def connect(host, port, tls=None, timeout_ms=20000, look_up=None, room=None):
    """Open a byte stream to host:port; returns a Stream, raises LinkError (dns, connect, tls).

    tls: None for clear text, or a dict: ca (PEM of one or several certificates, or DER) or ca_file
    (the path of such a file, which is read each time), server_name (when host is not the name in
    the certificate), cert and key (this client's own), insecure (True: nothing about the server
    is verified).
    timeout_ms: for the name, the connection and the handshake together.
    look_up(host): (its address if that is known, else None; the (address, port) of a name server,
    or None for the system's look-up, which blocks); None: the system's.
    room: None, or awaited when all is loaded: the connection, and TLS, then take memory.
    """
    deadline = ticks_add(ticks_ms(), timeout_ms)
    try:
        sock, name = await asyncio.wait_for_ms(_dial(host, port, tls, look_up, room), timeout_ms)
    except asyncio.TimeoutError:
        raise LinkError(
            "connect", f"no connection to {host} port {port} within {timeout_ms} ms"
        ) from None
    return Stream(sock, name, deadline)


async def _context(tls, room):
    """An SSLContext from the dict that connect() takes; see there for `room`, too."""
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    secure = not tls.get("insecure")
    # Some builds start with CERT_NONE: always say it.
    ctx.verify_mode = ssl.CERT_REQUIRED if secure else ssl.CERT_NONE
    whose = "CA"
    try:
        found = _ders(authority(tls)) if secure else ()
        if room:
            await room()
        for der in found:
            ctx.load_verify_locations(cadata=der)
        if tls.get("cert"):
            whose = "client"
            ctx.load_cert_chain(_ders(tls["cert"])[0], _ders(tls["key"])[0])
    except (OSError, ValueError) as e:
        raise _failure("tls", f"the {whose} certificates cannot be read", e, False) from None
    return ctx


def _ders(given):
    """The DER objects in what was given as DER or as PEM."""
    if given and given[0] == 0x30:  # a SEQUENCE, what DER of all these begins with
        return (given,)
    return ders(given)


async def _dial(host, port, tls, look_up, room):
    """(socket, name of the server that a TLS handshake is to verify, or None); see
    connect(). Raises LinkError.
    """
    address = await borrow("cistern.port.names_mpy").resolve(host, look_up)
    try:
        family, kind, _, _, where = socket.getaddrinfo(address, port, 0, socket.SOCK_STREAM)[0]
    except OSError as e:
        raise _failure("dns", f"the name {host} cannot be resolved", e) from None
    done = False
    sock = None
    try:
        sock = socket.socket(family, kind)
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
        if not tls:
            if room:
                await room()
        else:
            name = tls.get("server_name") or host
            context = await _context(tls, room)
            if alpn:
                alpn.set(("h2",))  # for this context only: other programs may want HTTP/1.1
            stream = context.wrap_socket(sock, server_hostname=name, do_handshake_on_connect=False)
        done = True
        return stream, name
    except (OSError, MemoryError) as e:
        raise _failure("connect", f"cannot connect to {host} port {port}", e) from None
    finally:
        if alpn:
            alpn.set(None)
        if sock and not done:
            sock.close()


def _failure(*what):
    return borrow("cistern.port.link_why").failure(*what)


def _writable(sock):
    """Wait until a connection attempt is over; raises OSError when it failed."""
    yield core._io_queue.queue_write(sock)
    poll = select.poll()
    # An ESP32 tells of errors only who asks for them; to others a refused connection is writable.
    poll.register(sock, select.POLLOUT | select.POLLERR | select.POLLHUP)
    for _, flags in poll.poll(0):
        if flags & (select.POLLERR | select.POLLHUP):
            sock.recv(1)  # raises what went wrong
            raise OSError(errno.ECONNRESET)
