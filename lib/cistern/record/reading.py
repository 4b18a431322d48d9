"""What a reading may be: what flash, the receiver, viam-server and Viam's cloud can take.

It is checked before a reading is kept, and alike on both interpreters. A fixed shape of numbers
needs no check, and a shape that was found for a reading holds for all that fit it. So this is
borrowed where a reading has a new shape, and stays where readings describe themselves, are long,
or have text that is more than ASCII.
"""

from cistern.record.shape import code_of, node_of, shape_of
from cistern.record.stream import definition
from cistern.record.value import MAX_DEPTH

const = int  # MicroPython's compiler knows const() by its name

_INT = const(4)
_STRUCT = const(10)
_LIST = const(11)
_ANY = const(13)
# An integer of more bits may be none of the doubles that protobuf has; see value.LONG_INT.
_MAX_BITS = const(1023)
# Bytes of a definition: a state record of 1 KB and a parcel with the largest reading fit a sector
# beside it, also an encrypted one, of 3.5 KB.
MAX_DEFINITION = 1280
# Beyond so many nodes and keys readings describe themselves altogether. A parcel that is no more
# than a shape and the count of its readings would expand to megabytes.
MAX_NODES = 128
MAX_FIELDS = 200  # of a fixed shape; each takes 5 bytes at most, see value.MAX_READING


def check(payload):
    """Raise TypeError or ValueError unless `payload`, a reading, is one.

    It is a dict of names and values: None, bool, int, float, str, bytes, bytearray, Timestamp,
    dict, list, tuple, nested up to MAX_DEPTH, with integers that a double can hold. What its texts
    are, and how large it may be, is found when it is written (value.py).
    """
    if type(payload) is not dict:
        raise TypeError(
            "a reading must be a dict of names and values, and this is %s" % _named(payload)
        )
    _check(payload, 0)


def _check(x, depth):
    # As deep as the uploader counts it: 3 messages of protobuf for a struct in a struct.
    if depth > MAX_DEPTH:
        raise ValueError("a reading must not be nested deeper than %d levels" % MAX_DEPTH)
    code = code_of(x)
    if code == _STRUCT:
        for k in x:
            if type(k) is not str:
                raise TypeError("a name in a reading must be a str, and this is %s" % _named(k))
            _check_name(k)
            _check(x[k], depth + 1)
    elif code == _LIST:
        for v in x:
            _check(v, depth + 1)
    elif code == _INT:
        if x >> _MAX_BITS not in (0, -1):
            raise ValueError("an integer in a reading has more than %d bits" % _MAX_BITS)
    elif not code and hasattr(x, "us"):
        if type(x.us) is not int:
            raise TypeError("the time in a Timestamp must be an int")
        _check(x.us, depth)
    elif not code and type(x) not in (bytes, bytearray):
        raise TypeError("a reading cannot hold a value of type %s" % type(x).__name__)


def _check_name(text):
    if utf8(text) != text.encode():
        raise ValueError("a name has a character in two halves: %r" % text)


def _named(x):
    return "None" if x is None else "of type %s" % type(x).__name__


def utf8(text):
    """The bytes of a text as RFC 3629 has them, with halves of a character (UTF-16's surrogates)
    joined where they are a pair, as MicroPython's JSON leaves them.

    Raises ValueError where they are none, and for bytes that are no text, which MicroPython lets
    a str hold.
    """
    try:
        data = text.encode()
    except UnicodeError:  # CPython
        data = text.encode("utf-8", "surrogatepass")
    if not data or max(data) < 128:
        return data
    out = bytearray()
    high = at = 0
    while at < len(data):
        c = data[at]
        more = 0 if c < 128 else 1 if 192 <= c < 224 else 2 if 224 <= c < 240 else 3
        rest = data[at + 1 : at + 1 + more]
        whole = len(rest) == more and not 128 <= c < 192 and c < 248
        if more:
            c &= 63 >> more
        for b in rest:
            whole = whole and b >> 6 == 2
            c = c << 6 | b & 63
        half = c >> 11 == 27
        if (
            not whole
            or c < (0, 128, 2048, 65536)[more]
            or c >> 16 > 16
            or (high and c >> 10 != 55)
        ):
            break
        if high:
            out.extend(chr(65536 + ((high & 1023) << 10 | c & 1023)).encode())
            high = 0
        elif half:
            high = c
            if c >> 10 != 54:
                break
        else:
            out.extend(data[at : at + 1 + more])
        at += 1 + more
    if high or at < len(data):
        raise ValueError("a text has half a character, or bytes that are none, at byte %d" % at)
    return bytes(out)


def mended(text):
    """A text as it is, or with a ? for each half of a character and what else is none."""
    try:
        return str(utf8(text), "utf-8")
    except ValueError:
        return "".join([mended(c) if len(text) > 1 else "?" for c in text])


def shape_for(shape, payload, stream):
    """The narrowest shape that fits a payload, and what `shape` fits; checks the payload."""
    check(payload)
    if shape.codes:
        from cistern.record.loose import widened

        shape = widened(shape, payload)
    else:
        shape = bounded(node_of(payload))
    if len(definition(stream, shape)) > MAX_DEFINITION:
        shape = shape_of(_ANY)
    return shape


def bounded(root):
    """The Shape of a tree, or one that fits everything where the tree is too large."""
    return shape_of(_ANY if _size(root) > MAX_NODES else root)


def _size(node):
    return 1 + sum([_size(n) for n in node[1:]]) if isinstance(node, list) else 1


def check_stream(stream, shape):
    """Raise ValueError unless what a stream is, and a fixed shape of its readings, can be kept
    and sent.
    """
    for text in stream.fields()[:3] + stream.tags:
        _check_name(text)
    for key in stream.params:
        x = stream.params[key]
        if type(x) is float and x - x != 0:
            raise ValueError("%s in its params is no number" % key)
        if type(x) is str:
            _check_name(x)
    _check(stream.params, 0)
    if len(shape.codes) > MAX_FIELDS:
        raise ValueError(
            "a reading has %d fields; at most %d are possible" % (len(shape.codes), MAX_FIELDS)
        )
    check(shape.payload([0] * len(shape.codes)))
    n = len(definition(stream, shape))
    if n > MAX_DEFINITION:
        raise ValueError(
            "the names of its component and fields, its params and tags take %d bytes; at most %d "
            "are possible" % (n, MAX_DEFINITION)
        )
