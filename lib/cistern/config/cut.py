"""A configuration with fewer components than its text has, where memory is short for all of them.

Works on bytes, without reading the rest of the text: that is what there may be no memory for.
"""

import json

_QUOTE, _ESCAPE, _COMMA = b'"\\,'
_OPEN = b"[{"
_CLOSE = b"]}"


def count(text):
    """How many components a text (bytes) has."""
    return max(len(_marks(text)) - 1, 0)


def cut(text, keep):
    """(the text with its first `keep` components, names of the others)."""
    marks = _marks(text)
    if keep >= len(marks) - 1:
        return text, []
    names = []
    for i in range(keep, len(marks) - 1):
        try:
            names.append(json.loads(text[marks[i] + 1 : marks[i + 1]])["name"])
        except (ValueError, TypeError, KeyError):
            names.append(None)
    # The bracket that opens the list, or the comma behind what is kept.
    end = marks[keep] + (not keep)
    return text[:end] + text[marks[-1] :], names


def _marks(text):
    """Where the list of components opens, its commas, and where it closes; [] without one."""
    marks = []
    depth = i = 0
    key = None
    inside = False
    while i < len(text):
        c = text[i]
        if c == _QUOTE:
            start = i + 1
            i = _end(text, start)
            if depth == 1:
                key = text[start:i]
        elif c in _OPEN:
            depth += 1
            if depth == 2 and key == b"components" and c == _OPEN[0] and not marks:
                inside = True
                marks.append(i)
        elif c in _CLOSE:
            depth -= 1
            if inside and depth == 1:
                inside = False
                marks.append(i)
        elif c == _COMMA and inside and depth == 2:
            marks.append(i)
        i += 1
    if len(marks) == 2 and not text[marks[0] + 1 : marks[1]].strip():
        return []
    return [] if inside else marks


def _end(text, i):
    """Where the string ends that begins at i."""
    while i < len(text) and text[i] != _QUOTE:
        i += 2 if text[i] == _ESCAPE else 1
    return i
