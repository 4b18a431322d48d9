"""HTTP/2 by the h2 library over a channel: one side of the proxy."""

import asyncio
import contextlib
import ssl

import h2.config
import h2.connection
import h2.events
import h2.exceptions

from chaos.wire import Cut, Plain


class Peer:
    """A connection: events go to on_event(event), what is sent respects the other's windows."""

    def __init__(self, channel, client):
        config = h2.config.H2Configuration(client_side=client, header_encoding=None)
        self.h2 = h2.connection.H2Connection(config)
        self.channel = channel
        self.go = asyncio.Event()  # cleared: nothing is read
        self.go.set()
        self._lock = asyncio.Lock()
        self._moved = asyncio.Event()

    async def run(self, on_event):
        """Until the connection ends."""
        self.h2.initiate_connection()
        try:
            await self.flush()
            while data := await self.channel.recv():
                for event in self.h2.receive_data(data):
                    if isinstance(event, h2.events.DataReceived) and event.flow_controlled_length:
                        self._take(event)
                    self._moved.set()
                    on_event(event)
                await self.flush()
                await self.go.wait()
        except (Cut, h2.exceptions.ProtocolError):
            pass

    def _take(self, event):
        with contextlib.suppress(h2.exceptions.StreamClosedError):
            self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)

    async def flush(self, raw=b""):
        """Send what h2 has to say, and `raw` behind it."""
        async with self._lock:
            data = self.h2.data_to_send() + raw
            if data:
                await self.channel.send(data)

    async def send_data(self, stream, data, end=False):
        """DATA, as the windows allow it. Raises ProtocolError when the stream is no more."""
        data = bytes(data)
        while True:
            n = min(
                len(data),
                self.h2.local_flow_control_window(stream),
                self.h2.max_outbound_frame_size,
            )
            if n or not data:
                self.h2.send_data(stream, data[:n], end and n == len(data))
                data = data[n:]
            await self.flush()
            if not data:
                return
            if not n:
                self._moved.clear()
                await self._moved.wait()


class Answer:
    """What came back: headers, data and trailers; whole: until the end of the stream."""

    def __init__(self):
        self.headers = []
        self.data = b""
        self.trailers = None

    @property
    def status(self):
        """The gRPC status, or None."""
        for name, value in self.trailers or self.headers:
            if name == b"grpc-status":
                return int(value)
        return None


class Upstream:
    """A connection to the receiver."""

    def __init__(self, reader, writer):
        self._plain = Plain(reader, writer)
        self.peer = Peer(self._plain, True)
        self._answers = {}
        self._task = asyncio.create_task(self._run())

    @classmethod
    async def open(cls, port, ca, name):
        """Raises OSError."""
        context = ssl.create_default_context(cafile=ca)
        context.set_alpn_protocols(["h2"])
        return cls(
            *await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=name)
        )

    async def _run(self):
        await self.peer.run(self._on)
        for _, done in self._answers.values():
            if not done.done():
                done.set_exception(Cut())
                done.exception()  # taken note of, also if nobody asks for it
        self._answers = None

    def begin(self, headers):
        """Open a stream; its number. Raises Cut when the receiver is gone."""
        if self._answers is None:
            raise Cut
        stream = self.peer.h2.get_next_available_stream_id()
        self.peer.h2.send_headers(stream, headers)
        self._answers[stream] = Answer(), asyncio.get_running_loop().create_future()
        return stream

    async def answer(self, stream):
        """The Answer on a stream. Raises Cut when there is none."""
        if self._answers is None:
            raise Cut
        return await self._answers[stream][1]

    def _on(self, event):
        answer, done = self._answers.get(getattr(event, "stream_id", 0), (None, None))
        if answer is None:
            return
        if isinstance(event, h2.events.ResponseReceived):
            answer.headers = event.headers
        elif isinstance(event, h2.events.DataReceived):
            answer.data += event.data
        elif isinstance(event, h2.events.TrailersReceived):
            answer.trailers = event.headers
        elif isinstance(event, h2.events.StreamEnded) and not done.done():
            done.set_result(answer)
        elif isinstance(event, h2.events.StreamReset) and not done.done():
            done.set_exception(Cut())
            done.exception()

    def close(self):
        """Cut it, whatever is under way."""
        self._plain.close()
        self._task.cancel()
