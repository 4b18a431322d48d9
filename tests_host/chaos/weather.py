"""Faults that are due and wait for what they hit, and what became of those that hit something."""

import random
import time
from collections import Counter, deque
from dataclasses import dataclass

from chaos.faults import Fault, way

# A fault that finds nothing to hit in this time is over: bad weather passes.
STALE_S = 3.0
# Of things that could meet a fault, those that do not: or no request would ever get through.
# Before a call there is a connection, and before that a look-up.
FAIR = {"call": 0.15, "connect": 0.5, "dns": 0.6}


@dataclass
class Met:
    """A fault that hit. at: seconds since the start; took: seconds.

    committed: whether the receiver has what the request brought; None where nobody can know.
    told: the gRPC status that the board got; None for no answer.
    """

    at: float
    fault: Fault
    committed: bool | None = False
    told: int | None = None
    took: float = 0.0

    def __str__(self):
        known = {None: "perhaps taken", True: "taken", False: "not taken"}[self.committed]
        told = "no answer" if self.told is None else f"status {self.told}"
        return f"{self.at:8.3f} s, {self.took:.3f} s long: {self.fault}; {known}, {told}"


class Weather:
    """The faults in force. seed: decides what is spared."""

    def __init__(self, seed):
        self.begin()
        self._dice = random.Random(seed)
        self.met = []
        self._hits = Counter()  # by kind and way
        self._due = {scope: deque() for scope in ("call", "connect", "dns")}

    def begin(self):
        """Time runs from now on. epoch: this moment in UTC seconds."""
        self.start = time.monotonic()
        self.epoch = time.time()

    def now(self):
        """Seconds since the start."""
        return time.monotonic() - self.start

    def arm(self, fault):
        """The next thing of the fault's scope meets it."""
        self._due[fault.scope].append((self.now(), fault))

    def take(self, scope):
        """The fault that hits this call, connection or look-up; None for fair weather.

        The oldest one that is due decides about the kind; of those of its kind, the way that took
        effect least often so far.
        """
        due = self._due[scope]
        while due and self.now() - due[0][0] > STALE_S:
            due.popleft()
        if not due or self._dice.random() < FAIR[scope]:
            return None
        found = min(
            (one for one in due if one[1].kind == due[0][1].kind),
            key=lambda one: self._hits[one[1].kind, way(one[1])],
        )
        due.remove(found)
        return found[1]

    def meet(self, fault, since=None, **outcome):
        """Note that a fault hit; since: when it began."""
        self._hits[fault.kind, way(fault)] += 1
        now = self.now()
        begun = now if since is None else since
        self.met.append(Met(begun, fault, took=now - begun, **outcome))

    def clear(self):
        """No more faults."""
        for due in self._due.values():
            due.clear()
