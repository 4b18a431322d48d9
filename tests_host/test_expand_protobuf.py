"""What the expander makes of any readings is what google's protobuf makes of the same message.

protobuf leaves the order of map entries to the implementation, even for deterministic
serialization: upb (CPython's) puts a key after those that it begins, while Go, C++, Java and the
pure Python one put it first, as Cistern does. So where keys begin with each other, upb is asked
for the message only, and the pure Python implementation, in a process of its own, for the bytes.
"""

import itertools
import os
import subprocess
import sys
from base64 import b64encode
from binascii import crc32
from datetime import datetime, timedelta

import pytest
from google.protobuf.struct_pb2 import Value
from google.protobuf.timestamp_pb2 import Timestamp as GoogleTimestamp
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from viam.gen.app.datasync.v1.data_sync_pb2 import DataCaptureUploadRequest

from cistern.cloud.datasync import upload_metadata
from cistern.cloud.rare import rfc3339
from cistern.record import Stream
from cistern.record.loose import Timestamp
from shared.test_expand import SUMS, UTC, Parcel, parcels

ORACLE = """
import sys
from viam.gen.app.datasync.v1.data_sync_pb2 import DataCaptureUploadRequest as R
for line in sys.stdin:
    message = R.FromString(bytes.fromhex(line))
    print(message.SerializeToString(deterministic=True).hex(), flush=True)
"""
MIN_YEAR_1 = -62135596800000000  # the range of google.protobuf.Timestamp, in µs
MAX_YEAR_9999 = 253402300799999999


@pytest.fixture(scope="module")
def pure_python():
    """serialized message → what google's pure Python implementation serializes it to."""
    env = {**os.environ, "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": "python"}
    with subprocess.Popen(
        [sys.executable, "-c", ORACLE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=env,
    ) as process:

        def ask(data):
            process.stdin.write(data.hex() + "\n")
            process.stdin.flush()
            return bytes.fromhex(process.stdout.readline())

        yield ask
        process.stdin.close()


def _fill(value, x):
    if isinstance(x, dict):
        value.struct_value.SetInParent()
        for key in x:
            _fill(value.struct_value.fields[key], x[key])
    elif isinstance(x, list):
        value.list_value.SetInParent()
        for item in x:
            _fill(value.list_value.values.add(), item)
    elif x is None:
        value.null_value = 0
    elif isinstance(x, bool):
        value.bool_value = x
    elif isinstance(x, int):
        try:
            value.number_value = x
        except OverflowError:  # Cistern's own choice
            value.number_value = float("inf") if x > 0 else float("-inf")
    elif isinstance(x, float):
        value.number_value = x
    elif isinstance(x, str):
        value.string_value = x
    elif isinstance(x, bytes):
        value.string_value = b64encode(x).decode()
    else:
        time = GoogleTimestamp()
        time.FromMicroseconds(x.us)
        value.string_value = time.ToJsonString()


def _message(parcel, start):
    """The request by google's classes, from what went into the parcel."""
    request = DataCaptureUploadRequest()
    for i, payload in enumerate(parcel.payloads):
        data = request.sensor_contents.add()
        at = start + parcel.times[i]
        data.metadata.time_requested.FromMicroseconds(at)
        data.metadata.time_received.FromMicroseconds(at + parcel.latencies[i])
        data.metadata.time_requested.SetInParent()
        data.metadata.time_received.SetInParent()
        data.struct.SetInParent()
        for key in payload:
            _fill(data.struct.fields[key], payload[key])
    return request


def _keys_begin_with_each_other(x):
    if isinstance(x, dict):
        keys = sorted(x)
        return any(b.startswith(a) for a, b in itertools.pairwise(keys)) or any(
            _keys_begin_with_each_other(v) for v in x.values()
        )
    return isinstance(x, list) and any(_keys_begin_with_each_other(v) for v in x)


def _check(parcel, start, pure_python):
    out = parcel.expanded(start)
    expected = _message(parcel, start).SerializeToString(deterministic=True)
    if any(_keys_begin_with_each_other(p) for p in parcel.payloads):
        again = DataCaptureUploadRequest.FromString(out).SerializeToString(deterministic=True)
        assert again == expected
        expected = pure_python(expected)
        if b"\xf8\x7f" in expected:  # perhaps a NaN, of which it knows only one
            assert len(out) == len(expected)
            return out
    assert out == expected
    return out


def test_the_cases_of_both_interpreters(pure_python):
    for name, parcel in parcels():
        out = _check(parcel, UTC, pure_python)
        assert (len(out), crc32(out)) == SUMS[name], name


def test_every_day_of_400_years():
    day = 86400 * 10**6
    start = datetime(1970, 1, 1)
    for n in range(-40000, 106097):
        expected = (start + timedelta(days=n)).strftime("%Y-%m-%dT00:00:00Z")
        assert rfc3339(n * day) == expected


EXAMPLES = int(os.environ.get("CISTERN_EXAMPLES", "150"))
KEYS = st.text("ab_é", max_size=3) | st.text(max_size=12)
NUMBERS = (
    st.integers(-300, 300)
    | st.integers(0, 65535)
    | st.integers(-(2**28), 2**28)
    | st.integers(-(2**80), 2**80)
    | st.integers(2**1020, 2**1030)
)
F32 = st.floats(width=32)
TIMES = st.integers(MIN_YEAR_1, MAX_YEAR_9999).map(Timestamp)
LEAVES = (
    st.none()
    | st.booleans()
    | NUMBERS
    | F32
    | st.floats()
    | st.text(max_size=40)
    | st.binary(max_size=40)
    | TIMES
)
VALUES = st.recursive(
    LEAVES, lambda v: st.lists(v, max_size=3) | st.dictionaries(KEYS, v, max_size=4), max_leaves=12
)
PAYLOADS = st.dictionaries(KEYS, VALUES, max_size=5)
# µs after the boot; a parcel's times may be anything, though they rarely fall.
STARTS = st.integers(UTC - 10**15, UTC + 10**15) | st.integers(-(10**16), 10**16)
OFFSETS = st.lists(
    st.integers(0, 3 * 10**6) | st.integers(0, 2**31) | st.sampled_from((0, 17, 2097, 999999)),
    min_size=1,
    max_size=9,
)
LATENCIES = st.lists(st.integers(0, 300) | st.integers(0, 2**30), min_size=1, max_size=9)
PERIODS = st.integers(0, 2**28 - 1) | st.sampled_from((0, 1000, 10000, 1000000))


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.lists(PAYLOADS, min_size=1, max_size=4), STARTS, OFFSETS, LATENCIES, PERIODS)
def test_any_readings(pure_python, payloads, start, times, latencies, period):
    try:
        parcel = Parcel(payloads, times, latencies, period)
    except (IndexError, ValueError):  # more than record takes
        reject()
    _check(parcel, start, pure_python)


