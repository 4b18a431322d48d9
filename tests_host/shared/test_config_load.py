"""A JSON text is a configuration, or is refused with the place of its first mistake."""

import json
import sys

from cistern import config
from cistern.errors import CisternError

BROKEN = (
    # text, line, column, words of the message
    ("", 1, 1, "the text is empty"),
    (" \n ", 2, 2, "the text is empty"),
    ("[]", 1, 1, "expected {"),
    ("true", 1, 1, "expected {"),
    ("// mine\n{}", 1, 1, "no comments"),
    ("{", 1, 2, "the { of line 1 is open"),
    ('{"a": [\n1,\n2', 3, 2, "the [ of line 1 is open"),
    ('{"a": "b', 1, 9, "the { of line 1 is open"),
    ('{"a": "b\n"}', 1, 7, "closing quote"),
    ('{"a": tru}', 1, 7, "expected a value"),
    ('{"a": True}', 1, 7, "small letters"),
    ('{"a": None}', 1, 7, "null"),
    ('{"a": NaN}', 1, 7, "NaN"),
    ('{"a":}', 1, 6, "expected a value"),
    ('{"a" 1}', 1, 6, "expected :"),
    ("{'a': 1}", 1, 2, 'quotes are "'),
    ("{a: 1}", 1, 2, "expected a key"),
    ("{1: 2}", 1, 2, "expected a key"),
    ('{"a": 1,}', 1, 8, "no comma"),
    ('{"a": [1, 2, ]}', 1, 12, "no comma"),
    ('{"a": 1 "b": 2}', 1, 9, "expected , or }"),
    ('{"a": [1 2]}', 1, 10, "expected , or ]"),
    ('{"a": [1}', 1, 9, "expected , or ]"),
    ('{"a": 1]', 1, 8, "expected , or }"),
    ('{"a": 1}}', 1, 9, "end of the text"),
    ('{"a": 1} x', 1, 10, "end of the text"),
    ('{"a": 01}', 1, 7, "no 0"),
    ('{"a": +1}', 1, 7, "expected a value"),
    ('{"a": .5}', 1, 7, "expected a value"),
    ('{"a": 1.}', 1, 9, "expected a digit"),
    ('{"a": -}', 1, 8, "expected a digit"),
    ('{"a": 1e}', 1, 9, "expected a digit"),
    ('{"a": %s}' % ("1" * 41), 1, 7, "41 digits"),
    ('{"a": "\\q"}', 1, 8, "after the \\"),
    ('{"a": "\\u12g4"}', 1, 8, "hexadecimal"),
    ('{"a": "\\ud83d\\ude00"}', 1, 8, "write the character itself"),
    ('{"a": "\\uDC00"}', 1, 8, "write the character itself"),
    ('{"a": "\x1f"}', 1, 7, "closing quote"),
    ('{\n  "a": 1,\n  "b": 2,\n  "a": 3}', 4, 3, 'the key "a" is in this object already'),
    ('{"a": 1, "\\u0061": 2}', 1, 10, "already"),
    ('{"pin_name": \u201c27\u201d}', 1, 14, "typographic"),
    ('{"pin": "27" // mine\n}', 1, 14, "no comments"),
    ('{"a":\u200b1}', 1, 6, "here is the character U+200B, which may not show: delete it"),
    ('{"a": 1,\n\u00a0"b": 2}', 2, 1, "U+00A0"),
    ('{"a": 1\u2028}', 1, 8, "U+2028"),
    ('\ufeff\ufeff{"a": 1}', 1, 1, "U+FEFF"),
    ('{"a": 1}\u3000', 1, 9, "U+3000"),
    ('{"\0"\0:', 1, 2, "closing quote"),
    ("{\0", 1, 2, "as in UTF-16"),
)


def refusal(text):
    try:
        config.load(text)
    except config.ConfigError as e:
        return e
    raise AssertionError("taken: %r" % (text,))


def test_a_mistake_is_told_with_line_and_column():
    for text, line, column, words in BROKEN:
        e = refusal(text)
        assert (e.line, e.column) == (line, column), (text, e.line, e.column, e.message)
        assert words in e.message, (text, e.message)
        assert str(e) == "line %d, column %d: %s" % (line, column, e.message)
        assert isinstance(e, CisternError)


def test_a_column_counts_characters_not_bytes():
    e = refusal('{"Küche °C": oops}')
    assert (e.line, e.column) == (1, 14)


def test_what_is_right_comes_out_as_json_loads_has_it():
    for text in (
        "{}",
        ' {\r\n\t"a" : [ ] , "b" : { } } \n',
        '{"a": [1, -2, 0, 0.5, -1.5e-3, 2E+4, true, false, null, "x", {"y": [[]]}]}',
        '{"a": {"a": {"a": 1}}, "b": [{"a": 1}, {"a": 2}]}',
        '{"q": "\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9", "é°": "Küche"}',
        '{"a": %s}' % ("1" * 40),
    ):
        assert config.load(text) == json.loads(text)
        assert config.load(text.encode()) == json.loads(text)


def test_a_byte_order_mark_is_ignored():
    assert config.load(b'\xef\xbb\xbf{"a": 1}') == {"a": 1}


def test_bytes_that_are_not_utf8_are_told_with_their_line():
    e = refusal(b'{"a": 1,\n"b": "\xb0C"}')
    assert e.line == 2 and "UTF-8" in e.message


def test_utf16_is_told_from_text_in_another_encoding():
    little = b"".join([bytes((c, 0)) for c in b'{"a": 1}'])  # MicroPython encodes as UTF-8 alone
    big = b"".join([bytes((0, c)) for c in b'{"a": 1}'])
    for raw in (b"\xff\xfe" + little, b"\xfe\xff" + big):
        e = refusal(raw)
        assert (e.line, e.column) == (1, 1) and "UTF-16: save the file as UTF-8" in e.message
    assert "as in UTF-16" in refusal(little).message


def test_depth_is_bounded():
    def nested(depth):
        return '{"a": ' + "[" * (depth - 1) + "]" * (depth - 1) + "}"

    assert config.load(nested(20))
    e = refusal(nested(21))
    assert (e.line, e.column) == (1, 26) and "20 levels" in e.message
    # As deep as the size allows: still a plain answer, without recursion.
    assert "20 levels" in refusal('{"a": ' + "[" * 20000).message


def test_size_is_bounded():
    def text(size):
        return '{"a": "%s"}' % ("x" * (size - 9))

    assert len(config.load(text(config.MAX_TEXT))["a"]) == config.MAX_TEXT - 9
    e = refusal(text(config.MAX_TEXT + 1))
    assert str(config.MAX_TEXT) in e.message


def test_the_scanner_does_not_stay_in_memory():
    config.load("{}")
    refusal("{")
    assert "cistern.config.scan" not in sys.modules
    assert not hasattr(config, "scan")
