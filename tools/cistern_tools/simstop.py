"""Ctrl-C for a simulated board, also for one that a model does not return to.

MicroPython for PCs takes a signal wherever it is, and in the middle of a garbage collection that
breaks its heap. So SIGINT is blocked for the board, whose program looks whether one waits
(firmware/sim.py); a process beside it ends a board that does not.
"""

import contextlib
import os
import re
import select
import signal
import sys
from pathlib import Path

# After Ctrl-C a board makes all durable and syncs for 10 s (lib/cistern/online.py).
STOP_S = 20
_WAITING = re.compile(r"^ShdPnd:\s*([0-9a-f]+)$", re.MULTILINE)


def can_block():
    """Whether this system lets a process see the signals that wait for it (man 5 proc)."""
    return Path("/proc/self/status").exists() and hasattr(os, "pidfd_open")


def block(*descriptors):
    """Block SIGINT for this process, which becomes the board, and have another one watch it.

    descriptors: what only the board keeps open.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT,))
    board = os.getpid()
    if os.fork() == 0:
        try:
            for descriptor in (sys.stdin.fileno(), sys.stdout.fileno(), *descriptors):
                os.close(descriptor)
            _watch(board)
        finally:
            os._exit(0)


def _watch(board):
    with contextlib.suppress(ProcessLookupError):  # it has ended already
        ended = select.poll()
        ended.register(os.pidfd_open(board), select.POLLIN)
        since = 0
        while not ended.poll(1000):
            since = since + 1 if _interrupted(board) else 0
            if since > STOP_S:
                os.write(
                    sys.stderr.fileno(),
                    b"cistern sim: the board does not end, such as when a model of your own does "
                    b"not return: its power is cut\n",
                )
                os.kill(board, signal.SIGKILL)
                return


def _interrupted(process):
    try:
        waiting = _WAITING.search(Path(f"/proc/{process}/status").read_text())
    except OSError:
        return False
    return bool(waiting and int(waiting[1], 16) >> (signal.SIGINT - 1) & 1)
