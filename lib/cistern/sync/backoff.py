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
        self.failures = 0
        self._random = random

    def success(self):
        """The next failure is the first again."""
        self.failures = 0

    def failed(self, error):
        """Milliseconds to wait after a LinkError."""
        self.failures += 1
        wait = FIRST_MS << min(self.failures - 1, 15)
        if error.layer != "grpc":
            wait = min(wait, OFFLINE_MS)
        elif error.status == UNAVAILABLE and self.failures > 1:
            wait = OFFLINE_MS
        wait = min(wait, LONGEST_MS)
        # Three quarters to the whole of it, so that a fleet does not come back in step.
        return wait - wait * self._random() // 1024
