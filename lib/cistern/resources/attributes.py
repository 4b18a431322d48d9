"""Checks of a model's attributes against a table, so that models say what they take and nothing
else.

A table is {name: (kind, required, low, high)}; kind is one of int, float, str, bool, list, dict,
or a name that pins.py knows ("in", "out", "adc" for GPIO numbers, "i2c" for an address); low and
high bound a number (None: unbounded) or the length of a string or list.
"""


def check(table, attributes, path=""):
    """Problems as a list of (path, message)."""
    wrong = [name for name in attributes if name not in table]
    for name, row in table.items():
        if (not _right(attributes[name], *row)) if name in attributes else row[1]:
            wrong.append(name)
    if wrong:
        from cistern.resources.words import problems

        return problems(wrong, table, attributes, path)
    return wrong


def _right(value, kind, required, low, high):
    if isinstance(kind, str):
        from cistern.resources.pins import problem

        return not problem(value, kind)
    if isinstance(value, bool) and kind is not bool:
        return False
    # JSON has one kind of number: 15.0 is as whole as 15.
    if isinstance(value, float) and kind is int and value % 1 == 0:
        kind = float
    if not isinstance(value, (int, float) if kind is float else kind):
        return False
    size = len(value) if kind in (str, list) else value
    return (low is None or size >= low) and (high is None or size <= high)
