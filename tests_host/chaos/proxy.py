"""The hostile network: TLS and HTTP/2 towards the board, the same towards the receiver."""

import asyncio
import contextlib

import h2.events
import h2.exceptions
from hyperframe.frame import DataFrame, GoAwayFrame

from chaos.exchange import Exchange
from chaos.peer import Peer, Upstream
from chaos.wire import READ, Cut, Tls, Wire

# Of the server's side of a handshake (679 at least), and of a small upload: where a cut "at any
# byte" may fall.
HANDSHAKE_BYTES = 650
TUNNEL_BYTES = {"up": 2500, "down": 1500}
HEARD_S = 1.0  # in which a board has dealt with an answer
HANG_S = 1.2  # a silent connection is given up in the end
HTTP_1 = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class Moments:
    """Lets one wait for the next upload to come to some point."""

    def __init__(self):
        self._waiting = {"request": [], "answer": []}

    def reached(self, what):
        """An upload was passed on ("request"), or answered with OK ("answer")."""
        for future in self._waiting[what]:
            if not future.done():
                future.set_result(None)
        self._waiting[what].clear()

    async def next(self, what, timeout):
        """Whether it was reached in time."""
        future = asyncio.get_running_loop().create_future()
        self._waiting[what].append(future)
        await asyncio.wait([future], timeout=timeout)
        return future.done()


