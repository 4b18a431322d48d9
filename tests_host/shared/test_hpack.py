"""HPACK against the examples of RFC 7541, and what a peer must not get away with."""

from binascii import unhexlify

from cistern.net.hpack import Decoder, HpackError, encode, unhuffman


def fields(text):
    """Lines of "name: value" as a header list."""
    return [tuple(p.encode() for p in line.split(": ", 1)) for line in text.split("\n")]


def refused(decoder, block):
    try:
        decoder.decode(block)
    except HpackError:
        return True
    return False


FIRST = ":method: GET\n:scheme: http\n:path: /\n:authority: www.example.com"
SECOND = FIRST + "\ncache-control: no-cache"
THIRD = (
    ":method: GET\n:scheme: https\n:path: /index.html\n:authority: www.example.com\n"
    "custom-key: custom-value"
)
FOUND = (
    ":status: 302\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:21 GMT\n"
    "location: https://www.example.com"
)
MOVED = FOUND.replace("302", "307")
OK = (
    ":status: 200\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:22 GMT\n"
    "location: https://www.example.com\ncontent-encoding: gzip\n"
    "set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1"
)


def decodes(table, pairs):
    """Blocks of one connection give these lists."""
    decoder = Decoder(table)
    for block, expected in pairs:
        assert decoder.decode(unhexlify(block)) == fields(expected), expected


def test_examples_of_appendix_c2():
    decodes(4096, [("400a637573746f6d2d6b65790d637573746f6d2d686561646572",
                    "custom-key: custom-header")])
    decodes(4096, [("040c2f73616d706c652f70617468", ":path: /sample/path")])
    decodes(4096, [("100870617373776f726406736563726574", "password: secret")])
    decodes(4096, [("82", ":method: GET")])


def test_examples_of_appendix_c3_requests():
    decodes(4096, [
        ("828684410f7777772e6578616d706c652e636f6d", FIRST),
        ("828684be58086e6f2d6361636865", SECOND),
        ("828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565", THIRD),
    ])


def test_examples_of_appendix_c4_requests_with_huffman():
    decodes(4096, [
        ("828684418cf1e3c2e5f23a6ba0ab90f4ff", FIRST),
        ("828684be5886a8eb10649cbf", SECOND),
        ("828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf", THIRD),
    ])


def test_examples_of_appendix_c5_responses_evict_from_a_table_of_256_bytes():
    decodes(256, [
        ("4803333032580770726976617465611d4d6f6e2c203231204f637420323031332032303a31333a32312047"
         "4d546e1768747470733a2f2f7777772e6578616d706c652e636f6d", FOUND),
        ("4803333037c1c0bf", MOVED),
        ("88c1611d4d6f6e2c203231204f637420323031332032303a31333a323220474d54c05a04677a697077386"
         "66f6f3d4153444a4b48514b425a584f5157454f50495541585157454f49553b206d61782d6167653d33363"
         "0303b2076657273696f6e3d31", OK),
    ])


def test_examples_of_appendix_c6_responses_with_huffman():
    decodes(256, [
        ("488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863"
         "c78f0b97c8e9ae82ae43d3", FOUND),
        ("4883640effc1c0bf", MOVED),
        ("88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b3"
         "35dfdfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007", OK),
    ])


def test_every_octet_can_be_huffman_coded():
    # All 256 octets in order, coded by another implementation; the longest codes have 30 bits.
    coded = unhexlify(
        "ffc7fffd8fffffe2fffffe3fffffe4fffffe5fffffe6fffffe7fffffe8ffffeafffffff3fffffa7fffff"
        "abffffffdfffffebfffffecfffffedfffffeefffffefffffff0ffffff1ffffff2fffffffbfffffcfffff"
        "fd3fffffd7fffffdbfffffdffffffe3fffffe7fffffebfffffed4fe3f9ffaffcabf1febfafefe7fdfd2c"
        "bb00089969b71d79fb9f7fff20ffbff3ff50ddbd7f061c58f265cd9f469d5af66dddbf871e5f9cff7ff7"
        "fffc3ff9ffe45fff4719242cb34e6e9d68a6a3d7dac426defe3cfaf7fffbfe7ffbffdffffffcfffe6fff"
        "f4bfff9ffffa3fffd3ffff53fffd5ffffb3fffeb7fffdaffffb7ffff73fffeeffffdeffffebffffbffff"
        "fd9ffffdbfffebffffe0ffffeeffffc3ffff8bffff1ffffe4fffee7fffb1ffff97fffd9ffffcdffff9ff"
        "fffbffffdafffeeffff4ffffb7fffee7fffe8ffffd3fffdeffffd5fffeeffffbdffffe1fffdfffff7fff"
        "ff5ffffecffff07fff87fffe0ffff17fffedffff87ffff77fffeffffeaffff8bfffe3ffff93ffff87fff"
        "cbffff37ffff1fffff83ffffe1fffebfffe3ffff3fffff2ffffa3ffffd9fffff17ffffc7fffff27ffffd"
        "efffffbffffff2fffff8fffffb7fff97fff8fffffe6fffffc1fffff87ffffe7fffffc5ffffe5fffe4fff"
        "f2fffffd1fffff4ffffffefffffe3fffffc9fffff97fffb3ffffcffffb7fffcdffff4ffff9ffffd1ffff"
        "cffffeaffffafffffddffffeffffff4fffff5fffffabffffa7ffffd7fffff9bffffecfffffb7fffff3ff"
        "fffe8fffffd3fffffabfffff5fffffff7ffffecfffffdbfffffbbfffff7ffffff0fffffbbf"
    )
    assert unhuffman(coded) == bytes(range(256))


