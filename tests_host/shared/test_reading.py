"""What a reading may be: what is none is refused when it is put, and leaves the ring as it was."""

import json

from cistern.cloud.expand import Expander
from cistern.record import Reader, Ring, Shape, Stream, read_definition
from cistern.record.loose import Timestamp
from cistern.record.reading import MAX_DEFINITION, utf8
from cistern.record.value import MAX_DEPTH

STREAM = Stream("rdk:component:sensor", "s", "Readings")
# What json.loads() of MicroPython makes of "\ud83c\udf24", and CPython of a text written so.
PAIR = json.loads('"\\ud83c"') + json.loads('"\\udf24"')
HALF = json.loads('"\\ud83c"')
LOW = json.loads('"\\udf24"')


def _ring(shape=None):
    return Ring(STREAM, 8000, 1000, shape)


def _kept(ring):
    """The payloads of all readings, by way of parcels; each is expanded, too."""
    out = []
    buf = bytearray(1280)
    while ring.readings:
        sealed = ring.seal(buf, 100, 100)
        assert sealed, "a parcel takes any reading that was put"
        _, shape = read_definition(sealed.definition)
        out += [shape.payload(v) for _, _, v in Reader(shape, bytes(sealed.payload))]
        expander = Expander(bytes(sealed.definition), bytearray(1024))
        for piece in expander.pieces(bytes(sealed.payload), 10**15):
            bytes(piece)
        ring.release()
    return out


def _lists(depth):
    x = 1
    for _ in range(depth):
        x = [x]
    return {"x": x}


def _dicts(depth):
    x = 1
    for _ in range(depth):
        x = {"x": x}
    return {"x": x}


def _endless():
    x = []
    x.append(x)
    return {"x": x}


class Odd(str):
    """A text of a class of one's own."""


async def later():
    """A coroutine that nobody awaits."""


def refused():
    """[(what it is, what is no reading)]"""
    coroutine = later()
    coroutine.close()
    return [
        ("None", None),
        ("a number", 7),
        ("a float", 1.5),
        ("a list", [{"n": 1}]),
        ("a text", "n"),
        ("True", True),
        ("bytes", b"n"),
        ("a coroutine", coroutine),
        ("a coroutine as a value", {"x": coroutine}),
        ("a function", {"x": len}),
        ("a set", {"x": {1, 2}}),
        ("an object", {"x": object()}),
        ("a class", {"x": int}),
        ("a complex number", {"x": 1j}),
        ("a range", {"x": range(3)}),
        ("a generator", {"x": (i for i in (1, 2))}),
        ("a memoryview", {"x": memoryview(b"12")}),
        ("a text of another class", {"x": Odd("a")}),
        ("a number as a name", {"x": {1: 2}}),
        ("None as a name", {None: 2}),
        ("bytes as a name", {b"x": 2}),
        ("half a character", {"x": HALF}),
        ("its other half", {"x": LOW}),
        ("half a character in a text", {"x": "a" + HALF + "b"}),
        ("the halves in the wrong order", {"x": LOW + HALF}),
        ("half a character and a whole one", {"x": HALF + "é"}),
        ("half a character in a name", {"x" + HALF: 1}),
        ("a character in two halves in a name", {"x" + PAIR: 1}),
        ("half a character in a list", {"x": [1, "a", HALF]}),
        ("an int beyond a double", {"x": 1 << 1023}),
        ("an int below a double", {"x": -(1 << 1023) - 1}),
        ("an int of a thousand digits", {"x": 10**1000}),
        ("a time that is no int", {"x": Timestamp(1.5)}),
        ("a time that is no double", {"x": Timestamp(1 << 1030)}),
        ("too many lists in each other", _lists(MAX_DEPTH)),
        ("too many dicts in each other", _dicts(MAX_DEPTH)),
        ("forty lists in each other", _lists(40)),
        ("very many lists in each other", _lists(400)),
        ("a list that has itself", _endless()),
        ("a long text", {"x": "a" * 1025}),
        ("a long name", {"a" * 2000: 1}),
        ("many values", {"x": [0.5] * 400}),
        ("many names of nothing", {"name %d" % i: None for i in range(400)}),
        ("very much nothing", {"x": [None] * 3000}),
    ]


