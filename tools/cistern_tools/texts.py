"""Text files that users bring: read by one rule, whichever command or board takes them.

A text is UTF-8, with or without a byte order mark. Anything else, such as what Windows calls
"Unicode" (UTF-16) or "ANSI", is refused: a password read in the wrong way is another password.
"""

import re
import unicodedata
from pathlib import Path

from cistern_tools import paths

_BOM = b"\xef\xbb\xbf"
# Of RFC 2781 and Unicode's UTF-32; the longer ones first.
_OTHERS = (
    (b"\xff\xfe\0\0", "UTF-32"),
    (b"\0\0\xfe\xff", "UTF-32"),
    (b"\xff\xfe", "UTF-16"),
    (b"\xfe\xff", "UTF-16"),
)
# What people do not see at the ends of a line, and do not mean.
_ENDS = " \t\r\n"
_LINE_END = re.compile("\r\n|\r|\n")
_SAVE = "save it as UTF-8"


class TextError(ValueError):
    """A file that is no text, or not one that was asked for. str(): file:line:column: what is
    wrong and what to do; message: the same without the place; line, column: from 1.
    """

    def __init__(self, name, line, column, message):
        super().__init__(f"{name}:{line}:{column}: {message}")
        self.line = line
        self.column = column
        self.message = message


def read(path):
    """The text in a file. Raises TextError, and OSError where it cannot be read."""
    return decode(Path(path).read_bytes(), path)


def decode(raw, name):
    """The text in the bytes of the file `name`, without its byte order mark. Raises TextError."""
    for mark, encoding in _OTHERS:
        if raw.startswith(mark):
            raise TextError(name, 1, 1, f"the file is {encoding}: {_SAVE}")
    try:
        text = raw.removeprefix(_BOM).decode()
    except UnicodeDecodeError as e:
        at = e.start + len(raw) - len(raw.removeprefix(_BOM))
        raise TextError(
            name,
            *_place(raw[:at].removeprefix(_BOM).decode()),
            f"byte {at} of the file is 0x{raw[at]:02X}, which is not UTF-8 (it may be Latin-1, "
            f"which Windows calls ANSI): {_SAVE}",
        ) from None
    if "\0" in text:
        where = _place(text[: text.index("\0")])
        at = raw.index(b"\0")
        what = f"byte {at} of the file is 0, as in UTF-16 or in a file that is no text: {_SAVE}"
        raise TextError(name, *where, what)
    return text


def lines(path):
    """The lines of a file that have something in them, without the spaces at their ends.

    Raises TextError, also for characters that do not show, and OSError.
    """
    found = []
    for number, line in enumerate(_LINE_END.split(read(path)), 1):
        kept = line.strip(_ENDS)
        for at, words in hidden(kept):
            column = line.index(kept) + at
            what = f"here is {words}, which does not show: delete it"
            raise TextError(path, number, column, what)
        if kept:
            found.append(kept)
    return found


def secret(path):
    """The secret in a file: its one line, without the spaces at both ends; "" in an empty file.

    Raises TextError, which never has the secret in it, and OSError.
    """
    found = lines(path)
    if len(found) > 1:
        raise TextError(path, 2, 1, f"{len(found)} lines are in it; a secret is one line")
    return found[0] if found else ""


def hidden(text):
    """(place from 1, "U+200B (ZERO WIDTH SPACE)") of each character that does not show, by the
    judgement of a board.
    """
    paths.use_library()
    from cistern.config import explain

    for at, char in enumerate(text, 1):
        if explain.hidden(char):
            named = unicodedata.name(char, "")
            yield at, f"U+{ord(char):04X}" + (f" ({named})" if named else "")


def _place(before):
    """(line, column) of what comes after the text `before`."""
    return before.count("\n") + 1, len(before) - before.rfind("\n")