def test_huffman_padding_is_at_most_seven_ones():
    assert unhuffman(unhexlify("1f")) == b"a"
    for bad in ("18", "1e", "1fff", "ffffffff", "fffffffffff1"):
        try:
            unhuffman(unhexlify(bad))
        except HpackError:
            continue
        raise AssertionError(bad)


def test_integers_may_be_long_but_not_large():
    # Appendix C.1.2: 1337 with a prefix of 5 bits, here as a table size.
    decoder = Decoder(4096)
    assert decoder.decode(unhexlify("3f9a0a82")) == [(b":method", b"GET")]
    assert refused(Decoder(4096), unhexlify("3fe21f"))  # 4,097
    assert not refused(Decoder(4096), unhexlify("3fe19f8000"))  # 4,096 with zeros above
    assert refused(Decoder(4096), unhexlify("3fe19f808000"))
    assert refused(Decoder(4096), unhexlify("ffffffffff7f"))
    assert refused(Decoder(4096), unhexlify("7fffffffff7f"))


def test_a_block_cut_anywhere_is_refused():
    for block in (unhexlify("400a637573746f6d2d6b65790d637573746f6d2d686561646572"), b"\x3f\x9a"):
        for n in range(1, len(block)):
            assert refused(Decoder(4096), block[:n]), n


def test_indices_without_a_field_are_refused():
    assert refused(Decoder(4096), b"\x80")  # 0
    assert refused(Decoder(4096), b"\xbe")  # 62, with an empty table
    assert refused(Decoder(4096), b"\x7e\x01a")  # as a name
    assert not refused(Decoder(4096), b"\xbd")  # 61, the last static one


def test_a_size_update_empties_the_table_and_only_comes_first():
    decoder = Decoder(4096)
    assert decoder.decode(b"\x40\x01a\x01b") == [(b"a", b"b")]
    assert decoder.decode(b"\xbe") == [(b"a", b"b")]
    assert refused(Decoder(4096), b"\x82\x20")
    assert decoder.decode(b"\x20\x3f\xe1\x1f\x82") == [(b":method", b"GET")]  # to 0, to 4,096
    assert refused(decoder, b"\xbe")


def test_a_field_larger_than_the_table_empties_it():
    decoder = Decoder(64)
    decoder.decode(b"\x40\x01a\x01b")
    assert decoder.decode(b"\x40\x01c\x28" + b"x" * 40) == [(b"c", b"x" * 40)]
    assert refused(decoder, b"\xbe")


def test_limits_are_inclusive():
    decoder = Decoder(34, 34)
    assert decoder.decode(b"\x40\x01a\x01b") == [(b"a", b"b")]  # 1 + 1 + 32
    assert decoder.decode(b"\xbe") == [(b"a", b"b")]
    assert Decoder(0, 33).decode(b"\x40\x01a\x01b") is None


def test_a_list_above_the_limit_is_dropped_but_its_table_entries_count():
    decoder = Decoder(4096, 100)
    assert decoder.decode(b"\x40\x01a\x3c" + b"x" * 60) == [(b"a", b"x" * 60)]
    assert decoder.decode(b"\xbe\x40\x01b\x01c") is None
    assert decoder.decode(b"\xbe") == [(b"b", b"c")]
    Decoder(0).skip()
    try:
        decoder.skip()
    except HpackError:
        return
    raise AssertionError("a table depends on every block")


def test_the_encoder_uses_static_indices_and_literals():
    out = bytearray()
    encode(out, [(b":method", b"POST"), (b":path", b"/a"), (b"te", b"trailers"), (b"accept", b"")])
    assert bytes(out) == b"\x83\x04\x02/a\x00\x02te\x08trailers\x93"


def test_a_secret_is_never_indexed_and_long_values_survive():
    out = bytearray()
    secret = [(b"authorization", b"Bearer " + b"x" * 300), (b"a" * 200, b"y" * 20000)]
    encode(out, secret)
    assert out[0] == 0x1F and out[1] == 23 - 15  # 0001 prefix: never indexed; name 23
    assert Decoder(0, 30000).decode(out) == secret
