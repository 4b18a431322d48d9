"""grpc.testing.TestService on grpcio, for the interop cases: net_grpcio_server.py [CERT KEY]"""

import sys
import time
from concurrent import futures

import grpc


def fields(data):
    """(number, value) of a protobuf message; value is an int or bytes."""
    at = 0

    def varint():
        nonlocal at
        n = shift = 0
        while True:
            b = data[at]
            at += 1
            n |= (b & 127) << shift
            shift += 7
            if b < 128:
                return n

    while at < len(data):
        key = varint()
        if key & 7 == 2:
            n = varint()
            at += n
            yield key >> 3, data[at - n : at]
        else:
            yield key >> 3, varint()


def varint(n):
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    out.append(n)
    return bytes(out)


def response(size):
    body = b"\x12" + varint(size) + bytes(size)
    return b"\x0a" + varint(len(body)) + body


def begin(request, context):
    """Echo metadata and status as the interop description says."""
    for key, value in context.invocation_metadata():
        if key == "x-grpc-test-echo-initial":
            context.send_initial_metadata(((key, value),))
        elif key == "x-grpc-test-echo-trailing-bin":
            context.set_trailing_metadata(((key, value),))
    wanted = dict(fields(request))
    if 7 in wanted:
        status = dict(fields(wanted[7]))
        code = next(c for c in grpc.StatusCode if c.value[0] == status[1])
        context.abort(code, status[2].decode())
    return wanted


def unary(request, context):
    return response(begin(request, context).get(2, 0))


def output(request, context):
    begin(request, context)
    for number, value in fields(request):
        if number == 2:
            yield response(dict(fields(value)).get(1, 0))


def duplex(requests, context):
    for request in requests:
        yield from output(request, context)


def total(requests, context):
    size = 0
    for request in requests:
        for number, value in fields(request):
            if number == 1:
                size += len(dict(fields(value)).get(2, b""))
    return b"\x08" + varint(size)


server = grpc.server(futures.ThreadPoolExecutor(8))
server.add_generic_rpc_handlers((
    grpc.method_handlers_generic_handler("grpc.testing.TestService", {
        "EmptyCall": grpc.unary_unary_rpc_method_handler(lambda request, context: b""),
        "UnaryCall": grpc.unary_unary_rpc_method_handler(unary),
        "StreamingOutputCall": grpc.unary_stream_rpc_method_handler(output),
        "StreamingInputCall": grpc.stream_unary_rpc_method_handler(total),
        "FullDuplexCall": grpc.stream_stream_rpc_method_handler(duplex),
        "Echo": grpc.unary_unary_rpc_method_handler(lambda request, context: request),
    }),
))
if len(sys.argv) > 1:
    with open(sys.argv[1], "rb") as cert, open(sys.argv[2], "rb") as key:
        credentials = grpc.ssl_server_credentials([(key.read(), cert.read())])
    port = server.add_secure_port("127.0.0.1:0", credentials)
else:
    port = server.add_insecure_port("127.0.0.1:0")
server.start()
print(port, flush=True)
while True:
    time.sleep(60)
