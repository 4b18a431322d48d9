"""A device in the tests: runs cases against a server, on either interpreter.

    echo '{"port": 1234, "tls": {…} or null, "cases": ["empty_unary", …]}' | net_client.py

Prints one JSON line a case: {"case", "ok", "text", and what an error says}. The cases are those of
gRPC's doc/interop-test-descriptions.md, and "call" for one call to options' path.
"""

import asyncio
import json
import sys

from cistern.errors import LinkError
from cistern.net import streaming
from cistern.net.channel import Channel

if sys.implementation.name == "micropython":
    from cistern.port.stream_mpy import connect
else:
    from cistern.port.stream_host import connect

SERVICE = "/grpc.testing.TestService/"
SPECIAL = "\t\ntest with whitespace\r\nand Unicode BMP \u263a and non-BMP \U0001f608\t\n"


def varint(n):
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    out.append(n)
    return bytes(out)


def number(field, n):
    return varint(field << 3) + varint(n)


def field(number, data):
    return varint(number << 3 | 2) + varint(len(data)) + data


def payload(size):
    """field 3 of a request: a Payload with a body of zeros"""
    return field(3, field(2, bytes(size)))


def body_size(message):
    """The size of field 1 (Payload) field 2 (body) of a response."""
    at = 0
    sizes = []
    for _ in range(2):
        if at >= len(message):
            return 0
        at += 1
        n = shift = 0
        while True:
            b = message[at]
            at += 1
            n |= (b & 127) << shift
            shift += 7
            if b < 128:
                break
        sizes.append(n)
    return sizes[1]


def need(condition, text):
    if not condition:
        raise AssertionError(text)


async def error_of(awaitable):
    """How a call ended; a broken connection is not what a case expects."""
    try:
        await awaitable
    except LinkError as e:
        if e.layer not in ("grpc", "call", "deadline"):
            raise
        return e
    raise AssertionError("the call succeeded")


async def empty_unary(channel):
    got = await channel.unary(SERVICE + "EmptyCall", b"")
    need(len(got.message) == 0, "the answer is not empty")


async def large_unary(channel):
    got = await channel.unary(SERVICE + "UnaryCall", number(2, 314159) + payload(271828))
    need(body_size(got.message) == 314159, "wrong size")


async def client_streaming(channel):
    call = await streaming.start(channel, SERVICE + "StreamingInputCall", timeout_ms=20000)
    for size in (27182, 8, 1828, 45904):
        await call.send(field(1, field(2, bytes(size))))
    await streaming.end(call)
    need(bytes(await call.receive()) == number(1, 74922), "wrong sum")
    need(await call.receive() is None, "more than one answer")
    call.release()


def output(sizes, size=0):
    wanted = b"".join([field(2, number(1, n)) for n in sizes])
    return wanted + (payload(size) if size else b"")


async def server_streaming(channel):
    call = await streaming.start(channel, SERVICE + "StreamingOutputCall", timeout_ms=20000)
    await call.send(output((31415, 9, 2653, 58979)), end=True)
    sizes = []
    while True:
        message = await call.receive()
        if message is None:
            break
        sizes.append(body_size(message))
    need(sizes == [31415, 9, 2653, 58979], str(sizes))
    call.release()


async def ping_pong(channel):
    call = await streaming.start(channel, SERVICE + "FullDuplexCall", timeout_ms=20000)
    for out, back in ((27182, 31415), (8, 9), (1828, 2653), (45904, 58979)):
        await call.send(output((back,), out))
        need(body_size(await call.receive()) == back, "wrong size")
    await streaming.end(call)
    need(await call.receive() is None, "more than asked for")
    call.release()


async def empty_stream(channel):
    call = await streaming.start(channel, SERVICE + "FullDuplexCall", timeout_ms=20000)
    await streaming.end(call)
    need(await call.receive() is None, "an answer to nothing")
    call.release()


async def custom_metadata(channel):
    extra = (
        ("x-grpc-test-echo-initial", "test_initial_metadata_value"),
        ("x-grpc-test-echo-trailing-bin", b"\xab\xab\xab"),
    )
    got = await channel.unary(SERVICE + "UnaryCall", number(2, 1) + payload(1), extra)
    need(got.headers["x-grpc-test-echo-initial"] == extra[0][1], "initial")
    need(got.trailers["x-grpc-test-echo-trailing-bin"] == extra[1][1], "trailing")
    call = await streaming.start(channel, SERVICE + "FullDuplexCall", extra, 20000)
    await call.send(output((1,), 1), end=True)
    need(await call.receive() is not None and await call.receive() is None, "stream")
    need(call.headers["x-grpc-test-echo-initial"] == extra[0][1], "initial of a stream")
    need(call.trailers["x-grpc-test-echo-trailing-bin"] == extra[1][1], "trailing of a stream")
    call.release()


async def status(channel, code, message):
    echo = field(7, number(1, code) + field(2, message.encode()))
    e = await error_of(channel.unary(SERVICE + "UnaryCall", echo))
    need((e.status, e.message) == (code, message), repr(e))
    return echo


