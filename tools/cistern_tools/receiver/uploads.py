"""DataCaptureUploadRequest as an Upload: everything is checked here, before anything is stored."""

import json
import time

from google.protobuf.message import DecodeError
from viam.gen.app.datasync.v1.data_sync_pb2 import (
    DATA_TYPE_TABULAR_SENSOR,
    DATA_TYPE_UNSPECIFIED,
    DataType,
)

from . import parcels, payload
from .store import Reading, Upload

MAX_NAME_BYTES = 1024  # of a component's type, name or method; Viam's are below 100
MAX_PARAMS_BYTES = 64 * 1024  # method_parameters are repeated in every upload and should be short
MAX_TAGS = 256  # of an upload
MAX_FILE_NAME = 4096  # of other people's file names: PATH_MAX

_SHOWN = ("component_type", "component_name", "method_name")


class UploadError(ValueError):
    """The request can never be stored as it is; str() says which field and why."""


class UnsupportedUploadError(Exception):
    """The request asks for what this receiver does not do; str() says what."""


def read_upload(entity, request):
    """Returns a DataCaptureUploadRequest as Upload; UploadError or UnsupportedUploadError."""
    metadata = request.metadata
    _check_kind(request)
    named = _parcels(metadata.file_name)
    if named is not None:
        listed = sum(parcel.readings for parcel in named.parcels)
        if listed != len(request.sensor_contents):
            raise UploadError(
                f"metadata.file_name lists {listed} readings, "
                f"sensor_contents has {len(request.sensor_contents)}"
            )
    now = time.time_ns()
    return Upload(
        entity=entity,
        part=metadata.part_id,
        component_type=metadata.component_type,
        component=metadata.component_name,
        method=metadata.method_name,
        params=_params(metadata),
        tags=_tags(metadata),
        size=request.ByteSize(),
        file_name=None if named else metadata.file_name[:MAX_FILE_NAME] or None,
        extra=_extra(metadata),
        parcels=named,
        readings=[_reading(i, data, now) for i, data in enumerate(request.sensor_contents)],
    )


def _check_kind(request):
    metadata = request.metadata
    if metadata.type not in (DATA_TYPE_TABULAR_SENSOR, DATA_TYPE_UNSPECIFIED):
        raise UnsupportedUploadError(
            f"metadata.type {_enum_name(metadata.type)} is not supported by this receiver: "
            "it stores DATA_TYPE_TABULAR_SENSOR, no images or files"
        )
    for name in _SHOWN:
        if len(getattr(metadata, name).encode()) > MAX_NAME_BYTES:
            raise UploadError(f"metadata.{name} is longer than {MAX_NAME_BYTES} bytes")
    if not metadata.component_name:
        raise UploadError("metadata.component_name is missing")
    if not request.sensor_contents:
        raise UploadError("sensor_contents is empty: there is nothing to store")


def _enum_name(value):
    return DataType.Name(value) if value in DataType.values() else str(value)


def _parcels(file_name):
    try:
        return parcels.parse(file_name)
    except parcels.ParcelNameError as e:
        raise UploadError(f"metadata.{e}") from e
    except parcels.NewerNameError as e:
        raise UnsupportedUploadError(f"metadata.{e}: upgrade the receiver") from e


def _params(metadata):
    try:
        text = payload.params_text(metadata.method_parameters)
    except DecodeError as e:
        raise UploadError(f"metadata.method_parameters cannot be decoded: {e}") from e
    if len(text.encode()) > MAX_PARAMS_BYTES:
        raise UploadError(f"metadata.method_parameters has more than {MAX_PARAMS_BYTES} bytes")
    return text


def _tags(metadata):
    if len(metadata.tags) > MAX_TAGS:
        raise UploadError(
            f"metadata.tags has {len(metadata.tags)} tags, at most {MAX_TAGS} are possible"
        )
    for tag in metadata.tags:
        if len(tag.encode()) > MAX_NAME_BYTES:
            raise UploadError(
                f"metadata.tags: {tag[:40]!r}... is longer than {MAX_NAME_BYTES} bytes"
            )
    return json.dumps(list(metadata.tags), ensure_ascii=False, separators=(",", ":"))


def _extra(metadata):
    """Returns what else the metadata says as JSON text, None for nothing that needs keeping."""
    extra = {}
    if metadata.file_extension not in ("", ".dat"):  # ".dat" says "tabular" once more
        extra["file_extension"] = metadata.file_extension
    if metadata.mime_type:
        extra["mime_type"] = metadata.mime_type
    if metadata.dataset_ids:
        extra["dataset_ids"] = list(metadata.dataset_ids)
    return json.dumps(extra, ensure_ascii=False) if extra else None


def _reading(i, data, now_ns):
    kind = data.WhichOneof("data")
    if kind == "binary":
        raise UnsupportedUploadError(
            f"sensor_contents[{i}] is binary: this receiver stores readings only"
        )
    if kind is None:
        raise UploadError(f"sensor_contents[{i}] has no payload")
    metadata = data.metadata
    missing = (not metadata.HasField("time_requested")) + 2 * (
        not metadata.HasField("time_received")
    )
    try:
        requested = None if missing & 1 else payload.timestamp_ns(metadata.time_requested)
        received = None if missing & 2 else payload.timestamp_ns(metadata.time_received)
    except ValueError as e:
        raise UploadError(f"sensor_contents[{i}].metadata: time is impossible: {e}") from e
    if requested is None:
        requested = now_ns if received is None else received
    latency = 0 if received is None else received - requested
    return Reading(requested, latency, missing, payload.struct_text(data.struct))
