"""Calls over a byte stream with a scripted server at its other end."""

import asyncio
import time
from struct import pack, unpack

from cistern.errors import GrpcError, LinkError
from cistern.net import streaming
from cistern.net.channel import Channel
from cistern.net.hpack import Decoder, encode
from cistern.sync.polite import Polite

OK = [(b":status", b"200"), (b"content-type", b"application/grpc"), (b"date", b"today")]
DONE = [(b"grpc-status", b"0")]
END_STREAM, ACK, END_HEADERS = 1, 1, 4
PATIENCE_S = 10


def frame(kind, flags=0, sid=0, payload=b""):
    n = len(payload)
    return pack(">BHBBI", n >> 16, n & 0xFFFF, kind, flags, sid) + payload


def headers(sid, fields, end=False):
    out = bytearray()
    encode(out, fields)
    return frame(1, END_HEADERS | (END_STREAM if end else 0), sid, bytes(out))


def message(data):
    return pack(">BI", 0, len(data)) + data


def reply(sid, data=b"pong"):
    """A whole answer to a unary call."""
    return headers(sid, OK) + frame(0, 0, sid, message(data)) + headers(sid, DONE, True)


class Server:
    """One connection's other end. on_frame(server, kind, flags, sid, payload) is what it does."""

    alpn = None

    def __init__(self, on_frame, first):
        self.on_frame = on_frame
        self.inbox = b""
        self.out = first
        self.event = asyncio.Event()
        self.eof = self.closed = False
        self.bodies = {}  # DATA by stream
        self.frames = []  # (kind, flags, sid)
        self.writes = []  # sizes
        self.stuck = False  # takes nothing any more

    def say(self, data):
        self.out += data
        self.event.set()

    def hang_up(self):
        self.eof = True
        self.event.set()

    async def readinto(self, buf):
        while not self.out and not self.eof and not self.closed:
            self.event.clear()
            await self.event.wait()
        n = 0 if self.closed else min(len(buf), len(self.out))
        buf[:n] = self.out[:n]
        self.out = self.out[n:]
        return n

    async def write(self, data):
        self.writes.append(len(data))
        while self.stuck:
            await asyncio.sleep(0.005)
            if self.closed:
                raise LinkError("connect", "closed")
        await asyncio.sleep(0)
        if self.closed or self.eof:
            raise LinkError("connect", "broken pipe")
        self.inbox += bytes(data)
        if self.inbox[:3] == b"PRI":
            self.inbox = self.inbox[24:]
        while len(self.inbox) >= 9:
            high, low, kind, flags, sid = unpack(">BHBBI", self.inbox[:9])
            n = 9 + (high << 16 | low)
            if len(self.inbox) < n:
                break
            payload = self.inbox[9:n]
            self.inbox = self.inbox[n:]
            self.frames.append((kind, flags, sid))
            if kind == 0:
                self.bodies.setdefault(sid, bytearray()).extend(payload)
            self.on_frame(self, kind, flags, sid, payload)

    def close(self):
        self.closed = True
        self.event.set()


def echo(server, kind, flags, sid, payload):
    """Answers a finished request with the first 100 bytes of it."""
    if kind == 0:
        server.say(frame(8, 0, 0, pack(">I", max(1, len(payload)))))
        if flags & END_STREAM:
            server.say(reply(sid, server.bodies[sid][5:105]))
        else:
            server.say(frame(8, 0, sid, pack(">I", max(1, len(payload)))))


def silent(server, kind, flags, sid, payload):
    pass


def play(test, on_frame=echo, firsts=(), alpn=None, **kwargs):
    """Run test(channel, servers) against as many connections as it makes."""
    servers = []

    turn = kwargs.pop("turn", None)

    async def connect():
        first = firsts[len(servers)] if len(servers) < len(firsts) else frame(4)
        handler = on_frame[len(servers)] if isinstance(on_frame, tuple) else on_frame
        server = Server(handler, first)
        server.alpn = alpn
        servers.append(server)
        return Polite(server, turn) if turn else server

    async def main():
        channel = Channel(connect, "host", kwargs.pop("scheme", "http"), **kwargs)
        await asyncio.wait_for(test(channel, servers), PATIENCE_S)
        await channel.close()
        for server in servers:
            assert server.closed

    asyncio.run(main())


