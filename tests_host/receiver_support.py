"""A receiver in this process or its own, and clients for it; what the receiver's tests share."""

import asyncio
import contextlib
import json
import signal
import sqlite3
import ssl
import subprocess
import sys
import tempfile
from pathlib import Path

from grpclib.client import Channel
from grpclib.exceptions import GRPCError
from viam.gen.app.datasync.v1.data_sync_grpc import DataSyncServiceStub
from viam.gen.app.datasync.v1.data_sync_pb2 import (
    DATA_TYPE_TABULAR_SENSOR,
    DataCaptureUploadRequest,
    SensorData,
    UploadMetadata,
)
from viam.gen.app.v1.robot_grpc import RobotServiceStub
from viam.gen.proto.rpc.v1.auth_grpc import AuthServiceStub
from viam.gen.proto.rpc.v1.auth_pb2 import AuthenticateRequest, Credentials

from cistern_tools.receiver.accounts import API_KEY, ROBOT_SECRET, Accounts
from cistern_tools.receiver.server import dev_tls_context, serve

PART = "part-1"
SECRET = "a-secret-of-part-1"
OTHER = "part-2"
START_S = 20
NS = 10**9
T0 = 1_700_000_000 * NS


def add_part(data, part=PART, secret=SECRET):
    """Adds a part to a data folder."""
    data.mkdir(parents=True, exist_ok=True)
    with contextlib.closing(Accounts(data)) as accounts:
        accounts.add_part(part, secret)


class Client:
    """A grpclib client of a receiver, with all stubs."""

    def __init__(self, receiver, ca=None, alpn=True):
        context = None
        if ca:
            context = ssl.create_default_context(cafile=ca)
            context.verify_flags |= ssl.VERIFY_X509_STRICT
            if alpn:
                context.set_alpn_protocols(["h2"])
        self.channel = Channel(receiver.host, receiver.port, ssl=context)
        self.auth = AuthServiceStub(self.channel)
        self.robot = RobotServiceStub(self.channel)
        self.sync = DataSyncServiceStub(self.channel)
        self.metadata = {}

    async def login(self, entity=PART, secret=SECRET, kind=ROBOT_SECRET):
        """Logs in; later calls pass `metadata`."""
        answer = await self.auth.Authenticate(
            AuthenticateRequest(entity=entity, credentials=Credentials(type=kind, payload=secret))
        )
        self.metadata = {"authorization": "Bearer " + answer.access_token}
        return answer.access_token

    async def upload(self, request):
        """Uploads a request; returns the answer."""
        return await self.sync.DataCaptureUpload(request, metadata=self.metadata)


@contextlib.asynccontextmanager
async def running(data, tls=True, login=True, alpn=True):
    """A receiver in this process with one part, and a client that has logged in."""
    add_part(data)
    context, ca = dev_tls_context(data) if tls else (None, None)
    async with serve(data, ssl_context=context) as receiver:
        client = Client(receiver, ca, alpn)
        try:
            if login:
                await client.login()
            yield receiver, client
        finally:
            client.channel.close()


def reading(n, time_ns=None, **more):
    """A SensorData of {"readings": {"n": n, **more}}, 10 ms after that of n - 1."""
    data = SensorData()
    requested = T0 + n * NS // 100 if time_ns is None else time_ns
    data.metadata.time_requested.FromNanoseconds(requested)
    data.metadata.time_received.FromNanoseconds(requested + 1500)
    data.struct.update({"readings": {"n": n, **more}})
    return data


def upload(readings, file_name="", part=PART, component="s1", **metadata):
    """A DataCaptureUploadRequest."""
    metadata = {"type": DATA_TYPE_TABULAR_SENSOR, "method_name": "Readings", **metadata}
    return DataCaptureUploadRequest(
        metadata=UploadMetadata(
            part_id=part,
            component_type="rdk:component:sensor",
            component_name=component,
            file_name=file_name,
            **metadata,
        ),
        sensor_contents=readings,
    )


def select(data, sql):
    """Returns the rows of a query on a data folder's database."""
    with contextlib.closing(sqlite3.connect(data / "readings.db")) as db:
        return db.execute(sql).fetchall()


async def refused(call):
    """Awaits a call that has to fail; returns (status name, message)."""
    try:
        answer = await call
    except GRPCError as e:
        return e.status.name, e.message
    raise AssertionError(f"it succeeded: {answer}")


class Cloud(subprocess.Popen):
    """`cistern cloud` as a process; its log goes to a file, which no amount of it can block."""

    def __init__(self, data, *options, **more):
        self.log = tempfile.TemporaryFile("w+")  # noqa: SIM115 - process() closes it
        script = (
            "import typer; from cistern_tools.receiver.commands import cloud; typer.run(cloud)"
        )
        command = [sys.executable, "-c", script, "--data", str(data), "--json", *options]
        super().__init__(command, stdout=subprocess.PIPE, stderr=self.log, text=True, **more)

    def logged(self):
        """What it has logged so far."""
        self.log.seek(0)
        return self.log.read()


@contextlib.contextmanager
def process(data, *options, **more):
    """`cistern cloud` as a process; yields (Cloud, what it printed as JSON when ready)."""
    cloud = Cloud(data, *options, **more)
    try:
        line = cloud.stdout.readline()
        if not line:
            cloud.wait()
            raise AssertionError(cloud.logged())
        yield cloud, json.loads(line)
    finally:
        if cloud.poll() is None:
            cloud.send_signal(signal.SIGKILL)
        cloud.communicate()
        cloud.log.close()


def endpoint(ready):
    """The host and port of a ready line, as an object with both."""
    host, _, port = ready["url"].rpartition("://")[2].rpartition(":")
    return type("Endpoint", (), {"host": host, "port": int(port)})


def run(coroutine, timeout=60):
    """Runs a coroutine with a deadline."""
    return asyncio.run(asyncio.wait_for(coroutine, timeout))


__all__ = [
    "API_KEY",
    "OTHER",
    "PART",
    "ROBOT_SECRET",
    "SECRET",
    "T0",
    "Client",
    "Path",
    "add_part",
    "endpoint",
    "process",
    "reading",
    "refused",
    "run",
    "running",
    "select",
    "upload",
]
