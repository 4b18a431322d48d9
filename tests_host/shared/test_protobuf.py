"""Protobuf by hand: the bytes that google's gives (viam.md 3.11)."""

from binascii import hexlify, unhexlify

from cistern.cloud.datasync import upload_metadata
from cistern.cloud.plain import field, value
from cistern.cloud.protobuf import Writer, fields, find
from cistern.cloud.rare import sensor_data
from cistern.sync.settle import parse

REQUESTED = 1700000000123456
RECEIVED = 1700000000223456


class Stream:
    component_type = "rdk:component:board"
    component_name = "my-esp32"
    method = "Analogs"
    params = {"reader_name": "A1"}


def struct_(d):
    w = Writer()
    w.struct(d)
    return bytes(w.view())


def _hex(data):
    return str(hexlify(data), "ascii")


def test_a_reading_is_byte_for_byte_what_protobuf_gives():
    # the golden vectors' times end in 789 ns; ours are whole microseconds
    got = _hex(sensor_data(REQUESTED, RECEIVED, {"readings": {"fake_sensor": 42.42}}))
    assert got.endswith(
        "122a0a280a0872656164696e6773121c2a1a0a180a0b66616b655f73656e736f72120911f6285c8fc2354540"
    )
    assert "0880e2cfaa06" in got


def test_metadata_carries_params_extension_and_tags():
    data = upload_metadata("part-1234", Stream, "f", ("a", "b"))
    inner = next(v for n, v in fields(data) if n == 1)
    found = {}
    for n, v in fields(inner):
        found.setdefault(n, []).append(v)
    assert bytes(found[1][0]) == b"part-1234"
    assert bytes(found[9][0]) == b".dat" and found[6] == [2]
    assert [bytes(t) for t in found[10]] == [b"a", b"b"]
    assert _hex(bytes(found[8][0])) == (
        "0a0b7265616465725f6e616d6512310a29747970652e676f6f676c65617069732e636f6d2f"
        "676f6f676c652e70726f746f6275662e56616c756512041a024131"
    )


def test_members_of_a_oneof_are_written_even_when_zero():
    assert value(0.0) == b"\x11" + bytes(8)
    assert value("") == b"\x1a\x00"
    assert value(False) == b"\x20\x00"
    assert value(None) == b"\x08\x00"


def test_keys_come_sorted():
    assert struct_({"b": 1, "a": 2}) == struct_({"a": 2, "b": 1})
    assert struct_({"b": None, "a": None}) == unhexlify(
        "0a070a016112020800" + "0a070a016212020800"
    )


def test_too_deep_a_value_is_refused():
    deep = {}
    for _ in range(40):
        deep = {"x": deep}
    try:
        struct_(deep)
    except ValueError as e:
        assert "deep" in str(e)
    else:
        raise AssertionError("accepted")


def test_a_message_cut_anywhere_is_refused_or_read_but_never_crashes():
    whole = field(1, "token") + field(2, b"x" * 200)
    assert find(whole, 1) == b"token" and find(whole, 3) is None
    for n in range(len(whole)):
        try:
            list(fields(whole[:n]))
        except ValueError:
            pass


def test_http_dates():
    assert parse("Sun, 22 Nov 2026 16:31:51 GMT") == 1795365111000000
    assert parse("Thu, 29 Feb 2028 00:00:00 GMT") == 1835395200000000
    for bad in (
        None,
        "",
        "yesterday",
        "Thu, 01 Jan 1970 00:00:00 GMT",
        "Sun, 22 ovN 2026 16:31:51 GMT",
    ):
        assert parse(bad) is None
