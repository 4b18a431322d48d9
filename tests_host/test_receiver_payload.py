"""The texts that are stored: parcel names, payloads and times, for any input."""

import json
import math

import pytest
from google.protobuf.any_pb2 import Any
from google.protobuf.struct_pb2 import ListValue, Struct, Value
from google.protobuf.timestamp_pb2 import Timestamp
from google.protobuf.wrappers_pb2 import StringValue
from hypothesis import example, given
from hypothesis import strategies as st

from cistern_tools.receiver import parcels, payload
from cistern_tools.receiver.parcels import NewerNameError, Parcel, ParcelNameError, Parcels

a_parcel = st.builds(
    Parcel,
    st.integers(0, parcels.MAX_SECTOR),
    st.integers(0, parcels.MAX_INDEX),
    st.integers(1, parcels.MAX_READINGS),
)
some_parcels = st.builds(
    Parcels,
    st.binary(min_size=8, max_size=8),
    st.lists(a_parcel, min_size=1, max_size=50, unique_by=lambda p: p[:2]),
)


@given(some_parcels)
def test_a_name_that_was_written_is_read_back(listed):
    name = parcels.format_name(listed)
    assert parcels.parse(name) == listed
    assert parcels.parse(name.replace(listed.log_id.hex(), listed.log_id.hex().upper())) == listed


@given(some_parcels, st.data())
def test_a_name_with_one_character_changed_is_refused_or_means_what_it_says(listed, data):
    name = parcels.format_name(listed)
    at = data.draw(st.integers(0, len(name) - 1))
    changed = name[:at] + data.draw(st.sampled_from("0129.,*:-+ ax\n٣")) + name[at + 1 :]
    try:
        read = parcels.parse(changed)
    except (ParcelNameError, NewerNameError):
        return
    if read is not None:
        assert parcels.format_name(read) == changed.lower()
    else:
        assert not changed.startswith("cistern1:")


@given(st.text())
@example("cistern1:")
@example("cistern1:0123456789abcdef:1.0*1,")
@example("cistern1:0123456789abcdef:1.0*1\n")
@example("cistern1:0123456789abcdef:01.0*1")
@example("cistern1:0123456789abcdef:1.0*0")
@example("cistern1:0123456789abcdef:" + "9" * 5000 + ".0*1")
@example("cistern99999999999999999999:")
def test_any_other_text_is_somebody_elses_or_refused(text):
    if text.startswith("cistern") and text[7:8].isdigit() and ":" in text:
        with pytest.raises((ParcelNameError, NewerNameError)):
            parcels.parse(text)
    else:
        assert parcels.parse(text) is None


def test_names_at_the_limits():
    prefix = "cistern1:0123456789abcdef:"
    assert parcels.parse(prefix + "4294967295.65535*1048576").parcels == [
        (2**32 - 1, 65535, 2**20)
    ]
    for beyond in ("4294967296.0*1", "0.65536*1", "0.0*1048577"):
        with pytest.raises(ParcelNameError, match="above"):
            parcels.parse(prefix + beyond)
    with pytest.raises(ParcelNameError, match="more than"):
        parcels.parse(prefix + ",".join(f"{i}.0*1" for i in range(parcels.MAX_PARCELS + 1)))


values = st.recursive(
    st.none() | st.booleans() | st.text() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.text(), values, max_size=5))
def test_payloads_are_json_with_every_digit(fields):
    struct = Struct()
    struct.update(fields)
    text = payload.struct_text(Struct.FromString(struct.SerializeToString()))
    assert json.loads(text) == fields
    text.encode()


def number(x):
    return payload.value_text(Value(number_value=x))


def test_numbers_are_written_as_people_write_them():
    assert [number(x) for x in (0.0, -0.0, 3.0, -7.0, 0.1, 1e300, 2.0**53, 2.0**53 + 2)] == [
        "0",
        "-0.0",
        "3",
        "-7",
        "0.1",
        "1e+300",
        "9007199254740992",
        "9007199254740994.0",
    ]
    assert [number(x) for x in (math.nan, math.inf, -math.inf)] == [
        '"NaN"',
        '"Infinity"',
        '"-Infinity"',
    ]
    assert payload.value_text(Value()) == "null", "micro-rdk sends values without a kind"


def test_method_parameters_of_any_type_are_kept():
    def packed(message):
        parameter = Any()
        parameter.Pack(message)
        return parameter

    structured = Struct()
    structured.update({"a": 1})
    items = ListValue()
    items.extend([1, "x"])
    parameters = {
        "z": packed(Value(string_value="A1")),
        "s": packed(structured),
        "l": packed(items),
        "w": packed(StringValue(value="ü")),
        "u": Any(type_url="x/unknown.Type", value=b"\1\2"),
    }
    assert json.loads(payload.params_text(parameters)) == {
        "z": "A1",
        "s": {"a": 1},
        "l": [1, "x"],
        "w": "ü",
        "u": {"@type": "x/unknown.Type", "value": "AQI="},
    }


@given(st.integers(0, payload.MAX_NS))
def test_times_are_exact(ns):
    stamp = Timestamp(seconds=ns // 10**9, nanos=ns % 10**9)
    assert payload.timestamp_ns(stamp) == ns


@pytest.mark.parametrize(
    "seconds, nanos",
    [
        (-1, 0),
        (0, -1),
        (0, 10**9),
        (payload.MAX_NS // 10**9, 999999999),
        (2**63 - 1, 0),
        (-(2**63), 0),
    ],
)
def test_impossible_times_are_refused(seconds, nanos):
    with pytest.raises(ValueError, match="not within"):
        payload.timestamp_ns(Timestamp(seconds=seconds, nanos=nanos))