class Proxy:
    """Listens for the board.

    contexts: {"good": SSLContext, and those of CATALOGUE's wrong certificates}. receiver: an
    object with .port (None while it is down), .ca and .name. uploads: of exchange. fooled:
    which wrong certificates the board took for good. defects: what went wrong in here.
    """

    def __init__(self, weather, contexts, receiver):
        self.weather = weather
        self.contexts = contexts
        self.receiver = receiver
        self.away = False  # the network is: nothing is accepted
        self.uploads = []
        self.fooled = []
        self.defects = []
        self.moments = Moments()
        self.sessions = set()
        self._wrong = []  # certificates for the next handshakes
        self._tasks = set()
        self._server = None

    async def open(self):
        """Start to listen; the port."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self._server.sockets[0].getsockname()[1]

    async def close(self):
        """Stop listening and cut what is left."""
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def hang_up(self, at_once=False):
        """Cut connections between two requests, so that the next request needs a new one."""
        for session in list(self.sessions):
            session.hang_up(at_once)

    def _accept(self, reader, writer):
        self.watch(self._tasks, self._connection(Wire(reader, writer)))

    def watch(self, tasks, job):
        """Run a job, which is in `tasks` until it ends; no failure of it goes unnoticed."""

        def over(task):
            tasks.discard(task)
            if not task.cancelled() and task.exception():
                self.defects.append(task.exception())

        task = asyncio.create_task(job)
        tasks.add(task)
        task.add_done_callback(over)

    async def _connection(self, wire):
        try:
            if self.away:
                raise Cut
            fault = self.weather.take("connect")
            if fault:
                since = self.weather.now()
                outcome = await getattr(self, "_" + fault.act)(wire, **fault.more)
                if outcome is not None:
                    self.weather.meet(fault, since, **outcome)
            elif self._wrong:
                await self._wrong_certificate(wire, self._wrong.pop())
            else:
                await self._serve(wire)
        except Cut:
            pass
        finally:
            wire.cut()

    async def _serve(self, wire):
        try:
            up = await Upstream.open(self.receiver.port, self.receiver.ca, self.receiver.name)
        except (OSError, TypeError):  # it is down
            raise Cut from None
        try:
            tls = Tls(wire, self.contexts["good"])
            await tls.handshake()
            await Session(self, wire, tls, up).run()
        finally:
            up.close()

    # What can happen to a connection. Each returns what is known of it, or None if it did not.

    async def _refuse(self, wire, how):
        wire.cut(how)
        return {}

    async def _certificate(self, wire, which, times):
        self._wrong = [which] * (times - 1)
        return await self._wrong_certificate(wire, which)

    async def _wrong_certificate(self, wire, which):
        if await self._handshake(wire, self.contexts[which]):
            self.fooled.append(which)
            return None
        # Hung up in the middle of it, and not before the certificate was sent.
        return {} if wire.sent else None

    async def _handshake(self, wire, context):
        """Whether it came to its end, and the board said something after it."""
        with contextlib.suppress(Cut):
            tls = Tls(wire, context)
            await tls.handshake()
            return bool(await tls.recv())
        return False

    async def _handshake_cut(self, wire, how, at):
        wire.how = how
        wire.left_out = 1 + int(at * HANDSHAKE_BYTES)
        await self._handshake(wire, self.contexts["good"])
        return {} if not wire.left_out else None

    async def _handshake_stall(self, wire, seconds):
        await asyncio.sleep(seconds)
        return {}

    async def _no_tls(self, wire):
        asked = await wire.recv()
        await wire.send(HTTP_1)
        return {} if asked else None

    async def _tunnel(self, wire, way, at, how):
        """The board talks to the receiver itself, until the connection ends at some byte."""
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.receiver.port or 1)
        except OSError:
            raise Cut from None
        left = 1 + int(at * TUNNEL_BYTES[way])
        if way == "up":
            wire.left_in = left
        else:
            wire.left_out = left
        wire.how = how
        silent = asyncio.Event()
        wire.on_limit = silent.set

        async def up():
            while data := await wire.recv():
                writer.write(data)
                await writer.drain()

        async def down():
            while data := await reader.read(READ):
                await wire.send(data)

        async def over():
            await silent.wait()
            await asyncio.sleep(HANG_S if how == "silence" else 0)

        tasks = [asyncio.create_task(job()) for job in (up, down, over)]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            writer.transport.abort()
        return {"committed": None} if silent.is_set() else None


class Session:
    """One connection of the board, and one to the receiver for it."""

    def __init__(self, proxy, wire, tls, upstream):
        self.proxy = proxy
        self.wire = wire
        self.up = upstream
        self.peer = Peer(tls, False)
        self.exchanges = {}
        self._tasks = set()
        self._tls = tls
        self._ending = False
        self._last = []  # uploads

    def note(self, upload):
        """An upload is over."""
        self.proxy.uploads.append(upload)
        self._last.append(upload)

    async def run(self):
        """Until the connection ends."""
        self.proxy.sessions.add(self)
        try:
            await self.peer.run(self._on)
        finally:
            self.proxy.sessions.discard(self)
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            # What was said just before the end may not have been heard, or not been acted upon.
            now = self.proxy.weather.now()
            for upload in self._last:
                upload.sure = upload.sure and now - upload.ended > HEARD_S

    def _on(self, event):
        if isinstance(event, h2.events.RequestReceived):
            exchange = Exchange(self, event.stream_id, event.headers)
            self.exchanges[event.stream_id] = exchange
            self.proxy.watch(self._tasks, self._answer(exchange))
            return
        exchange = self.exchanges.get(getattr(event, "stream_id", 0))
        if exchange is None:
            return
        if isinstance(event, h2.events.DataReceived):
            exchange.chunks.put_nowait(event.data)
        elif isinstance(event, h2.events.StreamEnded):
            exchange.chunks.put_nowait(None)
        elif isinstance(event, h2.events.StreamReset):
            exchange.given_up()

    async def _answer(self, exchange):
        try:
            await exchange.run(self.proxy.weather.take("call"))
        except (Cut, h2.exceptions.ProtocolError):
            # A stream that the board gave up is no reason to end the connection.
            if not exchange.gone:
                self.wire.cut()
        finally:
            self.exchanges.pop(exchange.stream, None)
        if self._ending and not self.exchanges:
            self.wire.cut("end")

    def hang_up(self, at_once):
        """End the connection when no request is under way."""
        self._ending = True
        if at_once or not self.exchanges:
            self.wire.cut()

    async def send_part(self, at, how):
        """Send what HTTP/2 has to say up to some byte, then end the connection."""
        data = self.peer.h2.data_to_send()
        self.wire.how = how
        self.wire.left_out = 1 + int(at * (len(data) + 21))  # a record's header, type and tag
        await self._tls.send(data)
        raise Cut

    async def goaway(self, last, code):
        """GOAWAY without h2's knowledge, which would send nothing after it."""
        await self.peer.flush(GoAwayFrame(0, last_stream_id=last, error_code=code).serialize())

    async def raw_data(self, stream, data):
        """DATA that h2 would not send now."""
        await self.peer.flush(DataFrame(stream, data, flags=["END_STREAM"]).serialize())
