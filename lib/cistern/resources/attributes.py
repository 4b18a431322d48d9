"""Checks of a model's attributes against a table, so that models say what they take and nothing
else.

A table is {name: (kind, required, low, high)}; kind is one of int, float, str, bool, list, dict,
or a name that pins.problem() knows ("in", "out", "adc" for GPIO numbers, "i2c" for an address,
"channel" for an input of an ADC); low and high bound a number (None: unbounded) or the length of a
string or list.
"""

from cistern.borrow import borrow


def check(table, attributes, path=""):
    """Problems as a list of (path, message)."""
    return borrow("cistern.resources.tables").check(table, attributes, path)
