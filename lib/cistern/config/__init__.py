"""Machine configuration: JSON text → dict (`load`), dict → Plan (`plan`). See docs/CONFIG.md.

A text is taken whole or refused with its line and column; below that, every entry stands alone:
what is wrong with one is a Problem with its path, and the others run.

Only this module stays in memory. scan.py, planner.py, entries.py and explain.py work at start and
when the configuration changes, and are borrowed for that: together they take 22 KB of the chip's
heap.
"""

from cistern.borrow import borrow
from cistern.errors import CisternError

# The text and the dict made of it (two to three times the text) must fit beside each other into
# the 149 KB of heap of a plain ESP32 with Wi-Fi up, before TLS takes its 40 KB: 24 KB + 72 KB.
# Twenty collectors written with indentation are about 10 KB.
MAX_TEXT = 24 * 1024


class ConfigError(CisternError):
    """A text that is no configuration. message: what was expected; line, column: where, from 1."""

    def __init__(self, message, line, column):
        super().__init__("line %d, column %d: %s" % (line, column, message))
        self.message = message
        self.line = line
        self.column = column


def load(text):
    """The object that a JSON text (str, or bytes in UTF-8) holds; ConfigError if it holds none."""
    return borrow("cistern.config.scan").load(text)


def plan(machine, catalog):
    """The entries.Plan of a machine configuration, which may be any JSON value.

    catalog: answers models(type), methods(type), method_params(type, method) and check(type,
        model, attributes) as the module cistern.resources.catalog does.
    """
    made, found = borrow("cistern.config.planner").plan(machine, catalog)
    if found:
        made.problems = borrow("cistern.config.explain").problems(found)
    return made