async def error_of(awaitable):
    try:
        await awaitable
    except LinkError as e:
        return e
    raise AssertionError("no error")


async def until(condition):
    """Wait for what must become true."""
    while not condition():
        await asyncio.sleep(0.001)


def test_a_unary_call():
    async def test(channel, servers):
        assert not channel.connected()
        got = await channel.unary("/a/b", b"ping", (("k", "v"),))
        assert bytes(got.message) == b"ping" and got.headers["date"] == "today"
        assert got.trailers == {"grpc-status": "0"} and channel.connected()
        await channel.unary("/a/b", b"")
        assert len(servers) == 1  # one connection, many calls
        # The request left in one write: preface, SETTINGS, HEADERS and DATA.
        assert len([f for f in servers[0].frames if f[0] == 1]) == 2

    play(test)


def test_a_request_is_one_write():
    async def test(channel, servers):
        await channel.unary("/a/b", b"x" * 1000)
        assert servers[0].writes[0] > 1100

    play(test)


def test_large_metadata_goes_out_before_the_message():
    async def test(channel, servers):
        await channel.unary("/a/b", b"x" * 1000, (("authorization", "Bearer " + "t" * 3000),))
        assert servers[0].writes[0] > 3000 and len(servers[0].bodies[1]) == 1005

    play(test)


def test_a_large_message_is_streamed_within_the_windows():
    def pieces():
        for i in range(1000):
            yield b"%04d" % i * 25
            if not i % 100:
                yield b""

    async def test(channel, servers):
        got = await channel.unary("/a/b", pieces(), size=100000)
        body = servers[0].bodies[1]
        assert body[:5] == pack(">BI", 0, 100000) and len(body) == 100005
        assert body[5:] == b"".join(b"%04d" % i * 25 for i in range(1000))
        assert bytes(got.message) == body[5:105]
        # A frame and what goes before it are one write, of one size until the last.
        assert max(servers[0].writes) <= 1431 and len(servers[0].writes) < 80

    play(test)


def test_a_message_waits_for_the_window():
    async def test(channel, servers):
        await channel.unary("/a/b", b"")  # the SETTINGS are there
        servers[0].on_frame = silent
        servers[0].bodies = {}
        task = asyncio.create_task(channel.unary("/a/b", b"x" * 100))
        await until(lambda: len(servers[0].bodies.get(3, b"")) == 10)
        await asyncio.sleep(0.01)
        assert len(servers[0].bodies[3]) == 10
        servers[0].say(frame(8, 0, 3, pack(">I", 5)))
        await until(lambda: len(servers[0].bodies[3]) == 15)
        servers[0].say(frame(4, 0, 0, pack(">HI", 4, 1000)))
        await until(lambda: len(servers[0].bodies[3]) == 105)
        servers[0].say(reply(3))
        assert bytes((await task).message) == b"pong"

    play(test, firsts=(frame(4, 0, 0, pack(">HI", 4, 10)),))


def test_pieces_that_do_not_add_up():
    async def test(channel, servers):
        for pieces in ([b"abc"], [b"abcd", b"ef"]):
            try:
                await channel.unary("/a/b", iter(pieces), size=5)
            except ValueError as e:
                assert "size" in str(e)
            else:
                raise AssertionError(pieces)
        # The streams were given up, the connection goes on.
        await channel.unary("/a/b", b"")
        assert [f for f in servers[0].frames if f[0] == 3] == [(3, 0, 1), (3, 0, 3)]
        assert len(servers) == 1

    play(test)


def test_a_deadline():
    async def test(channel, servers):
        e = await error_of(channel.unary("/a/b", b"x", timeout_ms=30))
        assert e.layer == "deadline" and e.retry and e.maybe_seen and "30 ms" in str(e)
        await until(lambda: (3, 0, 1) in servers[0].frames)  # cancelled at the server
        assert channel.connected()

    play(test, silent)


