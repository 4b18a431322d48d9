"""Whatever a ring takes, google's protobuf parses and the receiver stores, equal: alike on both
interpreters.
"""

import json
import math
import os
import struct
import subprocess
from base64 import b64encode

import pytest
from google.protobuf.timestamp_pb2 import Timestamp as GoogleTimestamp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from viam.gen.app.datasync.v1.data_sync_pb2 import DataCaptureUploadRequest

from cistern_tools.receiver.store import Store
from cistern_tools.receiver.uploads import read_upload
from reading_batch import built, sent
from support import LIB, micropython_command

MOST = 12  # readings of an example
BATCH = 400  # examples that MicroPython gets

# Trees as reading_batch.built() has them; half characters and whole ones, valid and not.
points = (
    st.integers(0, 127)
    | st.integers(0xD7F0, 0xE010)
    | st.integers(0x1F300, 0x1F320)
    | st.sampled_from([0, 34, 92, 0xE9, 0x7FF, 0x800, 0xFFFF, 0x10000, 0x10FFFF, 0xD83C, 0xDF24])
)
texts = st.lists(points, max_size=8).map(lambda x: ["s", x])
plain = st.text("abxyz", max_size=3).map(lambda x: ["s", [ord(c) for c in x]])
leaves = (
    st.sampled_from([None, True, False])
    | st.integers(-(1 << 70), 1 << 70).map(lambda n: ["i", str(n)])
    | st.integers(1018, 1030).map(lambda n: ["i", str((1 << n) - 1)])
    | st.integers(1018, 1030).map(lambda n: ["i", str(-(1 << n))])
    | st.floats(width=64).map(lambda x: ["f", struct.pack("<d", x).hex()])
    | st.floats(width=32).map(lambda x: ["f", struct.pack("<d", x).hex()])
    | texts
    | st.integers(200, 1100).map(lambda n: ["s", [97] * n])
    | st.binary(max_size=9).map(lambda x: ["b", x.hex()])
    | st.integers(-62135596800000000, 253402300799999999).map(lambda n: ["t", n])
    | st.just(["set"])
)
names = plain | texts | st.just(["i", "1"])


def _branches(inner):
    pairs = st.lists(st.tuples(plain, inner) | st.tuples(names, inner), max_size=4)
    return (
        st.lists(inner, max_size=4).map(lambda x: ["l", x])
        | st.lists(inner, max_size=3).map(lambda x: ["tuple", x])
        | pairs.map(lambda x: ["d", [list(p) for p in x]])
        | st.tuples(st.integers(25, 36), st.booleans(), inner).map(_deep)
    )


def _deep(drawn):
    depth, lists, tree = drawn
    for _ in range(depth):
        tree = ["l", [tree]] if lists else ["d", [[["s", [97]], tree]]]
    return tree


values = st.recursive(leaves, _branches, max_leaves=8)
readings = st.lists(st.tuples(plain, values), max_size=4).map(
    lambda x: ["d", [list(p) for p in x]]
)
examples = st.lists(readings | values, max_size=MOST)


def _json(x):
    """What the receiver is to store of a value: its JSON, read back."""
    if isinstance(x, dict):
        return {_joined(k): _json(v) for k, v in x.items()}
    if isinstance(x, (list, tuple)):
        return [_json(v) for v in x]
    if isinstance(x, str):
        return _joined(x)
    if isinstance(x, bytes):
        return b64encode(x).decode()
    if isinstance(x, (int, float)) and not isinstance(x, bool):
        x = float(x)
        if not math.isfinite(x):
            return "NaN" if x != x else "Infinity" if x > 0 else "-Infinity"
        return x
    if hasattr(x, "us"):
        time = GoogleTimestamp()
        time.FromMicroseconds(x.us)
        return time.ToJsonString()
    return x


def _joined(text):
    return text.encode("utf-16", "surrogatepass").decode("utf-16")


def _same(a, b):
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(_same(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(map(_same, a, b))
    if isinstance(a, float):
        return isinstance(b, (int, float)) and struct.pack("<d", a) == struct.pack("<d", float(b))
    return type(a) is type(b) and a == b


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    made = Store(tmp_path_factory.mktemp("cloud") / "readings.db")
    made._db.execute("PRAGMA synchronous = OFF")  # hundreds of uploads
    yield made
    made.close()


def _stored(store, data):
    """The payloads that the receiver has of a request, as it parses and stores them."""
    request = DataCaptureUploadRequest.FromString(data)
    number = store.add_upload(read_upload("p", request)).upload
    rows = store._db.execute(
        "SELECT payload FROM reading WHERE batch IN (SELECT id FROM batch WHERE upload = ?)"
        " ORDER BY batch, n",
        (number,),
    )
    return [json.loads(text) for (text,) in rows]


@settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
@given(examples)
def test_what_a_ring_takes_the_receiver_has(store, trees):
    payloads = [built(t) for t in trees]
    took, data = sent(payloads)
    if took:
        got = _stored(store, data)
        assert len(got) == len(took)
        for found, i in zip(got, took, strict=True):
            assert _same(_json(payloads[i]), found), (payloads[i], found)


def test_both_interpreters_take_the_same_and_send_the_same(store):
    drawn = []

    @settings(
        max_examples=BATCH, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(examples)
    def draw(trees):
        drawn.append(trees)

    draw()
    script = __file__.replace("test_reading_properties", "reading_batch")
    done = subprocess.run(
        [*micropython_command(), "-X", "heapsize=16M", script],
        input="".join(json.dumps(trees) + "\n" for trees in drawn),
        capture_output=True,
        text=True,
        timeout=200,
        env={**os.environ, "MICROPYPATH": f".frozen:{LIB}"},
    )
    lines = done.stdout.splitlines()
    # A program that ended says why on stdout, in place of a result.
    assert done.returncode == 0, (drawn[len(lines[: len(drawn)]) - 1 :][:1], done.stdout[-2000:])
    assert len(lines) == len(drawn)
    seen = [0, 0]  # examples of which something was taken, and something was not
    assert lines.count("null") < BATCH // 10
    for trees, line in zip(drawn, lines, strict=True):
        if line == "null":
            continue
        theirs, data = json.loads(line)
        payloads = [built(t) for t in trees]
        took, own = sent(payloads)
        assert theirs == took, trees
        seen[0] += len(took) > 0
        seen[1] += len(took) < len(trees)
        if took:
            assert bytes.fromhex(data) == own or _stored(store, bytes.fromhex(data)) == _stored(
                store, own
            ), trees
    assert min(seen) > BATCH // 10, seen
