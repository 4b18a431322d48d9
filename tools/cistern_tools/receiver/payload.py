"""Protobuf values as the text that is stored: JSON for Struct and Any, nanoseconds for Timestamp.

JSON has no NaN and no infinity: they are stored as the strings "NaN", "Infinity" and "-Infinity",
as protobuf's JSON mapping writes a double. Numbers that are whole are written as integers, since a
Struct knows doubles only and a count of 3 is not 3.0. Keys are sorted, so equal payloads are equal
texts.
"""

import json
from base64 import b64encode
from json.encoder import encode_basestring as quoted
from math import copysign, isfinite

from google.protobuf.message import DecodeError
from google.protobuf.struct_pb2 import ListValue, Struct, Value
from google.protobuf.wrappers_pb2 import BoolValue, DoubleValue, Int64Value, StringValue

# Whole doubles up to 2^53 are exact integers; above it an integer would promise digits that are
# not there.
MAX_EXACT = 2**53
# SQLite's integers end at 2^63 ns after 1970, in the year 2262. Nothing was captured before 1970.
MAX_NS = 2**63 - 1

_ANY = {m.DESCRIPTOR.full_name: m for m in (Value, Struct, ListValue)}
_WRAPPED = {m.DESCRIPTOR.full_name: m for m in (BoolValue, DoubleValue, Int64Value, StringValue)}


def struct_text(struct):
    """Returns a google.protobuf.Struct as JSON text."""
    fields = struct.fields
    return (
        "{" + ",".join(quoted(key) + ":" + value_text(fields[key]) for key in sorted(fields)) + "}"
    )


def value_text(value):
    """Returns a google.protobuf.Value as JSON text; a Value with no kind set is null."""
    kind = value.WhichOneof("kind")
    if kind == "number_value":
        return number_text(value.number_value)
    if kind == "struct_value":
        return struct_text(value.struct_value)
    if kind == "string_value":
        return quoted(value.string_value)
    if kind == "bool_value":
        return "true" if value.bool_value else "false"
    if kind == "list_value":
        return list_text(value.list_value)
    return "null"


def list_text(values):
    """Returns a google.protobuf.ListValue as JSON text."""
    return "[" + ",".join(map(value_text, values.values)) + "]"


def number_text(x):
    """Returns a double as JSON text, with every digit it has."""
    if not isfinite(x):
        return '"NaN"' if x != x else '"Infinity"' if x > 0 else '"-Infinity"'
    if x.is_integer() and -MAX_EXACT <= x <= MAX_EXACT and (x or copysign(1, x) > 0):
        return str(int(x))
    return repr(x)


def params_text(parameters):
    """Returns `method_parameters` (map of string to Any) as JSON text.

    A type that is not of google.protobuf's values becomes {"@type": url, "value": base64}.
    Raises DecodeError if the bytes of an Any are not of the type it names.
    """
    return (
        "{"
        + ",".join(quoted(key) + ":" + _any_text(parameters[key]) for key in sorted(parameters))
        + "}"
    )


def _any_text(packed):
    name = packed.type_url.rpartition("/")[2]
    if name in _ANY:
        value = _unpacked(packed, _ANY[name])
        if isinstance(value, Struct):
            return struct_text(value)
        return list_text(value) if isinstance(value, ListValue) else value_text(value)
    if name in _WRAPPED:
        value = _unpacked(packed, _WRAPPED[name]).value
        return (
            number_text(value)
            if isinstance(value, float)
            else json.dumps(value, ensure_ascii=False)
        )
    return json.dumps({"@type": packed.type_url, "value": b64encode(packed.value).decode()})


def _unpacked(packed, message_type):
    value = message_type()
    if not packed.Unpack(value):
        raise DecodeError(f"method_parameters: {packed.type_url!r} is not a type URL")
    return value


def timestamp_ns(timestamp):
    """Returns a Timestamp in ns since 1970; raises ValueError outside the years 1970-2262."""
    if not 0 <= timestamp.nanos < 10**9:
        raise ValueError(f"nanos {timestamp.nanos} is not within 0 and 999999999")
    ns = timestamp.seconds * 10**9 + timestamp.nanos
    if not 0 <= ns <= MAX_NS:
        raise ValueError(f"{timestamp.seconds} s since 1970 is not within the years 1970 and 2262")
    return ns