def test_a_deadline_before_the_request_was_written():
    async def connect():
        await asyncio.sleep(5)

    async def main():
        channel = Channel(connect, "host", "http")
        e = await error_of(channel.unary("/a/b", b"x", timeout_ms=30))
        assert e.layer == "deadline" and not e.maybe_seen
        await channel.close()

    asyncio.run(main())


def test_a_write_cut_short_ends_the_connection():
    async def test(channel, servers):
        await channel.unary("/a/b", b"")
        servers[0].stuck = True
        e = await error_of(channel.unary("/a/b", b"x", timeout_ms=30))
        assert e.layer == "deadline" and not channel.connected() and servers[0].closed
        await channel.unary("/a/b", b"")
        assert len(servers) == 2

    play(test)


def test_a_status_other_than_ok():
    def refuse(server, kind, flags, sid, payload):
        if kind == 0:
            status = [(b"grpc-status", b"16"), (b"grpc-message", b"who%3F")]
            server.say(headers(sid, OK + status, True))

    async def test(channel, servers):
        e = await error_of(channel.unary("/a/b", b"x"))
        assert isinstance(e, GrpcError) and (e.status, e.message) == (16, "who?")
        assert len(servers) == 1 and len(servers[0].bodies) == 1  # not tried again

    play(test, refuse)


def test_an_early_answer_stops_the_upload():
    def early(server, kind, flags, sid, payload):
        if kind == 1:
            status = [(b"grpc-status", b"8")]
            server.say(headers(sid, OK + status, True))

    def pieces():
        for _ in range(1000):
            yield b"x" * 1000

    async def test(channel, servers):
        e = await error_of(channel.unary("/a/b", pieces(), size=1000000))
        assert e.status == 8
        await until(lambda: (3, 0, 1) in servers[0].frames)
        assert len(servers[0].bodies[1]) < 70000

    play(test, early)


def test_not_exactly_one_message():
    def odd(server, kind, flags, sid, payload):
        if kind == 0:
            body = b"" if sid == 1 else message(b"1") + message(b"2")
            server.say(headers(sid, OK) + frame(0, 0, sid, body) + headers(sid, DONE, True))

    async def test(channel, servers):
        for _ in range(2):
            e = await error_of(channel.unary("/a/b", b"x"))
            assert e.status == 13 and "one message" in str(e)

    play(test, odd)


def test_a_refused_call_is_tried_again_once():
    def refuse(times):
        def on_frame(server, kind, flags, sid, payload):
            if kind == 0:
                if sid < 2 * times:
                    server.say(frame(3, 0, sid, pack(">I", 7)))
                else:
                    server.say(reply(sid))

        return on_frame

    async def once(channel, servers):
        assert bytes((await channel.unary("/a/b", b"x")).message) == b"pong"

    async def twice(channel, servers):
        e = await error_of(channel.unary("/a/b", b"x"))
        assert e.layer == "http2" and e.retry and not e.maybe_seen and "REFUSED_STREAM" in str(e)

    async def stream(channel, servers):  # its pieces are used up
        e = await error_of(channel.unary("/a/b", iter([b"x"]), size=1))
        assert e.retry and not e.maybe_seen

    play(once, refuse(1))
    play(twice, refuse(2))
    play(stream, refuse(1))


def test_a_reset_call_may_have_been_seen():
    def reset(server, kind, flags, sid, payload):
        if kind == 0:
            server.say(frame(3, 0, sid, pack(">I", 2)))

    async def test(channel, servers):
        e = await error_of(channel.unary("/a/b", b"x"))
        assert e.layer == "http2" and e.maybe_seen and "INTERNAL_ERROR" in str(e)

    play(test, reset)


def test_an_answer_that_breaks_http2_on_its_stream():
    def bad(server, kind, flags, sid, payload):
        if kind == 0:
            server.say(headers(sid, [(b":status", b"200"), (b"Upper", b"x")]))

    async def test(channel, servers):
        e = await error_of(channel.unary("/a/b", b"x"))
        assert e.layer == "http2" and "PROTOCOL_ERROR" in str(e) and channel.connected()

    play(test, bad)


