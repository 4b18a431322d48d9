"""gRPC's negative HTTP/2 cases (doc/negative-http2-interop-test-descriptions.md).

On both interpreters. The servers of gRPC's own tool, re-created on hyperframe: what is done for
each request.
"""

import contextlib
import socket
import struct
import threading

import pytest
from hpack import Decoder, Encoder
from hyperframe.frame import (
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from net_support import INTERPRETERS, client

BOTH = pytest.mark.parametrize("name", INTERPRETERS)
BODY = struct.pack(">BI", 0, 5) + b"hello"
OPTIONS = {"path": "/grpc.testing.TestService/UnaryCall", "message": "hello"}


class Peer:
    """One connection of a server: calls script(peer, stream id) for each finished request."""

    def __init__(self, connection, script, settings):
        self.connection = connection
        self.script = script
        self.encoder = Encoder()
        self.decoder = Decoder()
        self.acks = 0
        self.requests = []
        self.resets = []
        self.send(SettingsFrame(0, settings=settings))

    def send(self, *frames):
        self.connection.sendall(b"".join(f.serialize() for f in frames))

    def headers(self, sid, *fields, end=False):
        frame = HeadersFrame(sid, self.encoder.encode(fields), flags=["END_HEADERS"])
        if end:
            frame.flags.add("END_STREAM")
        return frame

    def begin(self, sid):
        return self.headers(sid, (":status", "200"), ("content-type", "application/grpc"))

    def answer(self, sid):
        return (
            self.begin(sid),
            DataFrame(sid, BODY),
            self.headers(sid, ("grpc-status", "0"), end=True),
        )

    def read(self, n):
        data = b""
        while len(data) < n:
            more = self.connection.recv(n - len(data))
            if not more:
                raise EOFError
            data += more
        return data

    def run(self):
        with contextlib.suppress(EOFError, OSError):
            assert self.read(24).startswith(b"PRI")
            while True:
                frame, length = Frame.parse_frame_header(memoryview(self.read(9)))
                frame.parse_body(memoryview(self.read(length)))
                self.on_frame(frame)
        self.connection.close()

    def on_frame(self, frame):
        if isinstance(frame, SettingsFrame) and "ACK" not in frame.flags:
            self.encoder.header_table_size = frame.settings.get(1, 4096)
            self.send(SettingsFrame(0, flags=["ACK"]))
        elif isinstance(frame, PingFrame):
            if "ACK" in frame.flags:
                self.acks += 1
            else:
                self.send(PingFrame(0, frame.opaque_data, flags=["ACK"]))
        elif isinstance(frame, HeadersFrame):
            self.decoder.decode(frame.data)
            self.requests.append(frame.stream_id)
        elif isinstance(frame, RstStreamFrame):
            self.resets.append(frame.stream_id)
        elif isinstance(frame, DataFrame) and frame.data:
            self.send(WindowUpdateFrame(0, window_increment=len(frame.data)))
        if "END_STREAM" in frame.flags:
            self.script(self, frame.stream_id)


@contextlib.contextmanager
def server(script, settings=None):
    """Yields (port, peers)."""
    peers = []
    threads = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept():
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    connection.settimeout(30)
                    peers.append(Peer(connection, script, settings or {}))
                    threads.append(threading.Thread(target=peers[-1].run))
                    threads[-1].start()

        first = threading.Thread(target=accept)
        first.start()
        try:
            yield listener.getsockname()[1], peers
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            first.join()
            for thread in threads:
                thread.join()


def case(name, script, cases, settings=None):
    with server(script, settings) as (port, peers):
        return client(name, port, cases, **OPTIONS), peers


@BOTH
def test_goaway(name):
    """After GOAWAY the second call takes a new connection, without the application's help."""

    def script(peer, sid):
        peer.send(*peer.answer(sid), GoAwayFrame(0, last_stream_id=sid))

    results, peers = case(name, script, ["twice"])
    assert results["twice"]["ok"], results
    assert [p.requests for p in peers] == [[1], [1]]


def failing(name, script):
    results, peers = case(name, script, ["call", "call.again"])
    for row in results.values():
        assert not row["ok"] and row["layer"] == "http2" and row["maybe_seen"], row
        assert "reset" in row["text"] and "CANCEL" in row["text"], row
    assert [p.requests for p in peers] == [[1, 3]]  # the connection survives


@BOTH
def test_rst_after_header(name):
    failing(name, lambda peer, sid: peer.send(peer.begin(sid), RstStreamFrame(sid, 8)))


@BOTH
def test_rst_during_data(name):
    failing(name, lambda peer, sid: peer.send(
        peer.begin(sid), DataFrame(sid, BODY[:7]), RstStreamFrame(sid, 8)
    ))


@BOTH
def test_rst_after_data(name):
    """A whole message, but no status: the call fails."""
    failing(name, lambda peer, sid: peer.send(
        peer.begin(sid), DataFrame(sid, BODY), RstStreamFrame(sid, 8)
    ))


@BOTH
def test_ping(name):
    """PINGs before, between and after the frames of an answer are all acknowledged."""

    def script(peer, sid):
        ping = PingFrame(0, b"12345678")
        frames = [ping]
        for frame in peer.answer(sid):
            frames += [frame, ping]
        peer.send(*frames)

    results, peers = case(name, script, ["call", "call.again"])
    assert all(row["ok"] for row in results.values()), results
    assert [p.acks for p in peers] == [8]


@BOTH
def test_max_streams(name):
    """With one stream allowed, ten calls at once all succeed, one after the other."""
    most = []

    def script(peer, sid):
        most.append(len(peer.requests))
        peer.send(*peer.answer(sid))
        peer.requests.clear()

    results, peers = case(name, script, ["call", "ten"], {SettingsFrame.MAX_CONCURRENT_STREAMS: 1})
    assert all(row["ok"] for row in results.values()), results
    assert most == [1] * 11 and len(peers) == 1


@BOTH
def test_data_in_frames_of_one_byte(name):
    def script(peer, sid):
        first, data, last = peer.answer(sid)
        pieces = [DataFrame(sid, data.data[i : i + 1]) for i in range(len(data.data))]
        peer.send(first, *pieces, last)

    results, _ = case(name, script, ["call"])
    assert results["call"]["text"] == "hello"


@BOTH
def test_hostile_floods_end_the_connection(name):
    """What would keep a device busy for ever is cut off; a later call gets a new connection."""
    floods = {
        "PING": PingFrame(0, b"12345678").serialize() * 4000,
        "SETTINGS": SettingsFrame(0).serialize() * 4000,
        "RST_STREAM": RstStreamFrame(1, 8).serialize() * 4000,
        "empty DATA": DataFrame(1, b"").serialize() * 4000,
        "WINDOW_UPDATE": WindowUpdateFrame(0, window_increment=1).serialize() * 4000,
    }
    for what, flood in floods.items():
        seen = []

        def script(peer, sid, flood=flood, seen=seen):
            if seen:
                peer.send(*peer.answer(sid))
                return
            seen.append(sid)
            peer.send(peer.begin(sid))
            with contextlib.suppress(OSError):
                peer.connection.sendall(flood)

        # The first RST_STREAM already ends the first call; the flood may then hit the second.
        results, peers = case(name, script, ["call", "call.2", "call.3"])
        assert not results["call"]["ok"], what
        assert results["call.3"]["ok"] and len(peers) == 2, (what, results)
