"""What is asked of a chip's filesystem, and of its interpreter, when it starts; borrowed by
esp32.py.
"""

import os
import sys

# MicroPython keeps names in tables, each twice as large as the one before: five have 620, and the
# sixth takes 4.5 KB in one piece (py/qstr.c), which there is at the start and not beside TLS.
_NAMES = 620
# So many come when the board goes online, and with what is needed now and then.
_LATER = 120


def room_for_names():
    """Have the next table made now, where this board is going to need it."""
    # The id of a name tells which it is of all; this package's is among the first on a chip. The
    # newest is one that is put together here.
    used = id(type("%s?" % _LATER, (), {}).__name__) - id("cistern") >> 3
    if _NAMES - _LATER < used < _NAMES:
        for i in range(_NAMES - used + 20):
            hasattr(sys, "%d?" % i)  # is a name from here on

const = int  # MicroPython's compiler knows const() by its name

# The largest partition that a board of ours has; each 4 KB take 7 bytes of RAM.
_MOST = const(4 << 20)


def model_files():
    """Paths of the user's own models (docs/MODELS.md)."""
    try:
        names = sorted(os.listdir("/models"))
    except OSError:
        return ()
    return ["/models/" + n for n in names if n.endswith((".py", ".mpy"))]


def room(folder, own):
    """Bytes that a log in `folder` may take which takes `own` bytes now: half of what would be
    free there without it, and 4 MiB at most.
    """
    found = os.statvfs(folder)
    return min((found[0] * found[3] + own) // 2, _MOST)
