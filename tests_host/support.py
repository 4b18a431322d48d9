"""What tests share: paths, commands, and waiting for a condition."""

import time

from cistern_tools.paths import EXAMPLES, LIB, ROOT
from cistern_tools.paths import micropython as micropython_command

__all__ = ("EXAMPLES", "LIB", "ROOT", "eventually", "micropython_command")


def eventually(condition, timeout_s=20.0, every_s=0.02):
    """Poll until condition() is true and return its value; fail with the last one in the end."""
    deadline = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"not within {timeout_s} s; last: {value!r}"
        time.sleep(every_s)
