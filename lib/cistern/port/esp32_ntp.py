"""The time from the network, once after power came: TLS checks certificates against a clock, so it
cannot come from the cloud's answers alone (RFC 5905, section 14: an SNTP client).
"""

import asyncio
import os
import socket
from asyncio import core
from struct import unpack

from cistern.borrow import borrow

SERVER = "pool.ntp.org"
_PORT = 123
_ANSWER_MS = 2000
# Seconds from 1900 to 1970 (section 6), and when they are counted anew: right until 2106.
_EPOCH = 2208988800
_ERA = 1 << 32


async def utc_us(port, look_up):
    """Microseconds since 1970. Raises LinkError, OSError, asyncio.TimeoutError.

    The server is "ntp" of NVS, host or host:port, or else pool.ntp.org. look_up: see stream_mpy.
    """
    host, _, number = (port.setting("ntp") or SERVER).partition(":")
    address = await borrow("cistern.port.names_mpy").resolve(host, look_up)
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        sock.connect(socket.getaddrinfo(address, int(number or _PORT))[0][-1])
        return await asyncio.wait_for_ms(_ask(port, sock), _ANSWER_MS)
    finally:
        sock.close()


def _ask(port, sock):
    query = bytearray(48)
    query[0] = 0x23  # version 4, client
    # Not a time, but something that only the server who got it can give back.
    query[40:] = os.urandom(8)
    sent = port.uptime_us()
    sock.send(query)
    while True:
        yield core._io_queue.queue_read(sock)
        found = sock.recv(48)
        # From a server (mode 4) that has the time (stratum 1 to 15).
        if found[24:32] == query[40:] and found[0] & 7 == 4 and 0 < found[1] < 16:
            seconds, fraction = unpack(">II", found[40:])
            late = (port.uptime_us() - sent) // 2
            return (seconds - _EPOCH) % _ERA * 1000000 + (fraction * 15625 >> 26) + late
