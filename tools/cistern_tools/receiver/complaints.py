"""What clients do wrong, in the log, but never so often that they could fill the disk with it."""

import logging
import time

LINES = 20  # about one client address in PERIOD_S: a fleet behind one router is still understood
PERIOD_S = 60
MAX_ADDRESSES = 1000  # remembered; then all are forgotten, which allows each its LINES again

log = logging.getLogger(__name__)


class Complaints:
    """Logs about clients, for each address at most LINES lines in PERIOD_S."""

    def __init__(self):
        self._said = {}  # address -> [when its period began, lines since]

    def __call__(self, level, peer, message, *arguments):
        """Logs `message % arguments` about `peer`, the (host, port, ...) of a client, or None."""
        now = time.monotonic()
        if len(self._said) > MAX_ADDRESSES:
            self._said.clear()
        host = peer[0] if peer else None
        said = self._said.setdefault(host, [now, 0])
        if now - said[0] >= PERIOD_S:
            said[:] = [now, 0]
        said[1] += 1
        if said[1] > LINES:
            return
        name = f"{host}:{peer[1]}" if peer else "receiver"
        more = f" (nothing more about {host} for a minute)" if said[1] == LINES else ""
        log.log(level, "%s: " + message + "%s", name, *arguments, more)