def taken():
    """[(what it is, a reading)]"""
    return [
        ("nothing", {}),
        ("no readings", {"readings": {}}),
        ("empty things", {"a": [], "b": {}, "c": "", "d": b"", "": 0}),
        ("what is not", {"a": None, "b": [None, None]}),
        ("numbers", {"a": 1, "b": -1.5, "c": True, "d": 1 << 40, "e": -(1 << 70)}),
        ("the largest int", {"a": (1 << 1023) - 1, "b": -(1 << 1023)}),
        ("no number and beyond numbers", {"a": float("inf"), "b": -float("inf")}),
        ("texts", {"a": 'Grüße 🌊\x00\n"\\', "°": "\ue000\ufffe"}),
        ("a lot of text", {"a": "é" * 500}),
        ("bytes and a time", {"a": b"\xff\x00", "b": Timestamp(10**15), "c": Timestamp(-1)}),
        ("all that fit in each other", _lists(MAX_DEPTH - 1)),
        ("all dicts that fit in each other", _dicts(MAX_DEPTH - 1)),
        ("all names that fit", {"name %d" % i: i for i in range(60)}),
        ("long names", {"n" * 100 + str(i): None for i in range(8)}),
        ("much nothing", {"x": [None] * 900}),
    ]


def _raises(ring, payload):
    try:
        ring.put_payload(5, 1, payload)
    except (TypeError, ValueError) as e:
        return str(e)
    return None


def test_what_is_no_reading_is_refused_whatever_came_before():
    for what, payload in refused():
        for before in ({"x": 1}, {"x": [1]}, {"x": {"x": 1}}, {"x": "text"}, None, "any"):
            ring = _ring()
            good = []
            if before == "any":  # a stream whose readings describe themselves
                good = [{"x": x} for x in (1, "a", [1])]
            elif before:
                good = [before]
            for p in good:
                ring.put_payload(1, 1, p)
            assert _raises(ring, payload), (what, before)
            ring.put_payload(9, 1, {"x": 2})
            good.append({"x": 2})
            assert _kept(ring) == good, (what, before)


def test_what_is_a_reading_is_kept_and_can_be_sent_whatever_came_before():
    for what, payload in taken():
        for before in (None, {"x": 1}, {"a": [1]}, {"b": "text"}):
            ring = _ring()
            if before:
                ring.put_payload(1, 1, before)
            for _ in range(3):
                ring.put_payload(1, 1, payload)
            assert len(ring.definition) <= MAX_DEFINITION, what
            assert _kept(ring)[-3:] == [payload] * 3, what


def test_no_number_is_a_reading():
    ring = _ring()
    for x in (float("nan"), 1.5, float("nan")):
        ring.put_payload(1, 1, {"x": x})
    assert [str(p["x"]) for p in _kept(ring)] == ["nan", "1.5", "nan"]


def test_what_is_refused_says_what_it_is():
    def said(payload):
        return _raises(_ring(), payload)

    assert said(None) == "a reading must be a dict of names and values, and this is None"
    assert said([1]).endswith("and this is of type list")
    assert said({"x": {1, 2}}) == "a reading cannot hold a value of type set"
    assert said({"x": {1: 2}}) == "a name in a reading must be a str, and this is of type int"
    assert said(_lists(40)) == "a reading must not be nested deeper than 32 levels"
    assert "half a character" in said({"x": HALF})
    assert "1024 bytes" in said({"x": "a" * 1025})


def test_halves_of_a_character_that_are_a_pair_are_joined():
    """A weather station says {"sky": "\\ud83c\\udf24"}: only CPython's JSON joins them."""
    ring = _ring()
    ring.put_payload(1, 1, {"sky": PAIR})
    ring.put_payload(1, 1, {"sky": "a" + PAIR + PAIR + "é"})
    ring.put_payload(1, 1, {"sky": ["", PAIR]})
    assert [p["sky"] for p in _kept(ring)] == ["🌤", "a🌤🌤é", ["", "🌤"]]
    assert utf8(PAIR) == b"\xf0\x9f\x8c\xa4"


def test_bytes_that_are_no_text_are_refused():
    """MicroPython takes them for a text; CPython does not even make one of them."""
    bad = b"\xc0\x80", b"\xe0\x80\x80", b"\xe0\x9f\xbf", b"\xf0\x8f\xbf\xbf", b"\xf4\x90\x80\x80"
    for data in bad:
        try:
            text = data.decode()
        except UnicodeError:
            continue
        ring = _ring()
        assert _raises(ring, {"x": "a" + text}), data
        assert _raises(ring, {"x" + text: "a"}), data
    for data in (
        b"\xc2\x80",
        b"\xe0\xa0\x80",
        b"\xed\x9f\xbf",
        b"\xee\x80\x80",
        b"\xf4\x8f\xbf\xbf",
    ):
        assert utf8(data.decode()) == data


