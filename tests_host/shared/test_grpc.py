"""gRPC calls: what is sent, and what the answer means."""

from struct import pack

from cistern.errors import GrpcError, LinkError
from cistern.net import why
from cistern.net.grpc import Answer, error, metadata, request

OK = [(b":status", b"200"), (b"content-type", b"application/grpc+proto")]
DONE = [(b"grpc-status", b"0")]


def message(data, flag=0):
    return pack(">BI", flag, len(data)) + data


def answer(first, body=b"", trailers=DONE, limit=1000, cut=None):
    """An Answer that was fed with a whole response."""
    a = Answer(limit)
    a.on_headers(first)
    for part in [body] if cut is None else [body[:cut], body[cut:]]:
        a.on_data(memoryview(part))
    if trailers:
        a.on_headers(trailers)
    a.on_end()
    return a


def test_a_request_has_what_grpc_asks_for():
    extra = [("Authorization", "Bearer x"), (b"b", b"c")]
    fields = request("/p.S/M", "host:1", "https", extra, 250)
    assert fields == [
        (b":method", b"POST"), (b":scheme", b"https"), (b":path", b"/p.S/M"),
        (b":authority", b"host:1"), (b"te", b"trailers"), (b"content-type", b"application/grpc"),
        (b"user-agent", b"cistern"), (b"grpc-timeout", b"250m"),
        (b"authorization", b"Bearer x"), (b"b", b"c"),
    ]
    assert b"grpc-timeout" not in dict(request("/", "h", "http", (), 0))
    assert dict(request("/", "h", "http", (), 10**12))[b"grpc-timeout"] == b"99999999m"


def test_binary_metadata_is_base64_without_padding():
    fields = dict(request("/", "h", "http", [("x-bin", b"\xab\xab\xab\xab")], 0))
    assert fields[b"x-bin"] == b"q6urqw"
    assert metadata([(b"x-bin", b"q6urqw"), (b"y-bin", b"q6urqw==")]) == {
        "x-bin": b"\xab" * 4, "y-bin": b"\xab" * 4,
    }
    assert metadata([(b"x-bin", b"q")]) == {"x-bin": "q"}  # not base64: as it came


def test_metadata_cannot_smuggle_lines():
    for bad in ("a\nb", "a\rb", "a\0b"):
        try:
            request("/", "h", "http", [("x", bad)], 0)
        except ValueError:
            continue
        raise AssertionError(bad)


def test_repeated_names_are_joined_and_any_octet_is_text():
    got = metadata([(b"a", b"1"), (b"b", b"\xc3\xa4"), (b"a", b"2"), (b"c", b"\xff")])
    assert got == {"a": "1,2", "b": "ä", "c": "\xff"}


def test_messages_are_put_together_from_any_pieces():
    body = message(b"abc") + message(b"") + message(b"x" * 300)
    for cut in range(len(body) + 1):
        a = answer(OK, body, cut=cut)
        assert a.done and not a.error
        assert [bytes(m) for m in a.messages] == [b"abc", b"", b"x" * 300]
    a = Answer(1000)
    a.on_headers(OK)
    for i in range(len(body)):
        a.on_data(body[i : i + 1])
    assert len(a.messages) == 3


def test_the_status_of_trailers():
    a = answer(OK, message(b"a"), [(b"grpc-status", b"5"), (b"grpc-message", b"no %E2%82%AC")])
    assert isinstance(a.error, GrpcError) and not a.done
    assert (a.error.status, a.error.message, a.error.retry) == (5, "no €", False)
    assert a.trailers["grpc-status"] == "5"


def test_trailers_only():
    busy = [(b"grpc-status", b"14"), (b"grpc-message", b"busy")]
    a = answer(OK + busy, trailers=None)
    assert a.error.status == 14 and a.error.message == "busy" and a.error.retry
    a = answer(OK + DONE, trailers=None)
    assert a.done and a.trailers is None


def test_a_missing_or_odd_status_is_unknown():
    for trailers in ([(b"x", b"y")], None, [(b"grpc-status", b"")], [(b"grpc-status", b"-1")]):
        a = answer(OK, message(b"a"), trailers)
        assert a.error.status == 2, trailers


def test_an_http_error_becomes_a_status():
    for status, expected in (
        (b"400", 13), (b"401", 16), (b"403", 7), (b"404", 12), (b"429", 14), (b"502", 14),
        (b"503", 14), (b"504", 14), (b"500", 2), (b"301", 2),
    ):
        a = answer([(b":status", status), (b"content-type", b"text/html")], b"<html>", None)
        assert a.error.status == expected, status
        assert status.decode() in str(a.error) and not a.messages
    assert answer([(b":status", b"200")], b"", None).error.status == 2
    assert answer([(b":status", b"200"), (b"content-type", b"text/plain")]).error.status == 2
    # A grpc-status counts more than the HTTP status.
    assert answer([(b":status", b"503"), (b"grpc-status", b"8")], b"", None).error.status == 8


def test_compressed_messages_are_refused():
    assert answer(OK, message(b"abc", 1)).error.status == 13
    assert answer(OK, message(b"abc", 255)).error.status == 13


def test_a_message_above_the_limit_is_refused_before_it_comes():
    a = Answer(100)
    a.on_headers(OK)
    a.on_data(message(b"x" * 100))
    assert not a.error
    a.on_data(pack(">BI", 0, 101))
    assert a.error.status == 8 and "101" in str(a.error)
    a.on_data(b"x" * 101)
    assert len(a.messages) == 1
    assert answer(OK, pack(">BI", 0, 0xFFFFFFFF)).error.status == 8


def test_an_answer_that_ends_inside_a_message():
    for body in (b"\0", message(b"abc")[:-1], message(b"abc")[:5]):
        assert answer(OK, body).error.status == 13, body


def test_percent_decoding_leaves_what_is_not_well_formed():
    for text, expected in (
        ("", ""), ("plain", "plain"), ("%41%2f", "A/"), ("%", "%"), ("%4", "\4"),
        ("%zz%41", "%zzA"),
        ("100%", "100%"), ("%F0%9F%98%88 \t", "\U0001f608 \t"), ("%ff", "\xff"),
    ):
        assert why.unpercent(text) == expected, text


def test_which_statuses_a_retry_can_help():
    helped = [s for s in range(18) if error(s, "").retry]
    assert helped == [1, 2, 4, 8, 10, 13, 14, 17]
    unsure = [s for s in range(18) if error(s, "").maybe_seen]
    assert unsure == [1, 2, 4, 13, 14, 17]
    assert isinstance(error(3, ""), LinkError)
