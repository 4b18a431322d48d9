"""How long to wait after a failed request (viam-server's exponential_retry: 200 ms, doubling to an
hour), and how large the next one may be.
"""

FIRST_MS = 200
LONGEST_MS = 3600000
# A server that says it is unavailable, or cannot be reached, is asked once a minute.
OFFLINE_MS = 60000
UNAVAILABLE = 14
# Parcels of one upload: each is held as a Ref and named in 20 characters while it is under way.
# A parcel holds up to some 8 KB of sensor data; one that was sealed by its age holds less.
MAX_PARCELS = 32


class Backoff:
    """Waits that grow with each failure in a row. random(): a number from 0 to 255, for jitter.

    wait_ms: the last wait, before jitter; failed.py makes the next one. most: parcels that an
    upload may have, which a slow link takes before the deadline. Half as many after one that
    passed, one more after each success.
    """

    most = MAX_PARCELS
    wait_ms = 0

    def __init__(self, random):
        self.random = random

    def success(self):
        """The next failure is the first again."""
        self.wait_ms = 0
        self.most = min(self.most + 1, MAX_PARCELS)
