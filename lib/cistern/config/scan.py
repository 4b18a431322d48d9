"""Finds the first mistake in a JSON text, by the grammar of RFC 8259, and says what was expected.

Works on bytes, as indexing a str counts its characters from the start in MicroPython, and without
recursion, as the chip's stack has 16 KB.
"""

import json

from cistern.config import MAX_TEXT, ConfigError

# components[].service_configs[].attributes.capture_methods[].additional_params of Viam is 9 levels
# deep, and models' attributes may nest further. What recurses over the result is safe.
MAX_DEPTH = 20
# A double has 17 digits, signs, a point and an exponent; CPython refuses ints of 4300 digits.
MAX_NUMBER = 40

_SPACE = b" \t\r\n"
_DIGITS = b"0123456789"
_WORDS = (b"true", b"false", b"null")
_ESCAPES = b'"\\/bfnrt'
# What people write instead of JSON.
_HINTS = (
    (b"//", "; JSON has no comments"),
    (b"/*", "; JSON has no comments"),
    (b"#", "; JSON has no comments"),
    (b"'", '; quotes are "'),
    (b"\xe2\x80\x9c", '; quotes are ", not typographic ones'),
    (b"\xe2\x80\x9d", '; quotes are ", not typographic ones'),
    (b"\xe2\x80\x98", '; quotes are ", not typographic ones'),
    (b"\xe2\x80\x99", '; quotes are ", not typographic ones'),
    (b"\xe2\x80\x9e", '; quotes are ", not typographic ones'),
    (b"True", "; it is true, in small letters"),
    (b"False", "; it is false, in small letters"),
    (b"None", "; it is null"),
    (b"NaN", "; JSON has no NaN"),
    (b"\0", "; here is a byte 0, as in UTF-16: save the file as UTF-8"),
)


class _MistakeError(Exception):
    """args: index in the text, message."""


def load(text):
    """As config.load().

    Stricter than json.loads: MicroPython's takes '{"a":}' and '[1 2]', and both take a key twice.
    So every text goes through the scanner first, and means the same on a PC and on the chip.
    """
    if isinstance(text, str):
        text = text.encode()
    if text[:3] == b"\xef\xbb\xbf":
        text = text[3:]  # RFC 8259, 8.1: a byte order mark may be ignored
    if len(text) > MAX_TEXT:
        raise ConfigError("the text has %d bytes; at most %d fit" % (len(text), MAX_TEXT), 1, 1)
    found = mistake(text)
    if found:
        raise ConfigError(*found)
    return json.loads(text)


def mistake(text):
    """(message, line, column) of the first mistake in the bytes `text`, or None; both from 1."""
    try:
        text.decode()
    except UnicodeError:
        return _undecodable(text)
    opened = []
    try:
        _walk(text, opened)
    except _MistakeError as e:
        return _place(text, *e.args)
    except IndexError:
        if not opened:
            return _place(text, len(text), "expected {, but the text is empty")
        start = opened[-1][0]
        line = _place(text, start, "")[1]
        message = "the text ends, but the %s of line %d is open" % (chr(text[start]), line)
        return _place(text, len(text), message)
    return None


def _walk(text, opened):
    """Raises _MistakeError, or IndexError where the text ends too early.

    opened: the open brackets, outermost first: (index, keys so far; None for a list).
    """
    at = _space(text, 0)
    if text[at] != 0x7B:
        raise _MistakeError(at, "expected {: a configuration is an object" + _hint(text, at))
    while True:
        # At a value.
        if text[at] in b"{[":
            if len(opened) == MAX_DEPTH:
                raise _MistakeError(at, "nested deeper than %d levels" % MAX_DEPTH)
            keys = set() if text[at] == 0x7B else None
            opened.append((at, keys))
            at = _space(text, at + 1)
            if text[at] != text[opened[-1][0]] + 2:
                if keys is not None:
                    at = _key(text, at, keys)
                continue
        else:
            at = _scalar(text, at)
        # After a value, or before the bracket that closes an empty list or object.
        at, keys = _after(text, at, opened)
        if at is None:
            return
        if keys is not None:
            at = _key(text, at, keys)


