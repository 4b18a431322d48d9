"""One request on its way to the receiver, its answer on the way back, and what befalls them."""

import asyncio
from dataclasses import dataclass

import h2.exceptions
from viam.gen.app.datasync.v1.data_sync_pb2 import DataCaptureUploadRequest

from chaos.peer import Answer
from chaos.wire import Cut
from cistern_tools.receiver import parcels

PREFIX = 5
HANG_S = 2.0  # longer than the board waits for an answer
UPLOAD = b"/viam.app.datasync.v1.DataSyncService/DataCaptureUpload"
GRPC = (b":status", b"200"), (b"content-type", b"application/grpc")
MESSAGE = b"%C3%A4 status for a test"
OK_STATUS, INTERNAL = 0, 13
OK = (b"grpc-status", b"0")
# An answer within this time came before the board's deadline, whatever its clock says.
PROMPT_S = 0.5


@dataclass
class Upload:
    """What the proxy saw of one upload. parcels: "sector.index"es, None if it did not look.

    began, ended: second. told: the status the board got. sure: nothing kept it from hearing it.
    """

    began: float
    ended: float
    parcels: list | None = None
    told: int | None = None
    sure: bool = False


class Exchange:
    """A request. committed: the receiver said that it has it; told: the status the board got.

    bit: the fault that was to befall it did so; the board or the receiver may have gone before.
    """

    def __init__(self, session, stream, headers):
        self.session = session
        self.stream = stream
        self.headers = headers
        self.chunks = asyncio.Queue()
        self.body = b""
        self.gone = self._all = False
        self.committed = self.bit = False
        self.told = None
        self._up = None
        self._upload = dict(headers).get(b":path") == UPLOAD

    async def run(self, fault):
        """Take the request to its end, good or bad."""
        weather = self.session.proxy.weather
        since = weather.now()
        try:
            if fault:
                await getattr(self, "_" + fault.act)(**fault.more)
            else:
                await self.deliver(await self.answer())
        finally:
            if self.bit:
                weather.meet(fault, since, committed=self.committed, told=self.told)
            if self._upload:
                self._note(since, weather.now(), not fault or fault.act == "status")

    def _note(self, began, ended, plain):
        names = None
        if self._all:
            metadata = DataCaptureUploadRequest.FromString(self.body[PREFIX:]).metadata
            named = parcels.parse(metadata.file_name)
            names = [f"{p.sector}.{p.index}" for p in named.parcels] if named else []
        sure = plain and self.told is not None and ended - began < PROMPT_S
        self.session.note(Upload(began, ended, names, self.told, sure))

    def given_up(self):
        """The board does not want the answer any more."""
        self.gone = True
        self.chunks.put_nowait(None)

    # The parts of an exchange.

    async def read(self, forward, part=1.0):
        """Read the request, or some part of it, and pass it on to the receiver or not."""
        up = self.session.up
        if forward and self._up is None:
            self._up = up.begin(self.headers)
        while not self._all:
            chunk = await self.chunks.get()
            if chunk is None:
                self._all = not self.gone
                break
            self.body += chunk
            if forward:
                await up.peer.send_data(self._up, chunk)
            size = PREFIX + int.from_bytes(self.body[1:PREFIX], "big")
            if part < 1 and len(self.body) >= part * size:
                return
        if self.gone:
            raise Cut
        if forward:
            await up.peer.send_data(self._up, b"", True)
            self._moment("request")

    def _moment(self, what):
        if self._upload:
            self.session.proxy.moments.reached(what)

    async def answer(self):
        """Have the receiver answer; from here on it may have stored what the request brought."""
        await self.read(True)
        answer = await self.session.up.answer(self._up)
        self.committed = answer.status == 0
        return answer

    async def deliver(self, answer):
        """Give the board an answer."""
        self._queue_headers(answer)
        if answer.data:
            await self.session.peer.send_data(self.stream, answer.data, answer.trailers is None)
        if answer.trailers is not None:
            self.session.peer.h2.send_headers(self.stream, answer.trailers, end_stream=True)
        await self.session.peer.flush()
        if self.session.wire.open and not self.gone:
            self.told = answer.status
            if answer.status == OK_STATUS:
                self._moment("answer")

    def _queue_headers(self, answer):
        bare = not answer.data and answer.trailers is None
        self.session.peer.h2.send_headers(self.stream, answer.headers, end_stream=bare)

    async def reply(self, headers, data=b"", trailers=None):
        """Give the board an answer of our own."""
        answer = Answer()
        answer.headers, answer.data, answer.trailers = list(headers), data, trailers
        await self.deliver(answer)

    async def _until(self, when):
        """Before a fault: early: at once. late: all was read. committed: the receiver has it."""
        if when == "late":
            await self.read(False)
        elif when != "early":
            return await self.answer()
        return None

    def _cut(self, how):
        self._bites()
        self.session.wire.cut(how)
        raise Cut

    def _bites(self):
        """The fault takes effect, if there is still someone to notice it."""
        self.bit = self.session.wire.open and not self.gone

    # What can befall it.

    async def _cut_before(self, how):
        self._cut(how)

    async def _cut_request(self, how, at):
        await self.read(True, at)
        self._cut(how)

    async def _cut_answer(self, how, at):
        answer = await self.answer()
        self._queue_headers(answer)
        if answer.data:
            self.session.peer.h2.send_data(self.stream, answer.data)
        if answer.trailers is not None:
            self.session.peer.h2.send_headers(self.stream, answer.trailers, end_stream=True)
        self._bites()
        await self.session.send_part(at, how)

    async def _cut_after(self, how):
        await self.deliver(await self.answer())
        self._cut(how)

    async def _lose_answer(self, how):
        await self.answer()
        if how == "silence":
            self._bites()
            await self._wait_given_up()
        else:
            self._cut(how)

    async def _wait_given_up(self):
        try:
            async with asyncio.timeout(HANG_S):
                while not self.gone:
                    await self.chunks.get()
        except TimeoutError:
            self._cut("reset")

    async def _status(self, status, only, when):
        await self._until(when)
        self._bites()
        said = [(b"grpc-status", b"%d" % status), (b"grpc-message", MESSAGE)]
        if only:
            await self.reply((*GRPC, *said))
        else:
            await self.reply(GRPC, trailers=said)
        if status == 0:
            self.told = INTERNAL  # what a client makes of OK without an answer

    async def _http(self, status, when):
        await self._until(when)
        self._bites()
        await self.reply(
            [(b":status", b"%d" % status), (b"content-type", b"text/html")],
            b"<html>a proxy's page</html>",
        )

    async def _reset(self, code, when):
        await self._until(when)
        self._bites()
        self.session.peer.h2.reset_stream(self.stream, code)
        await self.session.peer.flush()

    async def _goaway(self, code, when):
        """refused: it was not looked at; served: this request still is; committed: a lie."""
        if when == "served":
            self._bites()
            await self.session.goaway(self.stream, code)
            await self.deliver(await self.answer())
        else:
            await self._until("early" if when == "refused" else when)
            self._bites()
            await self.session.goaway(self.stream - 2 if self.stream > 1 else 0, code)
        self.session.hang_up(False)

    async def _broken_answer(self, what, when):
        await self._until(when)
        self._bites()
        message = b"\0\0\0\0\4\x0a\2f1"
        if what == "short":
            await self.reply(GRPC, message[:-2], [OK])
        elif what == "compressed":
            await self.reply(GRPC, b"\1" + message[1:], [OK])
        elif what == "two":
            await self.reply(GRPC, message * 2, [OK])
        elif what == "no status":
            await self.reply(GRPC, message, [(b"x-other", b"1")])
        elif what == "no headers":
            await self.session.raw_data(self.stream, message)
        else:
            await self.session.peer.flush(bytes(range(200)))
        self.told = None

    async def _stall(self, where, seconds):
        if where == "answer":
            answer = await self.answer()
            self._bites()
            await asyncio.sleep(seconds)
        else:
            self._bites()
            self.session.peer.go.clear()
            await asyncio.sleep(seconds)
            self.session.peer.go.set()
            answer = await self.answer()
        if not self.gone:
            await self.deliver(answer)

    async def _drip(self, where):
        wire = self.session.wire
        wire.dripped = 0
        wire.slow = where == "request"
        try:
            answer = await self.answer()
            wire.slow = where == "answer"
            await self.deliver(answer)
        except h2.exceptions.StreamClosedError:
            pass  # the board gave up in the meantime
        finally:
            wire.slow = False
            self.bit = wire.dripped > 0
