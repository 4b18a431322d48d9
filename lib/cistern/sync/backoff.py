"""How long to wait after a failed request (viam-server's exponential_retry: 200 ms, doubling to an
hour).
"""

FIRST_MS = 200
LONGEST_MS = 3600000
# A server that says it is unavailable, or cannot be reached, is asked once a minute.
OFFLINE_MS = 60000
UNAVAILABLE = 14


class Backoff:
    """Waits that grow with each failure in a row. random(): a number from 0 to 255, for jitter."""

    def __init__(self, random):
        self._wait = 0  # the last one, before jitter
        self._random = random

    def success(self):
        """The next failure is the first again."""
        self._wait = 0

    def failed(self, error):
        """Milliseconds to wait after a LinkError."""
        wait = min(self._wait * 2, LONGEST_MS) or FIRST_MS
        if error.layer != "grpc":
            # Also keeps a long outage from counting against the server that ends it.
            wait = min(wait, OFFLINE_MS)
        elif error.status == UNAVAILABLE and self._wait:
            wait = OFFLINE_MS
        self._wait = wait
        # Three quarters to the whole of it, so that a fleet does not come back in step.
        return wait - wait * self._random() // 1024