def test_goaway_moves_the_next_call_to_a_new_connection():
    def leave(server, kind, flags, sid, payload):
        if kind == 0 and flags & END_STREAM:
            server.say(reply(sid) + frame(7, 0, 0, pack(">II", sid, 0)))

    async def test(channel, servers):
        for n in range(3):
            await channel.unary("/a/b", b"x")
            await until(lambda n=n: servers[n].closed)
        assert len(servers) == 3

    play(test, leave)


def test_goaway_retries_what_was_not_seen_and_lets_the_rest_finish():
    def first(server, kind, flags, sid, payload):
        if kind == 0 and sid == 3:
            server.say(frame(7, 0, 0, pack(">II", 1, 0)))

    async def test(channel, servers):
        a = asyncio.create_task(channel.unary("/a/b", b"a"))
        await until(lambda: servers and 1 in servers[0].bodies)
        b = asyncio.create_task(channel.unary("/a/b", b"b"))
        await until(lambda: 3 in servers[0].bodies)
        servers[0].say(reply(1, b"late"))
        assert bytes((await a).message) == b"late"
        assert bytes((await b).message) == b"b" and len(servers) == 2
        assert servers[0].closed

    play(test, (first, echo))


def test_a_new_connection_waits_for_the_last_call_of_one_that_closes():
    """They have one buffer for what they write, and one for what they read."""
    data = bytes(range(250)) * 40

    def first(server, kind, flags, sid, payload):
        if kind == 0 and not server.out and len(server.bodies[sid]) > 3000:
            server.say(frame(7, 0, 0, pack(">II", 1, 0)))
            server.on_frame = echo
        echo(server, kind, flags, sid, payload)

    async def test(channel, servers):
        pieces = (data[i : i + 100] for i in range(0, len(data), 100))
        upload = asyncio.create_task(channel.unary("/up", pieces, size=len(data)))
        await until(lambda: servers and servers[0].on_frame is echo)
        for i in range(5):
            got = await channel.unary("/a/b", b"%d" % i * 60)
            assert bytes(got.message) == b"%d" % i * 60
        await upload
        assert bytes(servers[0].bodies[1][5:]) == data and len(servers) == 2

    async def turn():
        for _ in range(3):
            await asyncio.sleep(0)

    play(test, (first, echo), turn=turn)


def _ends_while_it_waits(end):
    """A call that ends, by what the server says, while it waits for another one's write."""

    async def test(channel, servers):
        await channel.unary("/a/b", b"x")
        server = servers[0]
        server.on_frame = silent
        slow = await streaming.start(channel, "/slow")
        call = await streaming.start(channel, "/up")
        await until(lambda: [f for f in server.frames if f[0] == 1 and f[2] == 5])
        server.stuck = True
        before = len(server.writes)
        writing = asyncio.create_task(slow.send(b"y" * 3000))
        await until(lambda: len(server.writes) > before)
        waiting = asyncio.create_task(call.send(b"z" * 3000, end=True))
        await asyncio.sleep(0)
        server.say(end)
        await until(lambda: call.error or call.done)
        server.stuck = False
        await writing
        try:
            await waiting
        except LinkError:
            pass
        # The connection lives, and no DATA followed on a stream that was over.
        server.on_frame = echo
        got = await channel.unary("/a/b", b"ping")
        assert bytes(got.message) == b"ping" and len(servers) == 1
        assert [f for f in server.frames if f[0] == 0 and f[2] == 5] == []
        call.release()
        slow.release()

    play(test)


def test_a_call_that_is_reset_while_it_waits_to_write():
    _ends_while_it_waits(frame(3, 0, 5, pack(">I", 8)))


def test_a_call_that_is_refused_while_it_waits_to_write():
    refused = headers(5, OK + [(b"grpc-status", b"3")], True)  # noqa: RUF005
    _ends_while_it_waits(refused + frame(3, 0, 5, pack(">I", 0)))