@st.composite
def _alike(draw):
    """Readings of one shape whose values are numbers, bools or null: those of the fast way."""
    leaf = st.sampled_from(("bool", "int", "f32", "null", "big"))
    tree = draw(
        st.dictionaries(
            KEYS,
            st.recursive(
                leaf,
                lambda v: st.lists(v, max_size=3) | st.dictionaries(KEYS, v, max_size=3),
                max_leaves=6,
            ),
            max_size=5,
        )
    )
    kinds = {
        "bool": st.booleans(),
        "int": st.integers(-(2**28), 2**28) | st.integers(-70, 70),
        # what record keeps in 4 bytes on a PC
        "f32": F32.filter(lambda x: x == x and (abs(x) >= 2.0**-126 or x == 0)),
        "big": st.integers(-(2**70), 2**70),
    }

    def made(node):
        if isinstance(node, dict):
            return {k: made(v) for k, v in node.items()}
        if isinstance(node, list):
            return [made(v) for v in node]
        return None if node == "null" else draw(kinds[node])

    return [made(tree) for _ in range(draw(st.integers(1, 12)))]


@settings(max_examples=EXAMPLES, deadline=None)
@given(_alike(), STARTS, OFFSETS, LATENCIES, PERIODS)
def test_any_readings_of_a_fixed_shape(pure_python, payloads, start, times, latencies, period):
    _check(Parcel(payloads, times, latencies, period), start, pure_python)


NAMES = st.text(max_size=20)


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    st.lists(NAMES, min_size=5, max_size=5),
    st.dictionaries(KEYS, LEAVES | st.lists(LEAVES, max_size=3), max_size=4),
    st.lists(NAMES, max_size=3),
)
def test_any_metadata(pure_python, names, params, tags):
    part_id, kind, name, method, file_name = names
    file_name += "!"  # never empty
    request = DataCaptureUploadRequest()
    m = request.metadata
    m.part_id, m.component_type, m.component_name, m.method_name = part_id, kind, name, method
    m.type = 2
    m.file_name = file_name
    m.file_extension = ".dat"
    m.tags.extend(tags)
    for key, x in params.items():
        value = Value()
        _fill(value, x)
        m.method_parameters[key].type_url = "type.googleapis.com/google.protobuf.Value"
        m.method_parameters[key].value = value.SerializeToString(deterministic=True)
    expected = request.SerializeToString(deterministic=True)
    if _keys_begin_with_each_other(params):
        expected = pure_python(expected)
    out = upload_metadata(part_id, Stream(kind, name, method, params), file_name, tags)
    assert bytes(out) == expected
