"""A name server for one name, which can fail in all the ways that they do."""

import asyncio
import os
import struct

NAME = "cloud.chaos.test"
_RECORD = struct.pack(">HHHIH", 0xC00C, 1, 1, 60, 4)  # a pointer to the question; A, IN, TTL
_CODES = {"server failure": 2, "no such name": 3}
HOME, ELSEWHERE = bytes((127, 0, 0, 1)), bytes((127, 0, 0, 2))  # nobody listens on the second


class NameServer(asyncio.DatagramProtocol):
    """Answers 127.0.0.1, unless the weather says otherwise."""

    def __init__(self, weather):
        self._weather = weather
        self._transport = None
        self.port = None
        self.away = False

    async def open(self):
        """Start to listen; the port."""
        loop = asyncio.get_running_loop()
        await loop.create_datagram_endpoint(lambda: self, local_addr=("127.0.0.1", 0))
        self.port = self._transport.get_extra_info("sockname")[1]
        return self.port

    def close(self):
        """Stop."""
        self._transport.close()

    def connection_made(self, transport):
        """Of asyncio: the socket is there."""
        self._transport = transport

    def datagram_received(self, data, addr):
        """Of asyncio: a query."""
        if self.away:
            return
        fault = self._weather.take("dns")
        what = fault.more["what"] if fault else None
        if fault:
            self._weather.meet(fault)
        if what == "silence":
            return
        code = _CODES.get(what, 0)
        found = 0 if code else 1
        answer = data[:2] + struct.pack(">HHHHH", 0x8180 | code, 1, found, 0, 0) + data[12:]
        if what == "garbage":
            answer = answer[:12] + os.urandom(40)
        elif found:
            answer += _RECORD + (ELSEWHERE if what == "elsewhere" else HOME)
        self._transport.sendto(answer, addr)
