"""DataCaptureUpload (viam.app.datasync.v1, data_sync.proto): its metadata."""

from cistern.cloud.protobuf import Writer

UPLOAD = "/viam.app.datasync.v1.DataSyncService/DataCaptureUpload"
TABULAR_SENSOR = 2
FILE_EXTENSION = ".dat"  # what viam-server sends for tabular data
_VALUE_URL = "type.googleapis.com/google.protobuf.Value"


def upload_metadata(part_id, stream, file_name, tags):
    """Field 1 of the request: an UploadMetadata as viam-server fills it."""
    w = Writer()
    for tag in reversed(tags):
        w.field(10, tag)
    w.field(9, FILE_EXTENSION)
    for key in sorted(stream.params, reverse=True):
        n = w.n
        w.value(stream.params[key])
        w.head(2, n)
        w.field(1, _VALUE_URL)
        w.head(2, n)
        w.field(1, key)
        w.head(8, n)
    w.field(7, file_name)
    w.varint(6 << 3, TABULAR_SENSOR)
    names = stream.method, stream.component_name, stream.component_type, part_id
    for i in range(4):
        if names[i]:
            w.field(b"\5\3\2\1"[i], names[i])
    w.head(1, 0)
    return w.view()
