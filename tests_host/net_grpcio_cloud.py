"""A cloud on grpcio, whose answers have no `date`: net_grpcio_cloud.py FILE [TOKEN]

It takes any part and secret, and writes to FILE a line of JSON for each upload: [tags, [[UTC of a
reading in s, its payload], …]]. TOKEN: what a login answers.
"""

import json
import sys
import time
from concurrent import futures

import grpc
from google.protobuf.json_format import MessageToDict
from viam.gen.app.datasync.v1.data_sync_pb2 import (
    DataCaptureUploadRequest,
    DataCaptureUploadResponse,
)
from viam.gen.proto.rpc.v1.auth_pb2 import AuthenticateResponse

TOKEN = sys.argv[2] if len(sys.argv) > 2 else "a token"


def authenticate(request, context):
    return AuthenticateResponse(access_token=TOKEN).SerializeToString()


def upload(request, context):
    got = DataCaptureUploadRequest.FromString(request)
    readings = [
        [r.metadata.time_requested.ToNanoseconds() / 1e9, MessageToDict(r.struct)]
        for r in got.sensor_contents
    ]
    with open(sys.argv[1], "a") as f:
        f.write(json.dumps([list(got.metadata.tags), readings]) + "\n")
    return DataCaptureUploadResponse().SerializeToString()


server = grpc.server(futures.ThreadPoolExecutor(4))
for service, calls in (
    ("proto.rpc.v1.AuthService", {"Authenticate": authenticate}),
    ("viam.app.datasync.v1.DataSyncService", {"DataCaptureUpload": upload}),
):
    handlers = {name: grpc.unary_unary_rpc_method_handler(call) for name, call in calls.items()}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
port = server.add_insecure_port("127.0.0.1:0")
server.start()
print(port, flush=True)
while True:
    time.sleep(60)