def test_a_window_that_opens_during_a_write_is_seen():
    """The call had no window left when it wrote what else there was to say."""
    data = b"x" * 70000

    async def test(channel, servers):
        await channel.unary("/a/b", b"x")
        server = servers[0]
        server.on_frame = silent
        upload = asyncio.create_task(channel.unary("/up", data))
        await until(lambda: len(server.bodies.get(3, b"")) == 65535)
        server.stuck = True
        before = len(server.writes)
        # An answer to a PING waits to be written when the sender finds the window shut.
        server.say(frame(6, 0, 0, b"12345678") + frame(8, 0, 3, pack(">I", 1)))
        await until(lambda: len(server.writes) > before)
        server.say(frame(8, 0, 0, pack(">I", 10000)) + frame(8, 0, 3, pack(">I", 10000)))
        await until(lambda: not server.out)
        await asyncio.sleep(0)
        server.on_frame = echo
        server.stuck = False
        assert bytes((await upload).message) == b"x" * 100

    play(test)


def test_a_connection_made_for_a_channel_that_was_closed_meanwhile():
    async def main():
        server = Server(silent, frame(4))
        asked, go = asyncio.Event(), asyncio.Event()

        async def connect():
            asked.set()
            await go.wait()
            return server

        channel = Channel(connect, "host", "http")
        call = asyncio.create_task(channel.unary("/a/b", b"x"))
        await asked.wait()
        await channel.close()
        go.set()
        try:
            await asyncio.wait_for(call, PATIENCE_S)
        except LinkError as e:
            assert not e.retry and e.layer == "call"
        assert server.closed and not server.writes

    asyncio.run(main())


def test_too_many_pings_makes_them_rarer():
    def calm(server, kind, flags, sid, payload):
        if kind == 0:
            server.say(reply(sid) + frame(7, 0, 0, pack(">II", sid, 11) + b"too_many_pings"))

    async def test(channel, servers):
        await channel.unary("/a/b", b"x")
        await until(lambda: servers[0].closed)
        assert channel.keepalive_ms == 120000

    play(test, calm)


def test_more_calls_than_the_server_takes_at_once():
    most = []

    def limited(server, kind, flags, sid, payload):
        if kind == 1:
            most.append(sid)
        elif kind == 0 and flags & END_STREAM:
            opened = [f for f in server.frames if f[0] == 1]
            assert len(opened) == (sid + 1) // 2  # the next one comes after this answer
            server.say(reply(sid))

    async def test(channel, servers):
        await channel.unary("/a/b", b"x")
        await asyncio.gather(*[channel.unary("/a/b", b"x") for _ in range(10)])
        assert len(most) == 11 and len(servers) == 1

    play(test, limited, firsts=(frame(4, 0, 0, pack(">HI", 3, 1)),))


def test_a_server_that_breaks_http2_hears_goaway():
    def bad(server, kind, flags, sid, payload):
        if kind == 0:
            server.say(frame(0, 0, 99, b"x") + b"y" * 1000)
        elif kind == 7:
            assert payload[4:8] == pack(">I", 1)
            server.hang_up()

    async def test(channel, servers):
        e = await error_of(channel.unary("/a/b", iter([b"x"]), size=1))
        assert e.layer == "http2" and "PROTOCOL_ERROR" in str(e) and e.maybe_seen
        await until(lambda: servers[0].closed)
        assert (7, 0, 0) in servers[0].frames

    play(test, bad)


def test_a_connection_that_ends():
    def hang_up(server, kind, flags, sid, payload):
        if kind == 0:
            server.hang_up()

    async def test(channel, servers):
        e = await error_of(channel.unary("/a/b", b"x"))
        assert e.layer == "connect" and e.retry and e.maybe_seen and len(servers) == 1

    play(test, hang_up)


def test_a_connection_that_breaks():
    def broken(server, kind, flags, sid, payload):
        async def fail(buf):
            raise LinkError("tls", "TLS broke", True)

        server.readinto = fail
        server.event.set()

    async def test(channel, servers):
        e = await error_of(channel.unary("/a/b", b"x"))
        assert e.layer == "tls" and str(e) == "TLS broke"

    async def no_memory(buf):
        raise MemoryError

    def full(server, kind, flags, sid, payload):
        server.readinto = no_memory

    async def memory(channel, servers):
        e = await error_of(channel.unary("/a/b", b"x"))
        assert "MemoryError" in str(e) and e.retry

    def once(handler):
        def on_frame(server, kind, flags, sid, payload):
            if kind == 0:
                handler(server, kind, flags, sid, payload)
                server.say(frame(4, ACK))

        return on_frame

    play(test, once(broken))
    play(memory, once(full))


