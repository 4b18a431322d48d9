"""DataCaptureUpload (viam.app.datasync.v1, data_sync.proto): readings as SensorData, piece by
piece.
"""

from cistern.cloud.protobuf import field, number, struct_, text, timestamp, value, varint

UPLOAD = "/viam.app.datasync.v1.DataSyncService/DataCaptureUpload"
TABULAR_SENSOR = 2
FILE_EXTENSION = ".dat"  # what viam-server sends for tabular data
_VALUE_URL = "type.googleapis.com/google.protobuf.Value"


def upload_metadata(part_id, stream, file_name, tags):
    """Field 1 of the request: an UploadMetadata as viam-server fills it."""
    parts = [
        text(1, part_id),
        text(2, stream.component_type),
        text(3, stream.component_name),
        text(5, stream.method),
        number(6, TABULAR_SENSOR),
        text(7, file_name),
    ]
    for key in sorted(stream.params):
        packed = field(1, _VALUE_URL) + field(2, value(stream.params[key]))
        parts.append(field(8, field(1, key) + field(2, packed)))
    parts.append(text(9, FILE_EXTENSION))
    parts += [text(10, tag) for tag in tags]
    return field(1, b"".join(parts))


def sensor_data(requested_us, received_us, payload):
    """Field 2 of the request: one reading. Times in µs since 1970; payload: the dict of its
    Struct.
    """
    metadata = field(1, timestamp(requested_us)) + field(2, timestamp(received_us))
    return field(2, field(1, metadata) + field(2, struct_(payload)))


__all__ = ("FILE_EXTENSION", "UPLOAD", "sensor_data", "upload_metadata", "varint")
