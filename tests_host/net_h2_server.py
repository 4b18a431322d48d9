"""An HTTP/2 server on h2_server.Server for h2spec, on either interpreter: net_h2_server.py PORT

Answers each request with a body of 100 bytes, as the client's windows allow.
"""

import asyncio
import sys

from cistern.net.events import DATA, END, HEADERS, RESET
from cistern.net.h2_server import Server

BODY = b"x" * 100
HEAD = [(b":status", b"200"), (b"content-length", b"100")]


class Session:
    def __init__(self, writer):
        # h2spec compresses with a table of 4,096 bytes whatever SETTINGS_HEADER_TABLE_SIZE says.
        self.conn = Server(limit=16384, max_streams=100, table=4096)
        self.writer = writer
        self.left = {}  # bytes of body still to send, by stream

    def on(self, events):
        for event in events:
            kind, st = event[0], event[1]
            if kind == DATA:
                self.conn.consumed(st, len(event[2]))
            elif kind == END and st.closed < 3:
                self.conn.headers(st, HEAD)
                self.left[st] = len(BODY)
            elif kind == RESET:
                self.left.pop(st, None)
            elif kind == HEADERS:
                st.owner = self

    def body(self):
        for st in list(self.left):
            n = min(self.left[st], self.conn.sendable(st))
            end = n == self.left[st]
            if n:
                frame = bytearray(9)
                self.conn.data_header(frame, 0, st, n, end)
                self.writer.write(bytes(self.conn.take()) + bytes(frame) + BODY[:n])
                self.left[st] -= n
            if end:
                del self.left[st]


async def serve(reader, writer):
    session = Session(writer)
    try:
        while True:
            data = await reader.read(4096)
            session.on(session.conn.receive(data))
            if not session.conn.error:
                session.body()
            writer.write(bytes(session.conn.take()))
            await writer.drain()
            if not data or session.conn.error:
                break
        if data:  # what still comes is read, so that our GOAWAY is not overtaken by a reset
            await asyncio.wait_for(drain(reader), 0.2)
    except Exception:  # the connection broke, or the time is over
        pass
    try:
        writer.close()
        await writer.wait_closed()  # MicroPython closes here
    except OSError:
        pass


async def drain(reader):
    while await reader.read(4096):
        pass


async def main():
    await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1]))
    while True:
        await asyncio.sleep(60)


asyncio.run(main())
