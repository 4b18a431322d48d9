"""Stored readings through Viam's own API, so that programs written for its cloud can read them."""

import asyncio
import contextlib
import json
import sqlite3
from pathlib import Path

from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp
from grpclib.const import Status
from grpclib.exceptions import GRPCError
from viam.gen.app.data.v1.data_grpc import UnimplementedDataServiceBase
from viam.gen.app.data.v1.data_pb2 import ExportTabularDataResponse, GetLatestTabularDataResponse

from . import payload
from .gate import acting_for, reply, request_of

METHODS = ("GetLatestTabularData", "ExportTabularData")
ROWS = 500  # read at a time, some 100 KB

_SQL = """
    SELECT r.time_ns, r.payload, s.params, t.tags, u.time_ns
    FROM stream s JOIN batch b ON b.stream = s.id JOIN reading r ON r.batch = b.id
    JOIN tagset t ON t.id = b.tagset JOIN upload u ON u.id = b.upload
    WHERE s.part = ? AND s.component_type = ? AND s.component = ? AND s.method = ?
    AND (? IS NULL OR s.params = ?)"""
_INTERVAL = " AND b.last_ns >= ? AND b.first_ns < ? AND r.time_ns >= ? AND r.time_ns < ?"


class Data(UnimplementedDataServiceBase):
    """viam.app.data.v1.DataService, as far as it reads readings of one stream."""

    def __init__(self, path):
        self._path = Path(path)

    def __mapping__(self):
        """Of grpclib: the methods that are there; the gate names the others."""
        mapping = super().__mapping__()
        return {name: mapping[name] for name in mapping if name.rpartition("/")[2] in METHODS}

    async def GetLatestTabularData(self, stream):  # noqa: N802 - the service's own name
        """Sends the newest reading; an empty answer if there is none."""
        request = await request_of(stream)
        answer = GetLatestTabularDataResponse()
        sql = _SQL + " ORDER BY r.time_ns DESC, b.id DESC LIMIT 1"
        async for time_ns, text, _, _, synced_ns in self._rows(sql, _of(request)):
            answer.time_captured.CopyFrom(_timestamp(time_ns))
            answer.time_synced.CopyFrom(_timestamp(synced_ns))
            answer.payload.CopyFrom(_struct(text))
        await reply(stream, answer)

    async def ExportTabularData(self, stream):  # noqa: N802 - the service's own name
        """Sends the readings of an interval (start included, end not), oldest first."""
        request = await request_of(stream)
        sql = _SQL + _INTERVAL + " ORDER BY r.time_ns, b.id, r.n"
        start, end = _interval(request)
        async for time_ns, text, params, tags, _ in self._rows(
            sql, (*_of(request), start, end, start, end)
        ):
            await reply(
                stream,
                ExportTabularDataResponse(
                    part_id=request.part_id,
                    resource_name=request.resource_name,
                    resource_subtype=request.resource_subtype,
                    method_name=request.method_name,
                    time_captured=_timestamp(time_ns),
                    part_name=request.part_id,
                    method_parameters=_struct(params),
                    tags=json.loads(tags),
                    payload=_struct(text),
                ),
            )

    async def _rows(self, sql, values):
        uri = f"{self._path.absolute().as_uri()}?mode=ro"
        db = sqlite3.connect(uri, uri=True, check_same_thread=False)
        with contextlib.closing(db):
            cursor = await asyncio.to_thread(db.execute, sql, values)
            while rows := await asyncio.to_thread(cursor.fetchmany, ROWS):
                for row in rows:
                    yield row


def _of(request):
    """The values of _SQL for a request, whose caller must be allowed to act for the part."""
    part = request.part_id
    if not part:
        raise GRPCError(Status.INVALID_ARGUMENT, "part_id is missing")
    acting_for(part)
    params = None
    if request.HasField("additional_parameters"):
        params = payload.struct_text(request.additional_parameters)
    name = request.resource_name
    return part, request.resource_subtype, name, request.method_name, params, params


def _interval(request):
    found = []
    for name, default in (("start", 0), ("end", payload.MAX_NS)):
        try:
            if request.interval.HasField(name):
                default = payload.timestamp_ns(getattr(request.interval, name))  # noqa: PLW2901
            found.append(default)
        except ValueError as e:
            text = f"interval.{name} is impossible: {e}"
            raise GRPCError(Status.INVALID_ARGUMENT, text) from e
    return found


def _timestamp(ns):
    stamp = Timestamp()
    stamp.FromNanoseconds(ns)
    return stamp


def _struct(text):
    struct = Struct()
    struct.update(json.loads(text))
    return struct
