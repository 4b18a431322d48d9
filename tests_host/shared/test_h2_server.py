"""The server's role of HTTP/2, and both roles with each other."""

from struct import pack, unpack

from cistern.net.events import DATA, END, HEADERS, RESET
from cistern.net.h2 import Connection
from cistern.net.h2_server import Server
from cistern.net.hpack import encode
from cistern.net.why import error_name

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
GET = [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/"), (b":authority", b"a")]
OK = [(b":status", b"200")]


def frame(kind, flags=0, sid=0, payload=b""):
    n = len(payload)
    return pack(">BHBBI", n >> 16, n & 0xFFFF, kind, flags, sid) + payload


def request(sid, fields=GET, flags=5):
    out = bytearray()
    encode(out, fields)
    return frame(1, flags, sid, bytes(out))


def server(**kwargs):
    conn = Server(**kwargs)
    conn.receive(PREFACE + frame(4))
    conn.take()
    return conn


def resets(conn):
    """(stream, code) of the RST_STREAM frames that wait."""
    data = bytes(conn.take())
    out = []
    while data:
        n = 9 + (data[1] << 8 | data[2])
        if data[3] == 3:
            out.append((unpack(">I", data[5:9])[0], error_name(unpack(">I", data[9:13])[0])))
        data = data[n:]
    return out


def dies(conn, data, name):
    conn.receive(data)
    assert conn.error and error_name(conn.error.code) == name, conn.error


def test_the_first_bytes_are_settings():
    assert bytes(Server(100, 200, 300, 4).take()) == frame(
        4, 0, 0, pack(">HIHIHIHI", 1, 300, 3, 4, 4, 100, 6, 200)
    )


def test_the_preface_of_the_client_is_asked_for():
    for bad in (b"GET / HTTP/1.1\r\n\r\n", PREFACE[:-1] + b"x", frame(4)):
        dies(Server(), bad, "PROTOCOL_ERROR")
    conn = Server()
    for i in range(len(PREFACE)):
        conn.receive(PREFACE[i : i + 1])
    assert not conn.error and not conn.ready
    conn.receive(frame(4, 0, 0, pack(">HI", 2, 1)))
    assert conn.ready
    dies(server(), frame(4, 0, 0, pack(">HI", 2, 2)), "PROTOCOL_ERROR")


def test_a_request_and_its_answer():
    conn = server()
    events = conn.receive(request(1, flags=4) + frame(0, 1, 1, b"hi"))
    assert [e[0] for e in events] == [HEADERS, DATA, END]
    st = events[0][1]
    assert st.id == 1 and st.owner is None and events[0][2] == GET
    conn.headers(st, OK)
    conn.headers(st, [(b"grpc-status", b"0")], True)
    assert not conn.streams


def test_ids_of_streams_are_odd_and_grow():
    dies(server(), request(2), "PROTOCOL_ERROR")
    dies(server(), frame(0, 0, 1, b"x"), "PROTOCOL_ERROR")
    conn = server()
    conn.receive(request(5))
    dies(conn, request(3), "PROTOCOL_ERROR")
    conn = server()
    conn.headers(conn.receive(request(5))[0][1], OK, True)
    dies(conn, request(5), "STREAM_CLOSED")
    conn = server()
    st = conn.receive(request(5))[0][1]
    conn.reset(st)
    conn.take()
    assert conn.receive(request(5)) == [] and not conn.error  # it was under way
    conn.receive(frame(0, 0, 3, b"x"))
    assert resets(conn) == [(3, "STREAM_CLOSED")]


def test_malformed_requests():
    for bad in (
        GET[:2],
        GET[1:],
        GET + OK,
        [(b"x", b"y"), (b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/")],
        [(b":method", b""), (b":scheme", b"http"), (b":path", b"/")],
        [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"")],
    ):
        conn = server()
        events = conn.receive(request(1, bad))
        assert [e[0] for e in events] == [RESET] and resets(conn) == [(1, "PROTOCOL_ERROR")], bad
    assert server().receive(request(1, GET[:3]))  # without :authority


def test_more_requests_than_allowed_are_refused():
    conn = server(max_streams=2)
    conn.receive(request(1, flags=4) + request(3, flags=4) + request(5))
    assert resets(conn) == [(5, "REFUSED_STREAM")] and sorted(conn.streams) == [1, 3]
    conn.goaway()
    conn.take()
    conn.reset(conn.streams[1])
    conn.receive(request(7))
    assert resets(conn)[1] == (7, "REFUSED_STREAM")


def test_goaway_names_the_last_stream():
    conn = server()
    conn.receive(request(7))
    conn.take()
    conn.goaway()
    assert bytes(conn.take()) == frame(7, 0, 0, pack(">II", 7, 0))


def test_a_client_that_takes_back_all_it_asks_for():
    conn = server()
    for n in range(100):
        conn.receive(request(2 * n + 1) + frame(3, 0, 2 * n + 1, b"\0\0\0\x08"))
    assert not conn.error
    st = conn.receive(request(301))[0][1]
    conn.headers(st, OK, True)  # an answer makes up for one
    conn.receive(request(303) + frame(3, 0, 303, b"\0\0\0\x08"))
    assert not conn.error
    dies(conn, request(305) + frame(3, 0, 305, b"\0\0\0\x08"), "ENHANCE_YOUR_CALM")


def test_both_roles_talk_to_each_other():
    a, b = Connection(500), Server(500)
    st = a.open(GET)
    body = bytes(range(250)) * 40
    sent = 0
    got = bytearray()
    back = bytearray()
    done = False
    while not done:
        n = min(a.sendable(st), 300, len(body) - sent)
        data = bytes(a.take())
        if n:
            head = bytearray(9)
            a.data_header(head, 0, st, n, sent + n == len(body))
            data += bytes(head) + body[sent : sent + n]
            sent += n
        for event in b.receive(data):
            if event[0] == DATA:
                got.extend(event[2])
                b.consumed(event[1], len(event[2]))
            elif event[0] == END:
                b.headers(event[1], OK)
                head = bytearray(9)
                b.data_header(head, 0, event[1], 3, False)
                back = bytes(b.take()) + bytes(head) + b"bye"
                b.headers(event[1], [(b"x", b"y")], True)
        for event in a.receive(bytes(back) + bytes(b.take())):
            assert event[0] != RESET
            done = done or event[0] == END
        back = b""
        assert not a.error and not b.error
    assert bytes(got) == body and not a.streams and not b.streams