def _after(text, at, opened):
    """(index of the next value or key, keys of its object or None in a list).

    At the end of the text the index is None.
    """
    while opened:
        start, keys = opened[-1]
        closing = text[start] + 2  # ASCII has { and } two apart, [ and ] too
        at = _space(text, at)
        if text[at] != closing:
            if text[at] != 0x2C:
                raise _MistakeError(at, "expected , or %s%s" % (chr(closing), _hint(text, at)))
            after = _space(text, at + 1)
            if text[after] == closing:
                raise _MistakeError(at, "expected no comma before the closing %s" % chr(closing))
            return after, keys
        opened.pop()
        at += 1
    rest = text[at:].lstrip(_SPACE)
    if rest:
        at = len(text) - len(rest)
        raise _MistakeError(at, "expected the end of the text after the last }" + _hint(text, at))
    return None, None


def _key(text, at, keys):
    """The index of the value of the key that begins at `at`."""
    if text[at] != 0x22:
        raise _MistakeError(at, 'expected a key in "double quotes"' + _hint(text, at))
    end = _string(text, at)
    key = json.loads(text[at:end])
    if key in keys:
        raise _MistakeError(at, 'the key "%s" is in this object already' % key[:60])
    keys.add(key)
    at = _space(text, end)
    if text[at] != 0x3A:
        raise _MistakeError(at, "expected : after the key" + _hint(text, at))
    return _space(text, at + 1)


def _scalar(text, at):
    """The index after a string, number, true, false or null."""
    if text[at] == 0x22:
        return _string(text, at)
    if text[at] == 0x2D or text[at] in _DIGITS:
        return _number(text, at)
    for word in _WORDS:
        if text[at : at + len(word)] == word:
            return at + len(word)
    raise _MistakeError(at, "expected a value" + _hint(text, at))


def _place(text, at, message):
    start = text.rfind(b"\n", 0, at) + 1
    # A column is a character: all bytes of UTF-8 but those that continue one (RFC 3629).
    column = 1
    for byte in text[start:at]:
        column += byte & 0xC0 != 0x80
    return message, text[:at].count(b"\n") + 1, column


def _undecodable(text):
    if text[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "the text is UTF-16: save the file as UTF-8", 1, 1
    good = 0
    for line in text.split(b"\n"):
        try:
            line.decode()
        except UnicodeError:
            break
        good += 1
    return "this line is not UTF-8: save the file as UTF-8", good + 1, 1


def _space(text, at):
    while text[at] in _SPACE:
        at += 1
    return at


def _string(text, at):
    start = at
    at += 1
    while text[at] != 0x22:
        if text[at] < 0x20:
            raise _MistakeError(start, "expected a closing quote in this line")
        if text[at] == 0x5C:
            at += 1
            if text[at] == 0x75:
                _unicode_escape(text, at)
                at += 4
            elif text[at] not in _ESCAPES:
                raise _MistakeError(at - 1, 'expected one of " \\ / b f n r t u after the \\')
        at += 1
    return at + 1


def _unicode_escape(text, at):
    digits = text[at + 1 : at + 5].lower()
    for byte in digits:
        if byte not in b"0123456789abcdef":
            raise _MistakeError(at - 1, "expected four hexadecimal digits after \\u")
    if digits[:1] == b"d" and digits[1] in b"89abcdef":
        # MicroPython does not join surrogates (RFC 8259, 7) to the character they mean.
        raise _MistakeError(at - 1, "half a character: write the character itself, in UTF-8")


def _digits(text, at):
    start = at
    while text[at] in _DIGITS:
        at += 1
    if at == start:
        raise _MistakeError(at, "expected a digit")
    return at


def _number(text, at):
    start = at
    if text[at] == 0x2D:
        at += 1
    if text[at] == 0x30 and text[at + 1] in _DIGITS:
        raise _MistakeError(at, "expected no 0 before other digits")
    at = _digits(text, at)
    if text[at] == 0x2E:
        at = _digits(text, at + 1)
    if text[at] in b"eE":
        at += 1
        at = _digits(text, at + 1 if text[at] in b"+-" else at)
    if at - start > MAX_NUMBER:
        raise _MistakeError(start, "a number of %d digits" % (at - start))
    return at


def _hint(text, at):
    for start, message in _HINTS:
        if text[at : at + len(start)] == start:
            return message
    if text[at : at + 1] >= b"\x80":
        # Of several bytes in UTF-8, and often one that does not show.
        char = text[at : at + 4].split(b'"')[0]
        while char:
            try:
                return "; here is the character U+%04X, which may not show: delete it" % ord(
                    char.decode()[0]
                )
            except UnicodeError:
                char = char[:-1]
    return ""