def test_a_server_that_wants_alpn():
    def hang_up(server, kind, flags, sid, payload):
        server.hang_up()

    async def test(channel, servers):
        e = await error_of(channel.unary("/a/b", b"x"))
        assert e.layer == "tls" and "ALPN" in str(e) and not e.retry and not e.maybe_seen

    async def with_alpn(channel, servers):
        e = await error_of(channel.unary("/a/b", b"x"))
        assert e.layer == "connect"

    play(test, hang_up, firsts=(b"",), scheme="https")
    play(with_alpn, hang_up, firsts=(b"", b""), scheme="https", alpn="h2")
    play(with_alpn, hang_up, firsts=(b"", b""))


def test_an_idle_connection_is_pinged():
    def pong(server, kind, flags, sid, payload):
        echo(server, kind, flags, sid, payload)
        if kind == 6:
            server.say(frame(6, ACK, 0, payload))

    async def test(channel, servers):
        await channel.unary("/a/b", b"x")
        start = time.time()
        await until(lambda: len([f for f in servers[0].frames if f[0] == 6]) >= 4)
        assert channel.connected()
        # 50 ms of quiet and 10 ms for the answer, each time; a busy machine takes longer.
        assert time.time() - start > 4 * 0.05 + 3 * 0.01 - 0.02

    play(test, pong, keepalive_ms=50, answer_ms=10)


def test_frames_without_use_are_harmless_when_time_passes():
    async def test(channel, servers):
        await channel.unary("/a/b", b"x")
        for _ in range(3):
            servers[0].say(frame(0x55) * 900)
            await asyncio.sleep(0.1)  # four times what is waited until they are forgotten
        assert channel.connected()
        servers[0].say(frame(0x55) * 1100)
        await until(lambda: not channel.connected())

    play(test, keepalive_ms=100)


def test_a_connection_that_does_not_answer_a_ping_is_given_up():
    async def test(channel, servers):
        await channel.unary("/a/b", b"")
        servers[0].on_frame = silent
        e = await error_of(channel.unary("/a/b", b"x"))
        assert e.layer == "http2" and "PING" in str(e) and e.maybe_seen
        servers[-1].stuck = False
        await channel.unary("/a/b", b"")

    async def stuck(channel, servers):  # not even our PING gets out
        await channel.unary("/a/b", b"")
        servers[0].stuck = True
        await channel.unary("/a/b", b"x" * 9000)  # not seen by that server: tried again
        assert servers[0].closed and len(servers) == 2

    async def never(channel, servers):
        channel.keepalive_ms = 0
        await channel.unary("/a/b", b"")
        servers[0].on_frame = silent
        await error_of(channel.unary("/a/b", b"x", timeout_ms=50))
        assert not [f for f in servers[0].frames if f[0] == 6]

    play(test, keepalive_ms=20, answer_ms=20)
    play(stuck, keepalive_ms=20, answer_ms=20)
    play(never, keepalive_ms=20)


def test_a_bidirectional_call():
    def talk(server, kind, flags, sid, payload):
        if kind == 1:
            server.say(headers(sid, OK))
        elif kind == 0:
            if payload:
                server.say(frame(0, 0, sid, payload))
            if flags & END_STREAM:
                server.say(headers(sid, DONE, True))

    async def test(channel, servers):
        call = await streaming.start(channel, "/a/b", timeout_ms=5000)
        for n in range(5):
            await call.send(b"%d" % n)
            assert bytes(await call.receive()) == b"%d" % n
        await call.send([b"la", b"st"], 4, True)
        assert bytes(await call.receive()) == b"last"
        assert await call.receive() is None and call.trailers["grpc-status"] == "0"
        call.release()
        call.release()
        call = await streaming.start(channel, "/a/b")
        await streaming.end(call)
        assert await call.receive() is None
        call.release()
        assert not [f for f in servers[0].frames if f[0] == 3]

    play(test, talk)


