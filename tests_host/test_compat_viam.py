"""What the board sends, read by a server that is made of viam-sdk's generated classes alone."""

import asyncio
import contextlib
import json
import ssl
import time

import pytest
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Value
from google.protobuf.unknown_fields import UnknownFieldSet
from grpclib.events import RecvRequest, listen
from grpclib.server import Server
from viam.gen.app.datasync.v1.data_sync_grpc import UnimplementedDataSyncServiceBase
from viam.gen.app.datasync.v1.data_sync_pb2 import (
    DATA_TYPE_TABULAR_SENSOR,
    DataCaptureUploadResponse,
)
from viam.gen.proto.rpc.v1.auth_grpc import UnimplementedAuthServiceBase
from viam.gen.proto.rpc.v1.auth_pb2 import AuthenticateResponse

from bench_support import PART, SECRET, Bench, machine, running
from net_support import Certificates

TOKEN = "a.token.of-this-test"
TAGS = ["red", "blue-2"]
# Of the sensor data of one request: micro-rdk's own limit, for the cloud's sake and for memory's.
MAX_SENSOR_DATA = 32000
# component type, name, method and parameters → keys of the readings' Struct.
STREAMS = {
    ("rdk:component:sensor", "count", "Readings", ()): {"readings"},
    ("rdk:component:sensor", "warm", "Readings", ()): {"readings"},
    ("rdk:component:board", "esp", "Analogs", (("reader_name", "A1"),)): {"value"},
    ("rdk:component:board", "esp", "Analogs", (("reader_name", "A2"),)): {"value"},
    ("rdk:component:board", "esp", "Gpios", (("pin_name", "4"),)): {"high"},
}
WAIT_S = 40


class Auth(UnimplementedAuthServiceBase):
    def __init__(self):
        self.requests = []

    async def Authenticate(self, stream):  # noqa: N802 - the service's own name
        self.requests.append(await stream.recv_message())
        await stream.send_message(AuthenticateResponse(access_token=TOKEN))


class DataSync(UnimplementedDataSyncServiceBase):
    def __init__(self):
        self.requests = []

    async def DataCaptureUpload(self, stream):  # noqa: N802 - the service's own name
        self.requests.append(await stream.recv_message())
        answer = DataCaptureUploadResponse(file_id="file", binary_data_id="org/location/file")
        await stream.send_message(answer)


class Cloud:
    """Viam's services on grpclib: what the board sent, and the headers of each call.

    more: other services.
    """

    def __init__(self, certificate, key, *more):
        self.auth, self.sync, self.headers = Auth(), DataSync(), []
        self._server = Server([self.auth, self.sync, *more])
        listen(self._server, RecvRequest, self._on_request)
        self._tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._tls.load_cert_chain(certificate, key)
        self._tls.set_alpn_protocols(["h2"])

    async def _on_request(self, event):
        self.headers.append((event.method_name, dict(event.metadata), event.content_type))

    async def start(self):
        await self._server.start("127.0.0.1", 0, ssl=self._tls)
        return self._server._server.sockets[0].getsockname()[1]

    async def stop(self):
        self._server.close()
        await self._server.wait_closed()

    def received(self):
        """{stream as in STREAMS: [SensorData]}"""
        found = {}
        for request in self.sync.requests:
            found.setdefault(key_of(request.metadata), []).extend(request.sensor_contents)
        return found


def key_of(metadata):
    params = []
    for name, packed in metadata.method_parameters.items():
        value = Value()
        assert packed.Unpack(value), packed.type_url
        assert packed.type_url == "type.googleapis.com/google.protobuf.Value"
        params.append((name, value.string_value))
    return metadata.component_type, metadata.component_name, metadata.method_name, tuple(params)


def configuration():
    """A board with two analog readers and a pin, and two sensors."""
    made = machine({"count": 50}, 0.01)
    made["services"][0]["attributes"]["tags"] = TAGS

    def capturing(*methods):
        methods = [{"capture_frequency_hz": 10, "cache_size_kb": 2, **m} for m in methods]
        return [{"type": "data_manager", "attributes": {"capture_methods": methods}}]

    def on(method, **params):
        return {"method": method, "additional_params": params}

    made["components"] += [
        {
            "name": "esp",
            "type": "board",
            "model": "esp32",
            "attributes": {
                "analogs": [{"name": "A1", "pin": "34"}, {"name": "A2", "pin": "35"}]
            },
            "service_configs": capturing(
                on("Analogs", reader_name="A1"),
                on("Analogs", reader_name="A2"),
                on("Gpios", pin_name="4"),
            ),
        },
        {
            "name": "warm",
            "type": "sensor",
            "model": "tmp36",
            "attributes": {"analog_reader": "A1", "num_readings": 1},
            "service_configs": capturing({"method": "Readings"}),
        },
    ]
    return made


