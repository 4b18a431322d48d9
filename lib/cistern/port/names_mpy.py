"""Looking up a name under MicroPython while other tasks run; borrowed."""

import asyncio
import os
import socket
from asyncio import core

from cistern.borrow import borrow
from cistern.port import dns, stream_mpy


async def resolve(host, look_up=None):
    """An address for a name. An address is returned as it is, without any look-up.

    look_up: see stream_mpy.connect().
    """
    if ":" in host or not host.strip("0123456789."):
        return host
    known, server = look_up(host) if look_up else (None, None)
    if known or not server:
        return known or host
    sock = None
    try:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setblocking(False)
        sock.connect(socket.getaddrinfo(server[0], server[1])[0][-1])
        ident = int.from_bytes(os.urandom(2), "big")
        for ms in stream_mpy.DNS_TRIES_MS:
            sock.send(dns.query(ident, host))
            try:
                return await asyncio.wait_for_ms(_reply(sock, ident), ms)
            except asyncio.TimeoutError:
                pass
        raise ValueError("the name server does not answer")
    except (OSError, ValueError) as e:
        text = f"the name {host} cannot be resolved"
        raise borrow("cistern.port.link_why").failure("dns", text, e) from None
    finally:
        if sock:
            sock.close()


def _reply(sock, ident):
    while True:
        yield core._io_queue.queue_read(sock)
        found = dns.answer(ident, sock.recv(dns.MAX_ANSWER))
        if found:
            return found
