"""HPACK against another implementation in both directions, and the fuzzer for a moment."""

import random

import hpack
from hypothesis import given, settings
from hypothesis import strategies as st

import net_fuzz
from cistern.net.hpack import Decoder, HpackError, encode, unhuffman

NAMES = st.one_of(
    st.sampled_from([b":status", b":path", b"date", b"authorization", b"grpc-status", b"x"]),
    st.binary(min_size=1, max_size=20).map(lambda b: b.replace(b"\n", b"a").replace(b"\t", b"b")),
)
VALUES = st.one_of(st.sampled_from([b"200", b"", b"/"]), st.binary(max_size=200))
FIELDS = st.lists(st.tuples(NAMES, VALUES), max_size=12)


TABLES = st.sampled_from([0, 64, 256, 4096])


@given(st.lists(FIELDS, min_size=1, max_size=6), TABLES, st.booleans())
@settings(deadline=None)
def test_we_decode_what_another_encoder_makes(blocks, size, huffman):
    encoder = hpack.Encoder()
    encoder.header_table_size = size
    decoder = Decoder(size, 1 << 20)
    for fields in blocks:
        assert decoder.decode(encoder.encode(fields, huffman=huffman)) == fields


@given(st.lists(FIELDS, min_size=1, max_size=6))
@settings(deadline=None)
def test_another_decoder_understands_what_we_make(blocks):
    decoder = hpack.Decoder()
    for fields in blocks:
        out = bytearray()
        encode(out, fields)
        got = decoder.decode(bytes(out), raw=True)
        assert [tuple(f) for f in got] == fields
        secret = [f for f in got if f[0] == b"authorization" and f[1]]
        assert all(not f.indexable for f in secret)


@given(st.binary(max_size=300), st.sampled_from([0, 100, 4096]))
@settings(deadline=None)
def test_any_block_is_decoded_or_refused_as_the_other_decoder_does(block, size):
    """Where both accept a block they read the same; ours never fails in another way."""
    other = hpack.Decoder(max_header_list_size=1 << 20)
    other.max_allowed_table_size = other.header_table_size = size
    try:
        theirs = [tuple(f) for f in other.decode(block, raw=True)]
    except (hpack.HPACKError, IndexError, ValueError):
        theirs = None
    try:
        ours = Decoder(size, 1 << 20).decode(block)
    except HpackError:
        ours = None
    if theirs is not None and ours is not None:
        assert ours == theirs


@given(st.binary(max_size=100))
@settings(deadline=None)
def test_any_huffman_string_is_decoded_or_refused(data):
    try:
        text = unhuffman(data)
    except HpackError:
        return
    encoder = hpack.huffman.HuffmanEncoder(
        hpack.huffman_constants.REQUEST_CODES, hpack.huffman_constants.REQUEST_CODES_LENGTH
    )
    assert encoder.encode(text) == data


def test_the_fuzzer_finds_nothing_in_a_moment():
    assert net_fuzz.run(3, random.randrange(10**9)) > 20