def test_a_slow_reader_holds_the_server_back():
    def flood(server, kind, flags, sid, payload):
        if kind == 0:
            server.room = 1000
            server.say(headers(sid, OK))
        if kind == 8 and sid:
            server.room += unpack(">I", payload)[0]
        if kind in (0, 8) and sid:
            while server.room >= 105:
                server.room -= 105
                server.say(frame(0, 0, sid, message(b"x" * 100)))

    async def test(channel, servers):
        call = await streaming.start(channel, "/a/b")
        await call.send(b"go", end=True)
        await until(lambda: len(call.messages) == 9)
        await asyncio.sleep(0.02)
        assert len(call.messages) == 9  # 1,000 bytes of window
        for _ in range(50):
            assert len(await call.receive()) == 100
        call.release()
        await until(lambda: (3, 0, 1) in servers[0].frames)

    play(test, flood, window=1000)


def test_the_deadline_of_a_call_that_streams():
    async def test(channel, servers):
        call = await streaming.start(channel, "/a/b", timeout_ms=30)
        await call.send(b"x")
        e = await error_of(call.receive())
        assert e.layer == "deadline" and "30 ms" in str(e)
        assert await error_of(call.send(b"y")) is e
        call.release()
        await until(lambda: (3, 0, 1) in servers[0].frames)

    play(test, silent)


def test_a_deadline_while_the_connection_is_made():
    async def test(channel, servers):
        dial = channel._connect

        async def slow():
            await asyncio.sleep(0.05)
            return await dial()

        channel._connect = slow
        call = await streaming.start(channel, "/a/b", timeout_ms=5)
        e = await error_of(call.send(b"x"))
        assert e.layer == "deadline" and not e.maybe_seen
        call.release()
        await until(lambda: (3, 0, 1) in servers[0].frames)

    play(test)


def test_a_cancelled_call():
    async def test(channel, servers):
        call = await streaming.start(channel, "/a/b")
        await call.send(b"x")
        call.release()
        e = await error_of(call.receive())
        assert e.layer == "call" and not e.retry
        await until(lambda: (3, 0, 1) in servers[0].frames)
        task = asyncio.create_task(channel.unary("/a/b", b"x"))
        await until(lambda: 3 in servers[0].bodies)
        task.cancel()
        await until(lambda: (3, 0, 3) in servers[0].frames)
        assert channel.connected()

    play(test, silent)


def test_closing_a_channel():
    async def test(channel, servers):
        task = asyncio.create_task(error_of(channel.unary("/a/b", b"x")))
        await until(lambda: servers and 1 in servers[0].bodies)
        await channel.close()
        assert (7, 0, 0) in servers[0].frames and servers[0].closed
        await until(channel.link._pinger.done)
        e = await task
        assert e.layer == "call" and "closed" in str(e)
        e = await error_of(channel.unary("/a/b", b"x"))
        assert e.layer == "call" and "closed" in str(e) and len(servers) == 1
        await channel.close()

    async def stuck(channel, servers):
        await channel.unary("/a/b", b"")
        servers[0].stuck = True
        await channel.close()

    play(test, silent)
    play(stuck)


def test_a_connection_that_cannot_be_made():
    async def connect():
        raise LinkError("dns", "no such name")

    async def main():
        channel = Channel(connect, "host")
        for _ in range(2):
            e = await error_of(channel.unary("/a/b", b"x"))
            assert e.layer == "dns" and not e.maybe_seen and not channel.connected()
        await channel.close()

    asyncio.run(main())


def test_the_answers_of_a_table_for_repeated_headers():
    async def test(channel, servers):
        await channel.unary("/a/b", b"x")
        assert servers[0].table == 300

    def first(server, kind, flags, sid, payload):
        if kind == 4 and not flags:
            server.table = unpack(">I", payload[2:6])[0]
        if kind == 1:
            path = dict(Decoder().decode(payload))[b":path"]
            assert path == b"/a/b"
        echo(server, kind, flags, sid, payload)

    play(test, first, table=300)
