"""Feeds the client what no server should send: net_fuzz.py SECONDS [SEED]

Conversations made of frames that are right, nearly right and wrong, then cut, mixed and flipped.
Whatever comes: no exception leaves the state machines, memory stays within the limits that are
set, and the events do not depend on how the bytes were cut. Prints the seed of what fails.
"""

import random
import struct
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))

from cistern.net.events import DATA, END, HEADERS
from cistern.net.grpc import Answer
from cistern.net.h2 import Connection
from cistern.net.hpack import encode

GET = [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/"), (b":authority", b"a")]
LIMIT = 300  # of a header list
WINDOW = 500
NAMES = (b":status", b"grpc-status", b"grpc-message", b"content-type", b"te", b"X", b"a-bin", b"")
VALUES = (b"200", b"0", b"application/grpc", b"%41%", b"", b"x" * 90, b"\xff", b" a")


def frame(kind, flags, sid, payload):
    n = len(payload)
    return struct.pack(">BHBBI", n >> 16, n & 0xFFFF, kind, flags, sid) + payload


def block(rng):
    fields = [(b":status", b"200"), (b"content-type", b"application/grpc")]
    if rng.random() < 0.4:
        fields = [(rng.choice(NAMES), rng.choice(VALUES)) for _ in range(rng.randrange(6))]
    elif rng.random() < 0.4:
        fields = [(b"grpc-status", b"0")]
    out = bytearray()
    encode(out, fields)
    if rng.random() < 0.1:
        out += rng.randbytes(rng.randrange(8))
    return bytes(out)


def payload(rng, kind):
    """What a frame of this type might carry."""
    if kind in (1, 9):
        data = block(rng)
    elif kind == 0:
        data = struct.pack(">BI", 0, rng.randrange(40)) + rng.randbytes(rng.randrange(30))
    else:
        size = {2: 5, 3: 4, 4: 6 * rng.randrange(4), 6: 8, 7: 8 + rng.randrange(9), 8: 4}
        data = rng.randbytes(size.get(kind, rng.randrange(20)))
        if kind in (4, 7, 8) and rng.random() < 0.7:  # small numbers, not only huge ones
            data = bytes(b if i % 2 else 0 for i, b in enumerate(data))
    if rng.random() < 0.05:
        data = data[: rng.randrange(len(data) + 1)]
    return data


def conversation(rng):
    parts = [frame(4, 0, 0, b"")] if rng.random() < 0.95 else []
    for _ in range(rng.randrange(1, 25)):
        kind = rng.choice((0, 0, 0, 1, 1, 2, 3, 4, 6, 7, 8, 8, 9, rng.randrange(256)))
        sid = rng.choice((0, 1, 1, 3, 5, 2, 99)) if rng.random() < 0.5 else (
            0 if kind in (4, 6, 7) else rng.choice((1, 3, 5))
        )
        flags = rng.choice((0, 1, 4, 5, 4, 4, rng.randrange(256)))
        data = payload(rng, kind)
        if kind in (0, 1) and flags & 8 and rng.random() < 0.8:
            data = bytes((rng.randrange(4),)) + data + bytes(3)
        parts.append(frame(kind, flags, sid, data))
    data = bytearray(b"".join(parts))
    for _ in range(rng.choice((0, 0, 0, 1, 3))):
        data[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(data)


def feed(data, cuts, table):
    """Everything that can be seen from outside after these bytes."""
    conn = Connection(WINDOW, LIMIT, table)
    answers = [Answer(100) for _ in range(3)]
    for answer in answers:
        conn.open(GET, owner=answer)
    seen = []
    at = 0
    for cut in [*cuts, len(data)]:
        for event in conn.receive(data[at:cut]):
            kind, st = event[0], event[1]
            if kind == DATA:
                st.owner.on_data(event[2])
                conn.consumed(st, len(event[2]))
                continue
            if kind == HEADERS:
                st.owner.on_headers(event[2])
            elif kind == END:
                st.owner.on_end()
            seen.append((kind, st and st.id, *event[2:]))
        at = cut
        assert len(getattr(conn, "_block", None) or b"") <= LIMIT
        assert len(conn._reset) <= 8 and len(conn.streams) <= 3
        assert sum(len(n) + len(v) + 32 for n, v in conn._decoder._table) <= table
    state = [(a.headers, a.trailers, a.messages, a.done, str(a.error)) for a in answers]
    return seen, state, conn.error and conn.error.code, sorted(conn.streams)


def once(seed):
    rng = random.Random(seed)
    data = conversation(rng)
    table = rng.choice((0, 100, 4096))
    whole = feed(data, [], table)
    cuts = sorted(rng.randrange(len(data) + 1) for _ in range(rng.randrange(1, 12)))
    assert feed(data, cuts, table) == whole, "the events depend on the cuts"
    assert feed(data, range(1, len(data)), table) == whole, "the events depend on the cuts"


def run(seconds, seed):
    """Fuzz for a while; returns how many conversations were held."""
    end = time.monotonic() + seconds
    count = 0
    while time.monotonic() < end:
        try:
            once(seed + count)
        except BaseException:
            print(f"seed {seed + count}", file=sys.stderr)
            raise
        count += 1
    return count


if __name__ == "__main__":
    start = int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(10**9)
    print(f"{run(float(sys.argv[1]), start)} conversations from seed {start}: no fault")