async def status_code_and_message(channel):
    echo = await status(channel, 2, "test status message")
    call = await streaming.start(channel, SERVICE + "FullDuplexCall", timeout_ms=20000)
    await call.send(echo, end=True)
    e = await error_of(call.receive())
    need((e.status, e.message) == (2, "test status message"), repr(e))
    call.release()


async def special_status_message(channel):
    await status(channel, 2, SPECIAL)


async def unimplemented_method(channel):
    e = await error_of(channel.unary(SERVICE + "UnimplementedCall", b""))
    need(e.status == 12, repr(e))


async def unimplemented_service(channel):
    e = await error_of(channel.unary("/grpc.testing.UnimplementedService/UnimplementedCall", b""))
    need(e.status == 12, repr(e))


async def cancel_after_begin(channel):
    call = await streaming.start(channel, SERVICE + "StreamingInputCall")
    call.release()
    e = await error_of(call.receive())
    need(e.layer == "call", repr(e))
    await empty_unary(channel)


async def cancel_after_first_response(channel):
    call = await streaming.start(channel, SERVICE + "FullDuplexCall")
    await call.send(output((31415,), 27182))
    need(body_size(await call.receive()) == 31415, "wrong size")
    call.release()
    e = await error_of(call.receive())
    need(e.layer == "call", repr(e))
    await empty_unary(channel)


async def timeout_on_sleeping_server(channel):
    call = await streaming.start(channel, SERVICE + "FullDuplexCall", timeout_ms=5)
    e = await error_of(_send_and_receive(call))
    # Ours, or the server's own, which is DEADLINE_EXCEEDED too.
    need(e.layer == "deadline" or e.status == 4, repr(e))
    call.release()


async def _send_and_receive(call):
    await call.send(output((), 27182))
    await call.receive()


async def call(channel):
    """One call with options' message; its answer goes to stdout."""
    message = OPTIONS.get("message", "").encode()
    got = await channel.unary(OPTIONS["path"], message, timeout_ms=5000)
    return str(bytes(got.message), "utf-8")


SYNC = "/viam.app.datasync.v1.DataSyncService/"


def metadata(part):
    """UploadMetadata with a part id, as field 1 of a DataCaptureUploadRequest."""
    return field(1, field(1, part))


async def upload(channel):
    """A DataCaptureUpload of 5,000 readings, streamed; the server counts what it got."""
    first = metadata(b"part-1")
    reading = field(2, field(1, field(1, number(1, 1700000000))) + field(3, b"x" * 50))
    size = len(first) + 5000 * len(reading)

    def pieces():
        yield first
        for _ in range(5000):
            yield memoryview(reading)

    got = await channel.unary(SYNC + "DataCaptureUpload", pieces(), size=size)
    need(bytes(got.message) == field(1, f"5000 {size}".encode()), repr(got.message))
    need(got.headers["date"] == "Mon, 21 Oct 2013 20:13:21 GMT", repr(got.headers))


async def stranger(channel):
    e = await error_of(channel.unary(SYNC + "DataCaptureUpload", metadata(b"stranger")))
    need((e.status, e.message, e.retry) == (7, "nö: %", False), repr(e))


async def file_upload(channel):
    """Client streaming, 40 KB in messages of 1 KB."""
    call = await streaming.start(channel, SYNC + "FileUpload", timeout_ms=20000)
    await call.send(metadata(b"part-1"))
    for _ in range(40):
        await call.send(field(2, field(1, bytes(1024))))
    await streaming.end(call)
    need(bytes(await call.receive()) == field(2, b"40960"), "wrong size")
    need(await call.receive() is None, "more than one answer")
    call.release()


async def ten(channel):
    """Ten calls at once."""
    await asyncio.gather(*[call(channel) for _ in range(10)])


async def twice(channel):
    """The gRPC negative case goaway: a call, a second, and the second call needs a new stream."""
    await call(channel)
    await asyncio.sleep(0.2)
    await call(channel)


async def main():
    tls = OPTIONS.get("tls")
    if tls:
        for key in ("ca", "cert", "key"):
            if tls.get(key):
                with open(tls[key], "rb") as f:
                    tls[key] = f.read()
    channel = Channel(
        lambda: connect(OPTIONS.get("host", "127.0.0.1"), OPTIONS["port"], tls, 5000),
        "cloud.test", "https" if tls else "http", max_message=400000,
    )
    for name in OPTIONS["cases"]:
        row = {"case": name, "ok": True, "text": ""}
        try:
            row["text"] = await globals()[name.split(".")[0]](channel)
        except Exception as e:
            row["ok"] = False
            row["text"] = str(e) or repr(e)
            for key in ("layer", "retry", "maybe_seen", "status"):
                row[key] = getattr(e, key, None)
        print(json.dumps(row))
    await channel.close()


OPTIONS = json.load(sys.stdin)
asyncio.run(main())
