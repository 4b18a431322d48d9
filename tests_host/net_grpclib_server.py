"""Viam's DataSyncService on grpclib over TLS: net_grpclib_server.py CERT KEY [CLIENT_CA]

DataCaptureUpload answers with the number of bytes and readings that came.
"""

import asyncio
import ssl
import sys

from grpclib import GRPCError, Status
from grpclib.server import Server
from viam.gen.app.datasync.v1 import data_sync_pb2 as pb
from viam.gen.app.datasync.v1.data_sync_grpc import UnimplementedDataSyncServiceBase


class Service(UnimplementedDataSyncServiceBase):
    async def DataCaptureUpload(self, stream):  # noqa: N802
        request = await stream.recv_message()
        if request.metadata.part_id == "stranger":
            raise GRPCError(Status.PERMISSION_DENIED, "nö: %")
        text = f"{len(request.sensor_contents)} {request.ByteSize()}"
        await stream.send_initial_metadata(metadata={"date": "Mon, 21 Oct 2013 20:13:21 GMT"})
        await stream.send_message(pb.DataCaptureUploadResponse(file_id=text))

    async def FileUpload(self, stream):  # noqa: N802
        size = 0
        async for request in stream:
            size += len(request.file_contents.data)
        await stream.send_message(pb.FileUploadResponse(binary_data_id=str(size)))


async def main(cert, key, client_ca=None):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)
    context.set_alpn_protocols(["h2"])
    if client_ca:
        context.load_verify_locations(client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    server = Server([Service()])
    await server.start("127.0.0.1", 0, ssl=context)
    print(server._server.sockets[0].getsockname()[1], flush=True)
    await server.wait_closed()


asyncio.run(main(*sys.argv[1:]))