def test_texts_of_a_fixed_shape_are_looked_at_too():
    ring = _ring(Shape([(("readings", "a"), "string"), (("readings", "n"), "int")]))
    assert _put(ring, ["ä", 1]) and not _put(ring, [HALF, 1])
    assert not _put(ring, ["a", {1}]) and not _put(ring, ["a", 1 << 2000]) and _put(ring, ["b", 2])
    assert not _put(ring, [{1: 2}, 1]) and _put(ring, [None, 3])
    rows = [p["readings"] for p in _kept(ring)]
    assert rows == [{"a": "ä", "n": 1}, {"a": "b", "n": 2}, {"a": None, "n": 3}]


def test_values_of_the_wrong_type_in_a_fixed_shape_of_numbers_are_refused():
    for name in ("u16", "int", "f32", "f64"):
        ring = _ring(Shape([(("a",), name), (("b",), name)]))
        for bad in ({1}, later, object()):
            assert not _put(ring, [1, bad]), (name, bad)
        assert name == "u16" or not _put(ring, [1, 1 << 2000]), name
        assert _put(ring, [1, 2])
        assert _kept(ring) == [{"a": 1, "b": 2}], name


def test_a_value_that_does_not_fit_its_field_changes_no_other_reading():
    """Once a reading does not fit the fixed shape, they all describe themselves."""
    fields = [(("readings", "a"), "u16"), (("readings", "b"), "int"), (("readings", "c"), "f32")]
    ring = _ring(Shape(fields))
    rows = [[1, 2, 0.5], [-1, 2, 0.5], [1, 1 << 40, 0.5], [1, 2, 0.5], [1, 2, None], [7, 8, 9.5]]
    for values in rows:
        assert _put(ring, values) or values[2] is None
    assert not _put(ring, [1, 2]) and not _put(ring, [1, 2, 3.0, 4]) and not _put(ring, [])
    got = [[p["readings"][k] for k in "abc"] for p in _kept(ring)]
    assert got == [row for row in rows if row in got] and len(got) >= 5
    ring = _ring(Shape(fields))
    assert not _put(ring, [1, 2]) and not _put(ring, [1, 2, 3.0, 4]) and not _put(ring, [])


def _put(ring, values):
    try:
        ring.put(1, 1, values)
        return True
    except Exception as e:
        assert isinstance(e, (TypeError, ValueError, OverflowError)), e
        return False


def test_a_stream_that_could_not_be_sent_has_no_ring():
    kind = "rdk:component:sensor"
    for stream in (
        Stream(kind, "a" + HALF, "Readings"),
        Stream(kind, PAIR, "Readings"),
        Stream(kind, "a", "Readings", {}, ("tag " + HALF,)),
        Stream(kind, "a", "Analogs", {"reader_name": HALF}),
        Stream(kind, "a", "Analogs", {HALF: "a"}),
        Stream(kind, "a", "Readings", {"x": float("nan")}),
        Stream(kind, "a", "Readings", {"x": float("inf")}),
        Stream(kind, "a" * 3000, "Readings"),
        Stream(kind, "a", "Readings", {}, ["tag %d" % i for i in range(400)]),
    ):
        try:
            Ring(stream, 1000, 1000)
        except ValueError:
            continue
        raise AssertionError(stream.fields())
    for shape in ([(("field %d" % i,), "f32") for i in range(250)],):
        try:
            Ring(STREAM, 4000, 1000, Shape(shape))
        except ValueError as e:
            assert "250 fields" in str(e)
            continue
        raise AssertionError(shape)
    Ring(Stream(kind, "Gewächshaus 🌊", "Analogs", {"x": 1.5}, ("é",)), 1000, 1000)


def test_the_shapes_that_are_put_most_need_no_look():
    """Checks cost time: a fixed shape of numbers, and a reading like the one before, have none."""
    from cistern.record import reading

    calls = []
    was = reading._check

    def check(*args):
        calls.append(args)
        return was(*args)

    reading._check = check
    try:
        ring = _ring()
        for i in range(50):
            ring.put_payload(i, 1, {"readings": {"a": i * 0.5, "n": i, "s": "text", "l": [1, i]}})
        assert len(calls) <= 8, "once, for the first"
        calls.clear()
        ring = _ring(Shape([(("a",), "f32")]))
        for i in range(50):
            ring.put(i, 1, [i * 0.5])
        assert not calls
    finally:
        reading._check = was
