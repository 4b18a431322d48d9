"""How attributes are checked against a model's table; borrowed by attributes.py."""

from cistern.borrow import borrow


def check(table, attributes, path=""):
    """Problems as a list of (path, message)."""
    wrong = [name for name in attributes if name not in table]
    for name, row in table.items():
        if (not _right(attributes[name], *row)) if name in attributes else row[1]:
            wrong.append(name)
    if wrong:
        return borrow("cistern.resources.words").problems(wrong, table, attributes, path)
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
