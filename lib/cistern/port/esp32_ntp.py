"""The time from the network, once after power came: TLS checks certificates against a clock, so it
cannot come from the cloud's answers alone (RFC 5905, section 14: an SNTP client).
"""

import asyncio
import os
import socket
from asyncio import core

from cistern.borrow import borrow
from cistern.errors import LinkError

SERVER = "pool.ntp.org"
_PORT = 123
_SIZE = 48  # of a packet; what may follow in it is of no use
_ANSWER_MS = 2000
# A time server that is so near to what was wrong is wrong again.
_SAME_US = 3600000000


async def learn(net, port):
    """Set the clock; where there is no time, port.no_time says why.

    net: see esp32_net.py. Where no certificate was valid at the time that the server gives, as
    also where it gives none, the clock is at what the board remembers, until somebody knows
    better.
    """
    doubted = net.doubted
    net.doubted = False
    if doubted:
        net.wrong = port.at_least_us() - port.uptime_us()
    try:
        found = await utc_us(port, net.look_up)
        if abs(found - port.uptime_us() - net.wrong) > _SAME_US:
            port.set_clock(found)
            port.no_time = None
            return
        why = "no certificate is valid at the time server's time"
    except (LinkError, OSError, ValueError, MemoryError, asyncio.TimeoutError) as e:
        why = str(e) or "no answer"
    if doubted and port.utc_us() is not None:
        port.forget_clock()
    if why != port.no_time:
        port.no_time = why
        port.log("warning", "no time by NTP: %s" % why)


async def utc_us(port, look_up):
    """Microseconds since 1970. Raises LinkError, OSError, ValueError, asyncio.TimeoutError.

    The server is "ntp" of NVS, host or host:port, or else pool.ntp.org. look_up: see stream_mpy.
    """
    host, _, number = (port.setting("ntp") or SERVER).partition(":")
    address = await borrow("cistern.port.names_mpy").resolve(host, look_up)
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        # Nothing is received from anybody else.
        sock.connect(socket.getaddrinfo(address, int(number or _PORT))[0][-1])
        return await asyncio.wait_for_ms(_ask(port, sock), _ANSWER_MS)
    finally:
        sock.close()


def _ask(port, sock):
    ntp = borrow("cistern.port.ntp")
    origin = os.urandom(8)
    sent = port.uptime_us()
    sock.send(ntp.query(origin))
    while True:
        yield core._io_queue.queue_read(sock)
        found = ntp.answer(origin, sock.recv(_SIZE), port.floor_s())
        if found:
            return found + (port.uptime_us() - sent) // 2
