"""Whatever a client sends, the receiver answers or closes, stays up, and stores nothing wrong."""

import asyncio
import contextlib
import random
import re
import socket
import ssl
import subprocess
import time

import h2.config
import h2.connection
import h2.events
import pytest
from h2.errors import ErrorCodes
from h2.settings import SettingCodes
from hyperframe.frame import ContinuationFrame, DataFrame, HeadersFrame
from viam.gen.proto.rpc.v1.auth_pb2 import AuthenticateRequest, AuthenticateResponse, Credentials

from cistern_tools.receiver import limits
from cistern_tools.receiver.gate import AUTHENTICATE
from cistern_tools.receiver.server import dev_tls_context, serve
from receiver_support import (
    PART,
    SECRET,
    Client,
    add_part,
    reading,
    refused,
    run,
    running,
    select,
    upload,
)
from support import micropython_command

UPLOAD = "/viam.app.datasync.v1.DataSyncService/DataCaptureUpload"
LOGIN = AuthenticateRequest(
    entity=PART, credentials=Credentials(type="robot-secret", payload=SECRET)
).SerializeToString()
WRONG_LOGIN = AuthenticateRequest(
    entity=PART, credentials=Credentials(type="robot-secret", payload="wrong-wrong")
).SerializeToString()
WAIT_S = 15


def framed(message, flag=0):
    """A message with the five bytes that gRPC puts before it."""
    return bytes([flag]) + len(message).to_bytes(4, "big") + message