@pytest.fixture(scope="module", params=["micropython", "cpython"])
def cloud(request, tmp_path_factory):
    """A Cloud that a board has synced to; when: seconds UTC before and after; log: the board's."""
    folder = tmp_path_factory.mktemp("compat")
    certificates = Certificates(folder)

    async def main():
        served = Cloud(*certificates.server())
        bench = Bench(folder)
        bench.url = f"https://127.0.0.1:{await served.start()}"
        bench.ca = certificates.ca_file
        bench.machine.write_text(json.dumps(configuration()))
        before = time.time()
        with running(bench.board(runtime=request.param)) as board:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(WAIT_S):
                    while min(map(len, served.received().values()), default=0) < 5 or len(
                        served.received()
                    ) < len(STREAMS):
                        await asyncio.sleep(0.05)
            served.log = board.log()
        served.when = before, time.time()
        await served.stop()
        return served

    return asyncio.run(main())


def messages(message):
    """A message and all that are in it."""
    yield message
    for descriptor, value in message.ListFields():
        if descriptor.message_type is None:
            continue
        if descriptor.message_type.GetOptions().map_entry:
            found = list(value.values())
        else:
            found = [value] if isinstance(value, Message) else value
        for one in found:
            if isinstance(one, Message):
                yield from messages(one)


def test_every_stream_arrives_and_two_readers_of_one_board_are_told_apart(cloud):
    assert set(cloud.received()) == set(STREAMS), cloud.log


def test_the_metadata_is_what_viam_server_sends_and_nothing_else(cloud):
    """viam.md, 3.5, for tabular data."""
    for request in cloud.sync.requests:
        metadata = request.metadata
        assert metadata.part_id == PART
        assert metadata.type == DATA_TYPE_TABULAR_SENSOR
        assert metadata.file_extension == ".dat"
        assert list(metadata.tags) == TAGS
        set_fields = {descriptor.name for descriptor, _ in metadata.ListFields()}
        assert set_fields - {"method_parameters"} == {
            *("part_id", "component_type", "component_name", "method_name", "type"),
            *("file_name", "file_extension", "tags"),
        }


def test_no_field_is_unknown_to_the_generated_classes(cloud):
    for request in [*cloud.auth.requests, *cloud.sync.requests]:
        for message in messages(request):
            assert len(UnknownFieldSet(message)) == 0, message


def test_readings_are_structs_of_the_method_with_their_two_times(cloud):
    start, end = (int(second * 1e9) for second in cloud.when)
    for key, contents in cloud.received().items():
        for data in contents:
            assert data.WhichOneof("data") == "struct"
            assert STREAMS[key] <= set(data.struct.fields), key
            names = {descriptor.name for descriptor, _ in data.metadata.ListFields()}
            assert names == {"time_requested", "time_received"}
            requested = data.metadata.time_requested.ToNanoseconds()
            received = data.metadata.time_received.ToNanoseconds()
            assert start < requested <= received < end
    for key, contents in cloud.received().items():
        values = [dict(data.struct) for data in contents]
        if key[2] == "Gpios":
            assert all(v["high"] in (True, False) for v in values)
        elif key[2] == "Analogs":
            assert all(0 <= v["value"] <= 65535 for v in values)
        elif key[1] == "count":
            assert [v["readings"]["n"] for v in values] == list(range(len(values)))


def test_times_of_a_stream_are_a_period_apart(cloud):
    for key, contents in cloud.received().items():
        period = 20 if key[1] == "count" else 100
        times = [data.metadata.time_requested.ToMilliseconds() for data in contents]
        assert times == sorted(times)
        # On average: a busy machine serves one late, but never drifts.
        mean = (times[-1] - times[0]) / (len(times) - 1)
        assert period * 0.9 < mean < period * 1.5, (key, times)


def test_the_file_name_lists_the_parcels_and_a_request_is_not_too_large(cloud):
    seen = set()
    for request in cloud.sync.requests:
        version, log, parcels = request.metadata.file_name.split(":")
        assert (version, len(bytes.fromhex(log))) == ("cistern1", 8)
        parcels = [parcel.split("*") for parcel in parcels.split(",")]
        assert sum(int(count) for _, count in parcels) == len(request.sensor_contents)
        for name, _ in parcels:
            assert name not in seen
            seen.add(name)
        assert sum(d.ByteSize() + 4 for d in request.sensor_contents) <= MAX_SENSOR_DATA


def test_the_login_is_a_parts_and_every_later_call_carries_its_token(cloud):
    for request in cloud.auth.requests:
        assert request.entity == PART
        assert (request.credentials.type, request.credentials.payload) == ("robot-secret", SECRET)
    names = [name for name, _, _ in cloud.headers]
    assert names[0] == "/proto.rpc.v1.AuthService/Authenticate"
    for name, headers, kind in cloud.headers:
        assert kind == "application/grpc"
        wanted = None if name.endswith("/Authenticate") else f"Bearer {TOKEN}"
        assert headers.get("authorization") == wanted, name
