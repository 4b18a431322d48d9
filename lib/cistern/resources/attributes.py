"""Checks of a model's attributes against a table, so that models say what they take and nothing
else.

A table is {name: (kind, required, low, high)}; kind is one of int, float, str, bool, list, dict,
or a name that pins.py knows ("in", "out", "adc" for GPIO numbers, "i2c" for an address); low and
high bound a number (None: unbounded) or the length of a string or list.
"""

_WORDS = {
    int: "a whole number",
    float: "a number",
    str: "a string",
    bool: "true or false",
    list: "a list",
    dict: "an object",
    "i2c": "an I2C address",
}


def check(table, attributes, path=""):
    """Problems as a list of (path, message)."""
    found = []
    for name in attributes:
        if name not in table:
            found.append(
                (path + name, "unknown attribute; known: " + (", ".join(sorted(table)) or "none"))
            )
    for name, (kind, required, low, high) in table.items():
        if name not in attributes:
            if required:
                found.append((path + name, "missing: give " + _WORDS.get(kind, "a GPIO number")))
            continue
        text = _refused(kind, attributes[name], low, high)
        if text:
            found.append((path + name, text))
    return found


def _refused(kind, value, low, high):
    if isinstance(kind, str):
        from cistern.resources.pins import problem

        return problem(value, kind)
    right = isinstance(value, (int, float) if kind is float else kind)
    if isinstance(value, bool) and kind is not bool:
        right = False
    # JSON has one kind of number: 15.0 is as whole as 15.
    if kind is int and isinstance(value, float) and value == int(value):
        right = True
    if not right:
        return "%r is not %s" % (value, _WORDS[kind])
    size = len(value) if kind in (str, list) else value
    if (low is not None and size < low) or (high is not None and size > high):
        what = "has length %d" % size if kind in (str, list) else "is %r" % value
        return "%s; it must be %s to %s" % (what, low, "any" if high is None else high)
    return None
