"""What fails, and a seeded plan of it: the same seed gives the same faults at the same times."""

import random
from dataclasses import dataclass, field

STATUSES = range(17)  # of gRPC (doc/statuscodes.md), OK without an answer among them
HTTP = (400, 401, 403, 404, 429, 500, 502, 503, 504)
RESETS = (0, 1, 2, 5, 7, 8, 11)  # error codes of RFC 9113, section 7
CUTS = ("reset", "end")  # the connection ends by RST, or by FIN
ANY = "drawn"  # in a variant: a number from 0 to 1, drawn for each fault


@dataclass(frozen=True)
class Fault:
    """kind: for people. scope: what it waits for: a call, a connection, a look-up, or nothing.

    act: the method that does it; more: how.
    """

    kind: str
    scope: str
    act: str
    more: dict = field(default_factory=dict, hash=False)

    def __str__(self):
        how = ", ".join(f"{k} {v}" for k, v in self.more.items())
        return f"{self.kind} ({how})" if how else self.kind


def _each(**lists):
    """Every combination of the values, as dicts."""
    made = [{}]
    for key, values in lists.items():
        made = [{**one, key: value} for one in made for value in values]
    return made


# kind, scope, act, weight, variants. Each variant comes once before one comes again.
CATALOGUE = (
    ("cut before a request", "call", "cut_before", 8, _each(how=CUTS)),
    ("cut during a request", "call", "cut_request", 8, _each(how=CUTS, at=[ANY])),
    ("cut during the answer", "call", "cut_answer", 8, _each(how=CUTS, at=[ANY])),
    ("cut after the answer", "call", "cut_after", 5, _each(how=CUTS)),
    (
        "answer lost after the commit",
        "call",
        "lose_answer",
        10,
        [*_each(how=CUTS), *_each(how=CUTS), {"how": "silence"}],
    ),
    (
        "gRPC status",
        "call",
        "status",
        12,
        _each(status=STATUSES, only=[False], when=["early", "late"]),
    ),
    (
        "gRPC status, Trailers-Only",
        "call",
        "status",
        10,
        _each(status=STATUSES, only=[True], when=["early", "late"]),
    ),
    (
        "gRPC status after the commit",
        "call",
        "status",
        6,
        _each(status=STATUSES, only=[False, True], when=["committed"]),
    ),
    ("HTTP error", "call", "http", 5, _each(status=HTTP, when=["early", "late", "committed"])),
    ("RST_STREAM", "call", "reset", 5, _each(code=RESETS, when=["early", "late", "committed"])),
    (
        "GOAWAY",
        "call",
        "goaway",
        5,
        _each(code=[0, 2, 11], when=["refused", "served", "committed"]),
    ),
    (
        "broken answer",
        "call",
        "broken_answer",
        6,
        _each(
            what=["short", "compressed", "two", "no status", "no headers", "garbage"],
            when=["late", "committed"],
        ),
    ),
    (
        "stall",
        "call",
        "stall",
        2,
        _each(where=["request", "answer"], seconds=[0.2, 0.5, 0.8, 1.5]),
    ),
    ("slow drip", "call", "drip", 2, _each(where=["request", "answer"])),
    ("connection refused", "connect", "refuse", 2, _each(how=CUTS)),
    (
        "TLS: wrong certificate",
        "connect",
        "certificate",
        2,
        _each(which=["other CA", "other name", "expired"], times=[1, 2, 3]),
    ),
    ("TLS: handshake cut", "connect", "handshake_cut", 3, _each(how=CUTS, at=[ANY])),
    ("TLS: handshake stalled", "connect", "handshake_stall", 1, _each(seconds=[0.3, 0.6, 1.5])),
    ("TLS: no TLS at all", "connect", "no_tls", 1, [{}]),
    (
        "tunnel cut at any byte",
        "connect",
        "tunnel",
        3,
        _each(way=["up", "down"], at=[ANY], how=[*CUTS, *CUTS, "silence"]),
    ),
    (
        "DNS",
        "dns",
        "dns",
        3,
        _each(what=["no such name", "server failure", "silence", "garbage", "elsewhere"]),
    ),
)
# when: as soon as an upload has come so far (proxy.Moments), and some ms after that.
KILL_RECEIVER = ("receiver killed", "process", "kill_receiver", ("any", "request"))
KILL_BOARD = ("board killed", "process", "kill_board", ("any", "request", "answer"))
OUTAGE = ("long outage", "process", "outage")
CHANGE = ("configuration changed", "process", "change")
AWAY_S = (0, 0.5, 2)
DRAWN = ("at", "late", "seconds")


def way(fault):
    """What tells the ways apart in which a kind hits: all but the drawn numbers."""
    return _way(fault.more)


def _way(more):
    return tuple(sorted((k, v) for k, v in more.items() if k not in DRAWN))


WAYS = {row[0]: {_way(more) for more in row[4]} for row in CATALOGUE}
for _kind, _, _, _moments in (KILL_RECEIVER, KILL_BOARD):
    WAYS[_kind] = {_way(more) for more in _each(when=_moments, away=AWAY_S)}
WAYS[OUTAGE[0]] = WAYS[CHANGE[0]] = {()}


class _Deck:
    """Gives every card once, in random order, before any comes again."""

    def __init__(self, dice, cards):
        self._dice = dice
        self._cards = cards
        self._left = []

    def draw(self):
        if not self._left:
            self._left = list(self._cards)
            self._dice.shuffle(self._left)
        return self._left.pop()


def plan(seed, seconds, rate, kills=(15.0, 25.0), changes=20.0, outage=0.0, kinds=None):
    """A list of (second, Fault), by time.

    rate: faults a second, on average. kills: mean seconds between two kills of the board and of
    the receiver, changes: between two new configurations; 0 for none. outage: length of the one
    time that the network is away for long. kinds: only those of the catalogue (default: all).
    """
    dice = random.Random(seed)
    chosen = [row for row in CATALOGUE if kinds is None or row[0] in kinds]
    decks = {row[0]: _Deck(dice, row[4]) for row in chosen}
    weights = [row[3] for row in chosen]
    found = []
    at = 0.0
    while (at := at + dice.expovariate(rate)) < seconds:
        (kind, scope, act, _, _) = dice.choices(chosen, weights)[0]
        more = {k: dice.random() if v is ANY else v for k, v in decks[kind].draw().items()}
        found.append((at, Fault(kind, scope, act, more)))
    for mean, (kind, scope, act, moments) in zip(kills, (KILL_BOARD, KILL_RECEIVER), strict=True):
        at = 0.0
        deck = _Deck(dice, _each(when=moments, away=AWAY_S))
        while mean and (at := at + dice.uniform(mean / 2, mean * 3 / 2)) < seconds:
            more = {**deck.draw(), "late": dice.random()}
            found.append((at, Fault(kind, scope, act, more)))
    at = 0.0
    while changes and (at := at + dice.uniform(changes / 2, changes * 3 / 2)) < seconds:
        found.append((at, Fault(*CHANGE)))
    if outage:
        kind, scope, act = OUTAGE
        at = dice.uniform(0.2, 0.8) * max(seconds - outage, 0)
        found.append((at, Fault(kind, scope, act, {"seconds": outage})))
    return sorted(found, key=lambda one: one[0])
