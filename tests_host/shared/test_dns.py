"""Looking up a name: the packets of RFC 1035."""

from struct import pack

from cistern.port.dns import answer, query

QUESTION = b"\5cloud\4test\0\0\1\0\1"


def packet(records=b"", count=1, flags=0x8180, ident=7, questions=QUESTION):
    return pack(">HHHHHH", ident, flags, 1 if questions else 0, count, 0, 0) + questions + records


def record(kind, data, name=b"\xc0\x0c"):
    return name + pack(">HHIH", kind, 1, 60, len(data)) + data


def refusal(data):
    try:
        answer(7, data)
    except ValueError as e:
        return str(e)
    raise AssertionError("accepted")


def test_a_query_asks_for_the_address_of_a_name():
    asked = pack(">HHHHHH", 7, 0x0100, 1, 0, 0, 0) + QUESTION
    assert bytes(query(7, "cloud.test")) == asked == bytes(query(7, "cloud.test."))


def test_names_that_cannot_be():
    for bad in ("", "a..b", "x" * 64 + ".test"):
        try:
            query(1, bad)
        except ValueError:
            continue
        raise AssertionError(bad)


def test_the_first_address_counts_whatever_comes_before():
    assert answer(7, packet(record(1, b"\x7f\0\0\1"))) == "127.0.0.1"
    alias = record(5, b"\4edge\xc0\x12") + record(28, b"\0" * 16)
    found = packet(alias + record(1, b"\x0a\1\2\3", b"\4edge\xc0\x12"), 3)
    assert answer(7, found) == "10.1.2.3"
    assert answer(7, packet(record(1, b"\1\2\3\4", b"\1a\0"), questions=b"")) == "1.2.3.4"


def test_packets_that_are_not_our_answer_are_passed_over():
    good = packet(record(1, b"\x7f\0\0\1"))
    assert answer(8, good) is None
    assert answer(7, packet(flags=0x0180)) is None  # a query
    for n in range(len(good)):
        assert answer(7, good[:n]) is None, n


def test_what_a_server_says_no_with():
    assert refusal(packet(count=0, flags=0x8183)) == "no such name"
    assert refusal(packet(count=0, flags=0x8182)) == "server failure"
    assert refusal(packet(count=0, flags=0x818F)) == "error 15"
    assert refusal(packet(count=0, flags=0x8184)) == "error 4"
    assert "no IPv4" in refusal(packet(record(28, b"\0" * 16)))