class Raw:
    """A client made of h2 and a socket, which can send what no library would."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer
        self.h2 = h2.connection.H2Connection(
            h2.config.H2Configuration(
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
                header_encoding="latin-1",
            )
        )
        self.h2.initiate_connection()
        self.flush()
        self.answers = {}  # stream -> [headers, data, trailers or None, ended]
        self.ended_by = None  # the error code of the receiver's GOAWAY

    @classmethod
    async def connect(cls, receiver, ca=None):
        context = ssl.create_default_context(cafile=ca) if ca else None
        return cls(*await asyncio.open_connection(receiver.host, receiver.port, ssl=context))

    def flush(self):
        self.writer.write(self.h2.data_to_send())

    def start(self, path=AUTHENTICATE, *more, drop=(), end=False, **replaced):
        """Sends request headers; returns the stream."""
        headers = {
            ":method": "POST",
            ":scheme": "https",
            ":authority": "x",
            ":path": path,
            "content-type": "application/grpc",
            "te": "trailers",
            **replaced,
        }
        stream = self.h2.get_next_available_stream_id()
        self.h2.send_headers(
            stream,
            [(k, v) for k, v in headers.items() if k not in drop] + list(more),
            end_stream=end,
        )
        self.flush()
        return stream

    def data(self, stream, data, end=True):
        self.h2.send_data(stream, data, end_stream=end)
        self.flush()

    async def step(self):
        """Takes in what the receiver sent; returns False when it has closed."""
        data = await asyncio.wait_for(self.reader.read(65536), WAIT_S)
        if not data:
            return False
        for event in self.h2.receive_data(data):
            stream = getattr(event, "stream_id", None)
            answer = self.answers.setdefault(stream, [None, b"", None, False])
            if isinstance(event, h2.events.ResponseReceived):
                answer[0] = dict(event.headers)
            elif isinstance(event, h2.events.DataReceived):
                answer[1] += event.data
            elif isinstance(event, h2.events.TrailersReceived):
                answer[2] = dict(event.headers)
            elif isinstance(event, h2.events.StreamEnded):
                answer[3] = True
            elif isinstance(event, h2.events.ConnectionTerminated):
                self.ended_by = event.error_code
        with contextlib.suppress(ConnectionError):
            self.flush()
        return True

    async def answer(self, stream):
        """The (headers, data, grpc-status, grpc-message) of a stream, when it has ended."""
        while not self.answers.get(stream, [0, 0, 0, False])[3]:
            assert await self.step(), f"closed before an answer, GOAWAY {self.ended_by}"
        headers, data, trailers, _ = self.answers[stream]
        status = {**headers, **(trailers or {})}
        assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", headers["date"])
        return headers, data, int(status.get("grpc-status", -1)), status.get("grpc-message", "")

    async def closed(self):
        """Waits until the receiver has closed the connection."""
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            while await self.step():
                pass

    async def login(self):
        stream = self.start()
        self.data(stream, framed(LOGIN))
        _, data, status, message = await self.answer(stream)
        assert status == 0, message
        return (
            "authorization",
            "Bearer " + AuthenticateResponse.FromString(data[5:]).access_token,
        )

    def close(self):
        self.writer.transport.abort()


@contextlib.asynccontextmanager
async def plain(data):
    """A receiver without TLS and a function that connects Raw clients to it."""
    add_part(data)
    clients = []
    async with serve(data) as receiver:

        async def connect():
            clients.append(await Raw.connect(receiver))
            return clients[-1]

        connect.receiver = receiver
        try:
            yield connect
        finally:
            for client in clients:
                client.close()


async def still_serves(receiver, ca=None):
    """Asserts that a new client can log in and upload."""
    client = Client(receiver, ca)
    await client.login()
    assert (await client.upload(upload([reading(1)]))).file_id
    client.channel.close()


def test_requests_that_are_wrong_get_the_right_status_and_a_sentence(tmp_path):
    good = upload([reading(1)]).SerializeToString()
    cases = {  # name: (path, body, with token, end, status, words)
        "no token": (UPLOAD, framed(good), False, 16, "authentication required"),
        "unknown method": ("/a.B/C", framed(b""), False, 12, "does not have /a.B/C"),
        "undecodable": (UPLOAD, framed(b"\xff" * 10), True, 13, "cannot be decoded"),
        "compressed": (UPLOAD, framed(good, 1), True, 12, "compressed"),
        "cut off": (
            UPLOAD,
            framed(good)[:-3],
            True,
            13,
            f"after {len(good) - 3} of {len(good)} bytes",
        ),
        "cut in the prefix": (UPLOAD, b"\0\0\0", True, 13, "3 of 5 bytes"),
        "no message": (UPLOAD, b"", True, 13, "no message"),
        "too long a login": (AUTHENTICATE, framed(bytes(70000)), False, 8, "65536 at most"),
        "too long an upload": (UPLOAD, b"\0\x02\0\0\1" + bytes(100), True, 8, "33554432 at most"),
        "4 GiB": (UPLOAD, b"\0\xff\xff\xff\xff", True, 8, "4294967295 bytes"),
        "login with a token": (AUTHENTICATE, framed(LOGIN), True, 3, "already authenticated"),
    }

    async def main():
        async with plain(tmp_path) as connect:
            client = await connect()
            token = await client.login()
            for name, (path, body, with_token, status, words) in cases.items():
                stream = client.start(path, *([token] if with_token else []))
                client.data(stream, body[:16000])
                _, _, found, message = await client.answer(stream)
                assert (found, words in message) == (status, True), (name, found, message)
            for header in ("Basic abc", "Bearer", "Bearer x.y.z", "Bearer " + "\xe9" * 40):
                stream = client.start(UPLOAD, ("authorization", header))
                client.data(stream, framed(good))
                assert (await client.answer(stream))[2] == 16
            await still_serves(connect.receiver)

    run(main())
    assert select(tmp_path, "SELECT count(*) FROM upload") == [(1,)]


def test_requests_that_are_no_grpc_are_answered_too(tmp_path):
    async def main():
        async with plain(tmp_path) as connect:
            client = await connect()
            for http, replaced in (
                ("405", {":method": "GET"}),
                ("415", {"content-type": "text/html"}),
                ("200", {"grpc-timeout": "soon"}),
                ("200", {"x-bin": "not base64!"}),
            ):
                stream = client.start(end=True, **replaced)
                headers, *_ = await client.answer(stream)
                assert headers[":status"] == http, replaced
            stream = client.start(drop=["content-type"], end=True)
            assert (await client.answer(stream))[0][":status"] == "415"
            await client.login()

    run(main())


def test_an_upload_above_the_limit_is_refused_before_it_is_received(tmp_path):
    """A real client sees RESOURCE_EXHAUSTED, and most of the message is never read."""

    async def main():
        async with plain(tmp_path) as connect:
            client = await connect()
            token = await client.login()
            stream = client.start(UPLOAD, token)
            size = limits.MAX_MESSAGE + 1
            client.data(stream, b"\0" + size.to_bytes(4, "big") + bytes(10000), end=False)
            _, _, status, message = await client.answer(stream)
            assert (status, str(size) in message) == (8, True)
            await client.login()

    run(main())


def test_a_real_client_is_told_that_its_upload_is_too_large(tmp_path):
    async def main():
        async with running(tmp_path) as (_, client):
            request = upload([reading(1, text="x" * (limits.MAX_MESSAGE + 1))])
            status, message = await refused(client.upload(request))
            assert (status, "at most" in message) == ("RESOURCE_EXHAUSTED", True)
            client.metadata = {"authorization": "Bearer x"}
            assert (await refused(client.upload(request)))[0] == "UNAUTHENTICATED"
            await client.login()

    run(main())
    assert select(tmp_path, "SELECT count(*) FROM upload") == [(0,)]


def test_a_message_of_many_megabytes_is_stored(tmp_path):
    request = upload(
        [reading(n, text="x" * 1000) for n in range(8000)], "cistern1:00000000000000aa:1.0*8000"
    )
    assert request.ByteSize() > 8 * 2**20

    async def main():
        async with running(tmp_path) as (_, client):
            assert (await client.upload(request)).file_id

    run(main())
    assert select(tmp_path, "SELECT count(*) FROM reading") == [(8000,)]


def test_all_large_messages_together_are_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "MAX_BUFFERED", 3 * 10**6)

    async def main():
        async with plain(tmp_path) as connect:
            client = await connect()
            token = await client.login()
            streams = [client.start(UPLOAD, token) for _ in range(4)]
            for stream in streams:
                client.data(stream, b"\0" + (10**6).to_bytes(4, "big"), end=False)
            _, _, status, message = await client.answer(streams[3])
            assert (status, "busy" in message) == (14, True)
            client.h2.reset_stream(streams[0])
            client.flush()
            stream = client.start(
                UPLOAD, token
            )  # what a cancelled request had reserved is free again
            client.data(stream, framed(bytes(10**6))[:16000], end=False)
            client.data(stream, b"", end=True)
            assert (await client.answer(stream))[2] == 13

    run(main())


def test_a_message_in_single_bytes_with_padding_and_empty_frames_is_stored(tmp_path):
    body = framed(upload([reading(1)]).SerializeToString())

    async def main():
        async with plain(tmp_path) as connect:
            client = await connect()
            stream = client.start(UPLOAD, await client.login())
            for i in range(len(body)):
                client.h2.send_data(stream, b"", pad_length=i % 7)
                client.h2.send_data(stream, b"")
                client.h2.send_data(stream, body[i : i + 1], pad_length=i % 3 or None)
                client.flush()
            client.data(stream, b"")
            assert (await client.answer(stream))[2] == 0

    run(main())
    assert select(tmp_path, "SELECT count(*) FROM reading") == [(1,)]


def test_http_1_gets_a_readable_answer(tmp_path):
    async def main():
        add_part(tmp_path)
        context, ca = dev_tls_context(tmp_path)
        async with serve(tmp_path, ssl_context=context) as receiver:
            reader, writer = await asyncio.open_connection(
                receiver.host, receiver.port, ssl=ssl.create_default_context(cafile=ca)
            )
            writer.write(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
            answer = await asyncio.wait_for(reader.read(), WAIT_S)
            assert answer.startswith(b"HTTP/1.1 505 ")
            assert b"cistern query" in answer
            writer.close()
            await still_serves(receiver, ca)

    run(main())


def test_garbage_closes_the_connection_and_nothing_else(tmp_path):
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    settings = bytes.fromhex("000000040000000000")
    rng = random.Random(5)
    pieces = [
        rng.randbytes(500),
        b"\0" * 4096,
        b"\n" * 100,
        preface[:10],
        preface + rng.randbytes(300),
        preface + settings + rng.randbytes(300),
        preface + settings + b"\xff\xff\xff\0\0\0\0\0\1",
        preface + settings + ContinuationFrame(1, data=b"x").serialize(),
        preface + settings + HeadersFrame(1, data=b"\xff" * 50, flags=["END_HEADERS"]).serialize(),
        preface + settings + HeadersFrame(1, data=b"\x82").serialize() + settings,
        preface + settings + DataFrame(1, data=b"x").serialize(),
        bytes.fromhex("16030100c8010000c40303")
        + bytes(200),  # a TLS ClientHello to a plaintext port
    ]

    async def main():
        async with plain(tmp_path) as connect:
            receiver = connect.receiver
            for piece in pieces:
                reader, writer = await asyncio.open_connection(receiver.host, receiver.port)
                writer.write(piece)
                writer.write_eof()
                with contextlib.suppress(ConnectionError):
                    await asyncio.wait_for(reader.read(), WAIT_S)
                writer.transport.abort()
            await still_serves(receiver)

    run(main())


def test_frames_mutated_at_random_never_stop_the_receiver(tmp_path):
    """Cuts, flips and doubles bytes of a correct session, each on a connection of its own."""
    add_part(tmp_path)
    session = h2.connection.H2Connection()
    session.initiate_connection()
    for path, body in ((AUTHENTICATE, LOGIN), (UPLOAD, upload([reading(1)]).SerializeToString())):
        stream = session.get_next_available_stream_id()
        session.send_headers(
            stream,
            [
                (":method", "POST"),
                (":scheme", "https"),
                (":authority", "x"),
                (":path", path),
                ("content-type", "application/grpc"),
                ("te", "trailers"),
            ],
        )
        session.send_data(stream, framed(body), end_stream=True)
    correct = session.data_to_send()
    rng = random.Random(7)

    async def attempt(receiver):
        mutated = bytearray(correct)
        for _ in range(rng.randint(1, 6)):
            at = rng.randrange(24, len(mutated))
            change = rng.randrange(3)
            if change == 0:
                mutated[at] ^= 1 << rng.randrange(8)
            elif change == 1:
                del mutated[at : at + rng.randint(1, 20)]
            else:
                mutated[at:at] = mutated[at : at + rng.randint(1, 20)]
            if len(mutated) < 40:
                break
        reader, writer = await asyncio.open_connection(receiver.host, receiver.port)
        writer.write(mutated)
        with contextlib.suppress(ConnectionError):
            await asyncio.wait_for(reader.read(200), WAIT_S)
        writer.transport.abort()

    async def main():
        async with serve(tmp_path) as receiver:
            for _ in range(200):
                await attempt(receiver)
            await still_serves(receiver)

    run(main())
    assert select(tmp_path, "SELECT count(*) FROM upload") == [(1,)]


def test_unknown_frames_are_ignored_and_goaway_says_why_a_connection_ends(tmp_path):
    async def main():
        async with plain(tmp_path) as connect:
            client = await connect()
            client.writer.write(bytes.fromhex("0000060b0300000000") + b"grease")
            await client.login()
            client.writer.write(DataFrame(1, data=b"on a stream that ended").serialize() * 3)
            client.writer.write(ContinuationFrame(9, data=b"x").serialize())
            await client.closed()
            assert client.ended_by == ErrorCodes.PROTOCOL_ERROR

            for header in ("004001", "ffffff0000000000"):  # refused before a byte of it is there
                client = await connect()
                await client.login()
                client.writer.write(bytes.fromhex(header))
                await client.closed()
                assert client.ended_by == ErrorCodes.FRAME_SIZE_ERROR

    run(main())


def test_a_client_cannot_fill_the_log(tmp_path, caplog):
    async def main():
        async with plain(tmp_path) as connect:
            for _ in range(25):
                client = await connect()
                client.writer.write(b"\xff" * 100)
                await client.closed()
            client = await connect()
            for _ in range(22):
                stream = client.start()
                client.data(stream, framed(WRONG_LOGIN))
                assert (await client.answer(stream))[2] == 7

    with caplog.at_level("INFO"):
        run(main())
    ours = [r for r in caplog.records if r.name.startswith("cistern")]
    closed = [r for r in ours if "connection closed" in r.message]
    logins = [r for r in ours if "login" in r.message]
    assert (len(closed), len(logins)) == (20, 20)
    assert "nothing more about 127.0.0.1" in closed[-1].message


def test_many_cancelled_requests_end_the_connection(tmp_path):
    async def main():
        async with plain(tmp_path) as connect:
            client = await connect()
            with contextlib.suppress(ConnectionError):
                for _ in range(3 * limits.MAX_RESETS):
                    client.h2.reset_stream(client.start())
                    client.flush()
            await client.closed()
            await still_serves(connect.receiver)

    run(main())


def test_strangers_and_the_silent_are_closed_and_customers_stay(tmp_path, monkeypatch):
    for name, seconds in (("SWEEP_S", 0.05), ("FIRST_REQUEST_S", 0.4), ("MESSAGE_S", 0.3)):
        monkeypatch.setattr(limits, name, seconds)

    async def main():
        async with plain(tmp_path) as connect:
            customer, regular = await connect(), await connect()
            token = await customer.login()
            stream = regular.start(UPLOAD, token)  # has a token from before: needs no login
            regular.data(stream, framed(upload([reading(1)]).SerializeToString()))
            assert (await regular.answer(stream))[2] == 0

            stream = customer.start(UPLOAD, token)  # a message that never ends
            customer.data(stream, framed(bytes(1000))[:20], end=False)
            _, _, status, message = await customer.answer(stream)
            assert (status, "15 of 1000 bytes" in message) == (4, True)

            reader, _ = await asyncio.open_connection(connect.receiver.host, connect.receiver.port)
            with contextlib.suppress(ConnectionError):
                await asyncio.wait_for(reader.read(), WAIT_S)  # to the end: it was closed

            refused = await connect()  # logs in with a wrong secret again and again
            began = time.monotonic()
            with contextlib.suppress(AssertionError, ConnectionError):
                while time.monotonic() - began < WAIT_S:
                    stream = refused.start()
                    refused.data(stream, framed(WRONG_LOGIN))
                    assert (await refused.answer(stream))[2] == 7
            assert time.monotonic() - began < WAIT_S
            assert await regular.login()
            assert await customer.login()

    run(main())


def test_who_answers_pings_may_be_idle_and_who_does_not_is_gone(tmp_path, monkeypatch):
    for name, seconds in (("SWEEP_S", 0.05), ("IDLE_S", 0.3), ("PING_S", 0.5)):
        monkeypatch.setattr(limits, name, seconds)

    async def main():
        async with plain(tmp_path) as connect:
            customer = await connect()
            await customer.login()
            began = time.monotonic()
            while time.monotonic() - began < 2:
                with contextlib.suppress(TimeoutError):
                    assert await asyncio.wait_for(customer.step(), 0.1)
            await customer.login()
            # From here on its h2 does not see the PING, and so never answers it.
            assert await asyncio.wait_for(customer.reader.read(), WAIT_S)

    run(main())


def test_a_tls_handshake_that_does_not_come_is_given_up(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(limits, "HANDSHAKE_S", 0.3)

    async def main():
        add_part(tmp_path)
        context, ca = dev_tls_context(tmp_path)
        async with serve(tmp_path, ssl_context=context) as receiver:
            for sent in (b"", b"\x16\x03\x01\x02"):
                reader, writer = await asyncio.open_connection(receiver.host, receiver.port)
                writer.write(sent)
                with contextlib.suppress(ConnectionError):
                    assert await asyncio.wait_for(reader.read(), WAIT_S) == b""
                writer.close()
            await still_serves(receiver, ca)

    with caplog.at_level("INFO"):
        run(main())
    assert "TLS handshake failed" in caplog.text


def test_a_client_that_does_not_read_is_dropped(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "MAX_UNSENT", 50_000)
    ping = bytes.fromhex("0000080600000000000000000000000000")

    async def main():
        async with plain(tmp_path) as connect:
            client = await connect()
            await client.login()
            client.writer.transport.pause_reading()
            with pytest.raises(ConnectionError):
                for _ in range(20_000):
                    client.writer.write(ping * 100)
                    await client.writer.drain()
            await still_serves(connect.receiver)

    run(main())


def test_an_answer_that_is_not_taken_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "ANSWER_S", 0.3)

    async def main():
        async with plain(tmp_path) as connect:
            client = await connect()
            token = await client.login()
            client.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 0})
            stream = client.start(UPLOAD, token)
            client.data(stream, framed(upload([reading(1)]).SerializeToString()))
            assert (await client.answer(stream))[2] == 4
            await still_serves(connect.receiver)

    run(main())


def test_when_full_a_new_connection_takes_the_place_of_the_oldest_stranger(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "MAX_CONNECTIONS", 4)

    async def main():
        async with plain(tmp_path) as connect:
            customer = await connect()
            await customer.login()
            strangers = [await connect() for _ in range(3)]
            for stranger in strangers:
                await stranger.step()
            late = await connect()
            await late.login()
            await strangers[0].closed()
            await strangers[1].login()
            await strangers[2].login()
            refused = await connect()  # all are customers now
            await refused.closed()
            await customer.login()

    run(main())


def distrust(receiver):
    """Connects without the CA, in a blocking way: it sends its alert before it closes."""
    with socket.create_connection((receiver.host, receiver.port), WAIT_S) as raw:
        ssl.create_default_context().wrap_socket(raw, server_hostname="localhost")


def test_wrong_trust_is_explained_in_the_log(tmp_path, caplog):
    async def main():
        add_part(tmp_path)
        context, ca = dev_tls_context(tmp_path)
        async with serve(tmp_path, ssl_context=context) as receiver:
            with pytest.raises(ssl.SSLCertVerificationError):
                await asyncio.to_thread(distrust, receiver)
            reader, writer = await asyncio.open_connection(receiver.host, receiver.port)
            writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            with contextlib.suppress(ConnectionError):
                await asyncio.wait_for(reader.read(), WAIT_S)
            writer.close()
            deadline = time.monotonic() + WAIT_S
            while "does not speak TLS" not in caplog.text and time.monotonic() < deadline:
                await asyncio.sleep(0.01)
            await still_serves(receiver, ca)

    with caplog.at_level("INFO"):
        run(main())
    assert "does not accept the receiver's certificate" in caplog.text
    assert "does not speak TLS" in caplog.text


MICROPYTHON = """
import binascii, socket, ssl, sys
host, port, ca = sys.argv[1], int(sys.argv[2]), sys.argv[3]
def connect(name, cafile):
    s = socket.socket()
    s.connect(socket.getaddrinfo(host, port)[0][-1])
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    c.verify_mode = ssl.CERT_REQUIRED
    with open(cafile) as f:
        c.load_verify_locations(cadata=binascii.a2b_base64("".join(f.read().split("\\n")[1:-2])))
    return c.wrap_socket(s, server_hostname=name)
for name in ("localhost", "127.0.0.1"):
    s = connect(name, ca)
    s.write(b"PRI * HTTP/2.0\\r\\n\\r\\nSM\\r\\n\\r\\n" + bytes(3) + b"\\x04" + bytes(5))
    head = s.read(9)
    assert head[3] == 4, head
    s.close()
try:
    connect("example.org", ca)
except (OSError, ValueError) as e:
    print("refused", e)
"""


@pytest.mark.skipif(micropython_command() is None, reason="no micropython on this machine")
def test_micropython_verifies_the_certificate_and_speaks_http2_without_alpn(tmp_path):
    (tmp_path / "client.py").write_text(MICROPYTHON)

    async def main():
        add_part(tmp_path)
        context, ca = dev_tls_context(tmp_path)
        async with serve(tmp_path, ssl_context=context) as receiver:
            command = [
                *micropython_command(),
                str(tmp_path / "client.py"),
                receiver.host,
                str(receiver.port),
            ]
            done = await asyncio.to_thread(
                subprocess.run,
                [*command, str(ca)],
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            assert done.returncode == 0, done.stdout + done.stderr
            assert "refused" in done.stdout, "a wrong host name has to be noticed"

    run(main())
