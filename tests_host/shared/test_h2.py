"""The HTTP/2 client against what RFC 9113 allows and forbids a server."""

from struct import pack, unpack

from cistern.net import h2
from cistern.net.events import DATA, END, GOAWAY, HEADERS, PONG, RESET, SETTINGS, WINDOW
from cistern.net.h2 import Connection
from cistern.net.hpack import Decoder, encode
from cistern.net.why import error_name

GET = [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/"), (b":authority", b"a")]
OK = [(b":status", b"200")]


def ok(*more):
    return OK + list(more)


END_STREAM, ACK, END_HEADERS, PADDED, PRIORITY = 1, 1, 4, 8, 32
WINDOW_SIZE = 1000


def frame(kind, flags=0, sid=0, payload=b""):
    n = len(payload)
    return pack(">BHBBI", n >> 16, n & 0xFFFF, kind, flags, sid) + payload


def block(fields):
    out = bytearray()
    encode(out, fields)
    return bytes(out)


def headers(sid, fields, flags=END_HEADERS):
    return frame(1, flags, sid, block(fields))


def settings(*pairs):
    return frame(4, 0, 0, b"".join(pack(">HI", k, v) for k, v in pairs))


def sent(conn):
    """The frames that wait to be written, as (type, flags, stream, payload)."""
    data = bytes(conn.take())
    if data[:3] == b"PRI":
        data = data[24:]
    out = []
    while data:
        high, low, kind, flags, sid = unpack(">BHBBI", data[:9])
        n = high << 16 | low
        out.append((kind, flags, sid, data[9 : 9 + n]))
        data = data[9 + n :]
    return out


def connection(streams=1, end=True, **kwargs):
    """A client that has the server's SETTINGS and some open streams."""
    conn = Connection(WINDOW_SIZE, **kwargs)
    conn.receive(settings())
    for _ in range(streams):
        conn.open(GET, end)
    conn.take()
    return conn


def plain(events):
    """Events that can be compared: streams as numbers, DATA as bytes and joined."""
    out = []
    for event in events:
        kind, st = event[0], event[1]
        row = [kind, st.id if st else 0]
        row.extend([bytes(event[2])] if kind == DATA else event[2:])
        out.append(tuple(row))
    return joined(out)


def joined(events):
    """Runs of DATA as one."""
    out = []
    for event in events:
        if event[0] == DATA and out and out[-1][:2] == event[:2]:
            out.append((DATA, event[1], out.pop()[2] + event[2]))
        else:
            out.append(event)
    return out


def dies(conn, data, name):
    """A connection error with this code, told to the peer; nothing is heard after it."""
    conn.receive(data)
    assert conn.error, f"expected {name}"
    assert error_name(conn.error.code) == name, error_name(conn.error.code)
    kind, _, sid, payload = sent(conn)[-1]
    assert (kind, sid, payload[4:8]) == (7, 0, pack(">I", conn.error.code))
    assert conn.receive(frame(6, 0, 0, b"12345678")) == [] and not conn.pending()
    assert conn.closing


def fails(conn, data, name, sid=1):
    """A stream error with this code; the connection goes on."""
    events = plain(conn.receive(data))
    assert not conn.error, conn.error
    kind, where, code, by_peer = events[-1]
    assert (kind, where, error_name(code), by_peer) == (RESET, sid, name, False), events
    assert (3, 0, sid, pack(">I", code)) in sent(conn)
    assert sid not in conn.streams
    assert plain(conn.receive(frame(6, ACK, 0, b"cistern\0"))) == [(PONG, 0)]


def test_the_preface_announces_no_push_and_our_limits():
    out = bytes(Connection(1000, 2000, 3000).take())
    assert out.startswith(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    assert out[24:] == settings((1, 3000), (2, 0), (4, 1000), (6, 2000))


def test_settings_must_come_first():
    for first in (frame(6, 0, 0, b"12345678"), frame(4, ACK), frame(8, 0, 0, b"\0\0\0\1")):
        dies(Connection(), first, "PROTOCOL_ERROR")
    conn = Connection()
    assert not conn.ready
    assert plain(conn.receive(settings((3, 7), (99, 5)))) == [(SETTINGS, 0)]
    assert conn.ready and conn.max_streams == 7
    assert sent(conn)[-1] == (4, ACK, 0, b"")
    assert conn.receive(frame(4, ACK)) == [] and not conn.pending()


def test_a_request_and_its_answer():
    conn = connection(0)
    st = conn.open(GET, False, "me")
    assert st.id == 1 and st.owner == "me"
    buf = bytearray(20)
    conn.data_header(buf, 0, st, 5, True)
    assert buf[:9] == frame(0, END_STREAM, 1, b"12345")[:9]
    kind, flags, sid, payload = sent(conn)[0]
    assert (kind, flags, sid) == (1, END_HEADERS, 1)
    assert Decoder().decode(payload) == GET
    events = conn.receive(headers(1, OK) + frame(0, 0, 1, b"hi") + headers(1, [(b"x", b"y")], 5))
    assert plain(events) == [
        (HEADERS, 1, OK), (DATA, 1, b"hi"), (HEADERS, 1, [(b"x", b"y")]), (END, 1),
    ]
    assert not conn.streams


def test_stream_ids_are_odd_and_run_out():
    conn = connection(3)
    assert sorted(conn.streams) == [1, 3, 5] and not conn.closing
    conn._next = 0x3FFFFFFF
    conn.open(GET)
    assert conn.closing


def test_a_large_header_block_goes_out_in_continuations():
    conn = connection(0)
    extra = [(b"x", b"y" * 40000)]
    conn.open(GET + extra, True)
    frames = sent(conn)
    assert [f[:3] for f in frames] == [(1, END_STREAM, 1), (9, 0, 1), (9, END_HEADERS, 1)]
    assert all(len(f[3]) <= 16384 for f in frames)
    whole = b"".join(f[3] for f in frames)
    assert Decoder(0, 50000).decode(whole)[-1] == (b"x", b"y" * 40000)


def test_the_first_block_tells_that_our_encoder_has_no_table():
    conn = Connection()
    conn.open(GET)
    conn.open(GET)
    first, second = (f[3] for f in sent(conn)[1:])
    assert first == b"\x20" + second


def test_padding_and_priority_are_taken_off():
    conn = connection()
    padded = frame(1, END_HEADERS | PADDED | PRIORITY, 1, b"\2\0\0\0\0\7" + block(OK) + b"\0\0")
    assert plain(conn.receive(padded)) == [(HEADERS, 1, OK)]
    assert plain(conn.receive(frame(0, PADDED, 1, b"\3hey\0\0\0"))) == [(DATA, 1, b"hey")]
    assert plain(conn.receive(frame(0, PADDED | END_STREAM, 1, b"\0"))) == [(END, 1)]


def test_padding_longer_than_its_frame():
    for bad in (
        frame(0, PADDED, 1, b"\3hi"),
        frame(1, PADDED | END_HEADERS, 1, b"\x09\x88"),
    ):
        conn = connection()
        conn.receive(headers(1, OK))
        dies(conn, bad, "PROTOCOL_ERROR")
    dies(connection(), frame(0, PADDED, 1), "FRAME_SIZE_ERROR")
    dies(connection(), frame(1, PRIORITY, 1, b"\0\0\0\0"), "FRAME_SIZE_ERROR")


def test_unknown_frames_flags_and_the_reserved_bit_are_ignored():
    conn = connection()
    odd = pack(">BHBBI", 0, 8, 6, 0xFE, 0x80000000) + b"12345678"
    assert conn.receive(frame(0x55, 0xFF, 7, b"x" * 300) + odd) == []
    assert sent(conn) == [(6, ACK, 0, b"12345678")]
    assert conn.receive(frame(2, 0, 1, b"\0\0\0\1\0") + frame(2, 0, 99, b"\0\0\0\1\0")) == []


def test_a_frame_on_the_wrong_kind_of_stream():
    for kind, payload in ((0, b"x"), (1, b"\x88"), (2, b"12345"), (3, b"1234"), (9, b"")):
        dies(connection(), frame(kind, END_HEADERS, 0, payload), "PROTOCOL_ERROR")
    for kind, payload in ((4, b""), (6, b"12345678"), (7, b"12345678")):
        dies(connection(), frame(kind, 0, 1, payload), "PROTOCOL_ERROR")


def test_a_frame_of_the_wrong_size():
    for kind, sid, n in ((2, 1, 4), (3, 1, 5), (4, 0, 5), (6, 0, 7), (7, 0, 7), (8, 0, 3)):
        dies(connection(), frame(kind, 0, sid, b"\0" * n), "FRAME_SIZE_ERROR")
    dies(connection(), frame(4, ACK, 0, b"\0" * 6), "FRAME_SIZE_ERROR")
    for kind in (0, 1, 0x55):
        dies(connection(), frame(kind, 0, 1, b"\0" * 16385), "FRAME_SIZE_ERROR")


def test_push_and_streams_of_the_server_are_refused():
    dies(connection(), frame(5, END_HEADERS, 1, b"\0\0\0\2\x88"), "PROTOCOL_ERROR")
    dies(connection(), headers(2, OK), "PROTOCOL_ERROR")
    dies(connection(), settings((2, 1)), "PROTOCOL_ERROR")
    conn = connection()
    conn.receive(settings((2, 0)))
    assert not conn.error


def test_idle_streams_take_nothing():
    for bad in (
        frame(0, 0, 3, b"x"), headers(3, OK), frame(3, 0, 3, b"1234"), frame(8, 0, 3, b"\0\0\0\1"),
    ):
        dies(connection(), bad, "PROTOCOL_ERROR")


def test_a_header_block_in_pieces():
    whole = block(ok((b"a", b"b")))
    conn = connection()
    data = frame(1, END_STREAM, 1, whole[:1]) + frame(9, 0, 1, b"") + frame(9, 4, 1, whole[1:])
    assert plain(conn.receive(data)) == [(HEADERS, 1, ok((b"a", b"b"))), (END, 1)]


def test_nothing_comes_between_the_pieces_of_a_header_block():
    begin = frame(1, 0, 1, b"\x88")
    for other in (frame(6, 0, 0, b"12345678"), frame(9, 4, 3), frame(0, 0, 1), frame(0x55)):
        conn = connection(2)
        conn.receive(begin)
        dies(conn, other, "PROTOCOL_ERROR")
    dies(connection(), frame(9, END_HEADERS, 1, b"\x88"), "PROTOCOL_ERROR")


def test_too_many_continuations():
    conn = connection()
    dies(conn, frame(1, 0, 1, b"\x88") + frame(9, 0, 1) * 9, "ENHANCE_YOUR_CALM")


def test_a_bad_header_block():
    dies(connection(), frame(1, END_HEADERS, 1, b"\x88\xff"), "COMPRESSION_ERROR")


def test_a_header_list_above_the_limit_ends_its_stream_only():
    big = [(b":status", b"200")] + [(b"x%d" % i, b"y" * 100) for i in range(30)]
    for limit in (1000, 3600):  # the block itself is above the limit, or only what it stands for
        conn = connection(2, limit=limit)
        fails(conn, headers(1, big), "ENHANCE_YOUR_CALM")
        assert plain(conn.receive(headers(3, OK))) == [(HEADERS, 3, OK)]
    # With a table granted, an undecoded block would lose its state.
    dies(connection(1, limit=1000, table=100), headers(1, big), "COMPRESSION_ERROR")


def test_malformed_responses():
    for bad in (
        [(b"x", b"y")],
        ok(*OK),
        [(b"x", b"y"), (b":status", b"200")],
        [(b":status", b"20")],
        [(b":status", b"2x0")],
        ok((b":path", b"/")),
        ok((b"Upper", b"x")),
        ok((b"A", b"x")),
        ok((b"Z", b"x")),
        ok((b"", b"x")),
        ok((b"a b", b"x")),
        ok((b"a:b", b"x")),
        ok((b"a\x7f", b"x")),
        ok((b"connection", b"close")),
        ok((b"transfer-encoding", b"chunked")),
        ok((b"te", b"gzip")),
        ok((b"x", b"a\nb")),
        ok((b"x", b"a\rb")),
        ok((b"x", b"a\0b")),
        ok((b"x", b" a")),
        ok((b"content-length", b"x")),
        ok((b"content-length", b"11111111111")),
    ):
        fails(connection(), headers(1, bad), "PROTOCOL_ERROR")
    conn = connection()
    assert conn.receive(headers(1, ok((b"te", b"trailers"), (b"\x21@[~", b"\xff"))))


def test_malformed_trailers():
    for bad in (headers(1, [(b"x", b"y")]), headers(1, OK, 5)):
        conn = connection()
        conn.receive(headers(1, OK))
        fails(conn, bad, "PROTOCOL_ERROR")


def test_interim_responses_are_passed_over():
    early = [(b":status", b"103")]
    conn = connection()
    data = headers(1, [(b":status", b"100")]) + headers(1, early) + headers(1, OK)
    assert plain(conn.receive(data)) == [(HEADERS, 1, OK)]
    fails(connection(), headers(1, early, 5), "PROTOCOL_ERROR")


def test_data_without_headers():
    fails(connection(), frame(0, 0, 1, b"x"), "PROTOCOL_ERROR")


def test_content_length_is_held_to():
    length = ok((b"content-length", b"3"))
    conn = connection()
    conn.receive(headers(1, length))
    assert plain(conn.receive(frame(0, 0, 1, b"ab") + frame(0, 1, 1, b"c")))[-1] == (END, 1)
    for bad in (frame(0, 1, 1, b"ab"), frame(0, 0, 1, b"abcd")):
        conn = connection()
        conn.receive(headers(1, length))
        fails(conn, bad, "PROTOCOL_ERROR")
    fails(connection(), headers(1, length, 5), "PROTOCOL_ERROR")


def test_frames_after_the_end_of_a_stream():
    for again in (frame(0, 0, 1, b"x"), headers(1, [(b"x", b"y")], 5)):
        conn = connection(1, False)  # we have not ended it, so it is half-closed (remote)
        conn.receive(headers(1, OK, 5))
        fails(conn, again, "STREAM_CLOSED")
        conn = connection()  # closed on both sides, and forgotten
        conn.receive(headers(1, OK, 5))
        assert conn.receive(again) == [] and not conn.error
        assert sent(conn) == [(3, 0, 1, pack(">I", 5))]
        assert conn.receive(frame(8, 0, 1, b"\0\0\0\1") + frame(3, 0, 1, b"1234")) == []


def test_what_still_comes_for_a_stream_we_reset_is_dropped():
    conn = connection(20)
    st = conn.streams[1]
    conn.reset(st)
    conn.reset(st)
    assert sent(conn) == [(3, 0, 1, pack(">I", 8))]
    late = headers(1, OK) + frame(0, 0, 1, b"x" * 100) + headers(1, [(b"x", b"y")], 5)
    assert conn.receive(late) == [] and not conn.pending()
    for sid in range(3, 21, 2):  # so many that the first is not remembered
        conn.reset(conn.streams[sid])
    conn.take()
    assert conn.receive(late) == [] and not conn.error
    assert sent(conn) == [(3, 0, 1, pack(">I", 5))] * 3


def test_a_reset_by_the_server():
    conn = connection(2)
    assert plain(conn.receive(frame(3, 0, 3, pack(">I", 7)))) == [(RESET, 3, 7, True)]
    assert sorted(conn.streams) == [1]


def test_goaway_ends_what_the_server_did_not_see():
    conn = connection(3)
    text = b"too_many_pings" + b"x" * 90
    events = plain(conn.receive(frame(7, 0, 0, pack(">II", 3, 11) + text)))
    assert events[0] == (RESET, 5, 7, True)
    assert events[1][:4] == (GOAWAY, 0, 3, 11) and len(events[1][4]) == 64
    assert conn.closing and sorted(conn.streams) == [1, 3]
    assert plain(conn.receive(headers(1, OK, 5))) == [(HEADERS, 1, OK), (END, 1)]


def test_sending_keeps_within_both_windows():
    conn = connection(2, False)
    a, b = conn.streams[1], conn.streams[3]
    buf = bytearray(9)
    assert conn.sendable(a) == 16384
    for _ in range(3):
        conn.data_header(buf, 0, a, 16384, False)
    conn.data_header(buf, 0, a, 16383, False)
    assert conn.sendable(a) == conn.sendable(b) == 0
    assert plain(conn.receive(frame(8, 0, 3, pack(">I", 5)))) == [(WINDOW, 3)]
    assert plain(conn.receive(frame(8, 0, 0, pack(">I", 70)))) == [(WINDOW, 0)]
    assert conn.sendable(b) == 70 and conn.sendable(a) == 0


def test_a_window_can_become_negative_by_settings():
    conn = connection(1, False)
    st = conn.streams[1]
    conn.data_header(bytearray(9), 0, st, 1000, False)
    conn.receive(settings((4, 100)))
    assert st.window == -900 and conn.sendable(st) == 0
    conn.receive(frame(8, 0, 1, pack(">I", 901)))
    assert conn.sendable(st) == 1
    assert conn.open(GET).window == 100


def test_windows_stay_below_2_to_the_31():
    dies(connection(), frame(8, 0, 0, pack(">I", 0x7FFFFFFF)), "FLOW_CONTROL_ERROR")
    dies(connection(), settings((4, 0x80000000)), "FLOW_CONTROL_ERROR")
    fails(connection(), frame(8, 0, 1, pack(">I", 0x7FFFFFFF)), "FLOW_CONTROL_ERROR")
    conn = connection()
    conn.receive(frame(8, 0, 1, pack(">I", 0x7FFFFFFF - 65535)))
    dies(conn, settings((4, 65536)), "FLOW_CONTROL_ERROR")
    dies(connection(0), settings((4, 0x80000000)), "FLOW_CONTROL_ERROR")


def test_a_window_update_of_nothing():
    dies(connection(), frame(8, 0, 0, b"\0\0\0\0"), "PROTOCOL_ERROR")
    fails(connection(), frame(8, 0, 1, b"\0\0\0\0"), "PROTOCOL_ERROR")


def test_impossible_frame_size_settings():
    for bad in (16383, 1 << 24):
        dies(connection(), settings((5, bad)), "PROTOCOL_ERROR")
    conn = connection()
    conn.receive(settings((5, 16384)))
    assert not conn.error


def test_a_server_that_ignores_our_stream_window():
    conn = connection(2)
    conn.receive(headers(1, OK))
    fails(conn, frame(0, 0, 1, b"x" * (WINDOW_SIZE + 1)), "FLOW_CONTROL_ERROR")


def test_a_server_that_ignores_our_connection_window():
    conn = Connection(100000)
    conn.receive(settings())
    conn.open(GET, True)
    conn.receive(headers(1, OK))
    conn._room = 2 * 16384 - 1
    conn.receive(frame(0, 0, 1, b"x" * 16383))
    assert not conn.error and conn._room == 16384
    conn.receive(frame(0, 0, 1, b"x" * 16384))
    assert not conn.error  # to the last byte
    conn._room = 16383
    dies(conn, frame(0, 0, 1, b"x" * 16384), "FLOW_CONTROL_ERROR")


def test_windows_are_given_back_by_halves():
    conn = connection()
    conn.receive(headers(1, OK))
    st = conn.streams[1]
    conn.receive(frame(0, 0, 1, b"x" * 600))
    conn.consumed(st, 499)
    assert not conn.pending()
    conn.consumed(st, 1)
    assert sent(conn) == [(8, 0, 1, pack(">I", 500))]
    conn.consumed(st, 499)
    assert not conn.pending()
    conn.consumed(st, 1)
    assert sent(conn) == [(8, 0, 1, pack(">I", 500))]
    for _ in range(85):  # padding is consumed by itself
        conn.receive(frame(0, PADDED, 1, bytes([200]) + b"\0" * 200 + b"y" * 200))
        conn.consumed(st, 200)
    assert not conn.error
    total = [unpack(">I", f[3])[0] for f in sent(conn) if f[0] == 8 and not f[2]]
    assert total == [600 + 81 * 401]  # the first sum above the half of 65,535
    conn.receive(frame(0, END_STREAM, 1, b""))
    conn.consumed(st, 600)
    assert not conn.pending()  # nobody needs a window on a stream that has ended


def test_padding_is_given_back_with_the_byte_that_tells_its_length():
    conn = connection()
    conn.receive(headers(1, OK))
    st = conn.streams[1]
    conn.receive(frame(0, PADDED, 1, bytes([250]) + b"y" * 249 + b"\0" * 250))
    conn.consumed(st, 248)
    assert not conn.pending()
    conn.consumed(st, 1)
    assert sent(conn) == [(8, 0, 1, pack(">I", 500))]


def test_floods_meet_a_bound():
    for useless, name in (
        (frame(4, ACK), "acks"), (frame(2, 0, 1, b"12345"), "priorities"),
        (frame(0, 0, 1), "empty data"), (frame(0x55), "unknown"),
        (frame(6, ACK, 0, b"x" * 8), "pongs"),
        (frame(8, 0, 0, b"\0\0\0\1"), "window updates"), (frame(3, 0, 1, b"1234"), "resets"),
    ):
        conn = connection(2)
        conn.receive(headers(1, OK))
        for _ in range(1000):
            conn.receive(useless)
        assert not conn.error, name
        dies(conn, useless * 2, "ENHANCE_YOUR_CALM")
    for answered in (frame(6, 0, 0, b"12345678"), settings()):
        conn = connection()
        for _ in range(500):  # read and answered: no harm
            conn.receive(answered)
            conn.take()
        assert not conn.error
        dies(conn, answered * 114, "ENHANCE_YOUR_CALM")


def test_time_and_data_lift_the_flood_bound():
    conn = connection(1, False)
    for _ in range(3):
        conn.receive(frame(0x55) * 999)
        conn.idle = 0
        conn.receive(frame(0x55) * 999)
        conn.data_header(bytearray(9), 0, conn.streams[1], 1, False)
    assert not conn.error


def test_ping_and_goaway_of_ours():
    conn = connection()
    conn.ping()
    conn.goaway(2)
    assert sent(conn) == [(6, 0, 0, b"cistern\0"), (7, 0, 0, pack(">II", 0, 2))]
    assert conn.closing


CONVERSATIONS = (
    settings((3, 9), (4, 70000))
    + frame(4, ACK)
    + frame(1, PADDED | PRIORITY, 1, b"\1\0\0\0\0\7" + block(OK) + b"\0")
    + frame(9, 0, 1, block([(b"a", b"b")]))
    + frame(9, END_HEADERS, 1, block([(b"date", b"now")]))
    + frame(0x77, 1, 2, b"??")
    + frame(0, PADDED, 1, b"\2data\0\0")
    + frame(8, 0, 1, b"\0\0\0\7")
    + frame(0, 0, 1, b"more")
    + frame(6, 0, 0, b"12345678")
    + headers(1, [(b"grpc-status", b"0")], 5)
    + frame(3, 0, 3, pack(">I", 2))
    + frame(7, 0, 0, pack(">II", 5, 0) + b"bye"),
    settings() + headers(1, OK) + frame(0, END_STREAM, 1, b"") + frame(8, 0, 0, b"\0\0\0\0"),
    settings() + frame(1, END_HEADERS, 1, b"\xff\xff\xff\xff\xff"),
    settings() + headers(1, ok((b"content-length", b"1"))) + frame(0, 0, 1, b"22") + frame(0x99),
    settings() + headers(1, OK) + frame(0, 0, 1, b"1") * 20 + frame(3, 0, 3, b"\0\0\0\x08"),
)


def test_a_conversation_cut_at_any_byte_gives_the_same_events():
    for data in CONVERSATIONS:
        results = []
        for cut in range(-1, len(data)):
            conn = Connection(WINDOW_SIZE)
            for _ in range(3):
                conn.open(GET)
            events = []
            for part in ([data] if cut < 0 else [data[:cut], data[cut:]]):
                # Events point into the buffer that was fed: copy before the next one.
                events += plain(conn.receive(part))
            results.append((joined(events), bytes(conn.take()), conn.error and conn.error.code))
            assert results[-1] == results[0], cut
        one = Connection(WINDOW_SIZE)
        for _ in range(3):
            one.open(GET)
        for i in range(len(data)):
            one.receive(data[i : i + 1])
        assert bytes(one.take()) == results[0][1]


def test_names_of_errors():
    assert error_name(7) == "REFUSED_STREAM" and error_name(13) == "HTTP_1_1_REQUIRED"
    assert error_name(14) == "error 14"
    assert h2.ProtocolError(1).code == 1
