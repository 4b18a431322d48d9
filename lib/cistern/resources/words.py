"""What is wrong with a model's attributes, in words; loaded when something is."""

_WORDS = {
    int: "a whole number",
    float: "a number",
    str: "a string",
    bool: "true or false",
    list: "a list",
    dict: "an object",
    "i2c": "an I2C address",
    "channel": "a channel of the chip",
}


def problems(wrong, table, attributes, path):
    """[(path, message)] for the names that attributes.check has found wrong."""
    found = []
    for name in wrong:
        if name not in table:
            text = "unknown attribute; known: " + (", ".join(sorted(table)) or "none")
        elif name not in attributes:
            text = "missing: give " + _WORDS.get(table[name][0], "a GPIO number")
        else:
            text = _refused(attributes[name], *table[name])
        found.append((_at(path, name), text))
    return found


def _at(path, name):
    """The path of an attribute, which a configuration may call anything."""
    for c in name or ".":
        if not ("a" <= c <= "z" or "A" <= c <= "Z" or "0" <= c <= "9" or c in "-_"):
            import json

            return "%s[%s]" % (path.rstrip("."), json.dumps(name))
    return path + name


def _refused(value, kind, required, low, high):
    if isinstance(kind, str):
        from cistern.resources.pins import problem

        return problem(value, kind)
    right = isinstance(value, (int, float) if kind in (int, float) else kind)
    if kind is int and right and value % 1 != 0:
        right = False
    if not right or (isinstance(value, bool) and kind is not bool):
        text = "%r is not %s" % (value, _WORDS[kind])
        if kind in (int, float) and isinstance(value, str):
            text += ", which is written without quotes"
        return text
    what = "has length %d" % len(value) if kind in (str, list) else "is %r" % value
    return "%s; it must be %s" % (what, bounds(low, high))


def bounds(low, high):
    """A range of numbers for people."""
    if high is None:
        return "at least %r" % low
    return "at most %r" % high if low is None else "%r to %r" % (low, high)
