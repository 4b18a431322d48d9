"""Viam's services, as far as devices and uploading programs need them."""

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor

from google.protobuf.duration_pb2 import Duration
from grpclib.const import Status
from grpclib.exceptions import GRPCError
from viam.gen.app.datasync.v1.data_sync_grpc import UnimplementedDataSyncServiceBase
from viam.gen.app.datasync.v1.data_sync_pb2 import DataCaptureUploadResponse
from viam.gen.app.v1.robot_grpc import UnimplementedRobotServiceBase
from viam.gen.app.v1.robot_pb2 import (
    CertificateResponse,
    ConfigResponse,
    LogResponse,
    NeedsRestartResponse,
)
from viam.gen.proto.rpc.v1.auth_grpc import AuthServiceBase
from viam.gen.proto.rpc.v1.auth_pb2 import AuthenticateResponse

from . import accounts, losses, machines, payload, uploads
from .complaints import Complaints
from .gate import acting_for, reply, request_of

# Methods with large requests; all others take limits.SMALL_MESSAGE.
LARGE = (
    "/viam.app.datasync.v1.DataSyncService/DataCaptureUpload",
    "/viam.app.v1.RobotService/Log",
)
MAX_LOG_ENTRIES = 1000  # of one request, as in Viam's cloud
RESTART_CHECK = Duration(seconds=5)  # as Viam's devices have it

log = logging.getLogger(__name__)


class Auth(AuthServiceBase):
    """proto.rpc.v1.AuthService."""

    def __init__(self, known_accounts, known_machines):
        self._accounts = known_accounts
        self._machines = known_machines
        self._complain = Complaints()

    async def Authenticate(self, stream):  # noqa: N802 - the service's own name
        """Gives a token for a part's secret or an API key; errors and texts as in goutils."""
        request = await request_of(stream)
        kind = request.credentials.type
        if not request.HasField("credentials"):
            raise GRPCError(Status.INVALID_ARGUMENT, "credentials required")
        if kind not in (accounts.ROBOT_SECRET, accounts.API_KEY):
            raise GRPCError(
                Status.UNIMPLEMENTED,
                f"direct authentication not supported for {kind[:40]!r}: "
                f"use {accounts.ROBOT_SECRET!r} or {accounts.API_KEY!r}",
            )
        if not request.entity:
            raise GRPCError(
                Status.INVALID_ARGUMENT, "entity is missing: it is the part id or the key id"
            )
        try:
            token = await self._accounts.login(kind, request.entity, request.credentials.payload)
        except accounts.TooManyLoginsError:
            raise GRPCError(
                Status.UNAVAILABLE, "too many logins at once: try again later"
            ) from None
        if token is None:
            self._complain(
                logging.WARNING,
                stream.peer.addr(),
                "login of %s %r refused",
                kind,
                request.entity[:128],
            )
            raise GRPCError(
                Status.PERMISSION_DENIED,
                "failed to authenticate: wrong part id or secret; at the receiver, cistern part "
                "list has the ids, and cistern part add --replace makes another secret"
                if kind == accounts.ROBOT_SECRET
                else "failed to authenticate: wrong key id or key; at the receiver, cistern "
                "apikey list has the ids, and cistern apikey add makes another key",
            )
        stream.peer.trust()
        if kind == accounts.ROBOT_SECRET:
            self._machines.logged_in(request.entity)
        await reply(stream, AuthenticateResponse(access_token=token))


class Robot(UnimplementedRobotServiceBase):
    """viam.app.v1.RobotService."""

    def __init__(self, known_accounts, known_machines, store, certificate):
        self._accounts = known_accounts
        self._machines = known_machines
        self._store = store
        self._certificate = certificate

    def _own(self, part):
        acting_for(part)
        if not self._accounts.knows_part(part):
            raise GRPCError(
                Status.NOT_FOUND, f"part {part[:128]!r} is unknown here; add it: cistern part add"
            )
        return part

    async def Config(self, stream):  # noqa: N802 - the service's own name
        """Sends a part its machine configuration."""
        part = self._own((await request_of(stream)).id)
        try:
            config = self._machines.config(part)
        except machines.NoMachineError as e:
            raise GRPCError(Status.NOT_FOUND, str(e)) from e
        except machines.BrokenMachineError as e:
            log.warning("%s; part %s has no configuration", e, part)
            raise GRPCError(Status.FAILED_PRECONDITION, str(e)) from e
        await reply(stream, ConfigResponse(config=config))

    async def Certificate(self, stream):  # noqa: N802 - the service's own name
        """Sends a part a certificate for its own server."""
        part = self._own((await request_of(stream)).id)
        if self._certificate is None:
            raise GRPCError(
                Status.FAILED_PRECONDITION,
                "a private key is not sent over plaintext: start the receiver with TLS",
            )
        certificate, key = await asyncio.to_thread(self._certificate, part)
        await reply(
            stream, CertificateResponse(id=part, tls_certificate=certificate, tls_private_key=key)
        )

    async def Log(self, stream):  # noqa: N802 - the service's own name
        """Stores a part's log lines, and what they say that the part lost."""
        request = await request_of(stream)
        part = self._own(request.id)
        caller = acting_for(part)
        if len(request.logs) > MAX_LOG_ENTRIES:
            raise GRPCError(
                Status.INVALID_ARGUMENT,
                f"{len(request.logs)} log entries at once, at most {MAX_LOG_ENTRIES} are possible",
            )
        rows = [_log_row(part, i, entry) for i, entry in enumerate(request.logs)]
        lost = ()
        if caller.kind == accounts.ROBOT_SECRET:  # programs write lines, but no part's losses
            said = (losses.read_loss(row[4], row[5], row[1]) for row in rows)
            lost = [loss for loss in said if loss]
        if rows:
            await self._store(lambda store: store.add_logs(rows, part, lost))
        await reply(stream, LogResponse())

    async def NeedsRestart(self, stream):  # noqa: N802 - the service's own name
        """Tells a part whether somebody wants it to restart."""
        part = self._own((await request_of(stream)).id)
        await reply(
            stream,
            NeedsRestartResponse(
                id=part,
                must_restart=self._machines.restart_wanted(part),
                restart_check_interval=RESTART_CHECK,
            ),
        )


def _log_row(part, i, entry):
    try:
        time_ns = payload.timestamp_ns(entry.time)
    except ValueError as e:
        raise GRPCError(Status.INVALID_ARGUMENT, f"logs[{i}].time is impossible: {e}") from e
    fields = "[" + ",".join(map(payload.struct_text, entry.fields)) + "]" if entry.fields else None
    caller = payload.struct_text(entry.caller) if entry.HasField("caller") else None
    return (
        part,
        time_ns,
        entry.host,
        entry.level,
        entry.logger_name,
        entry.message,
        caller,
        entry.stack or None,
        fields,
    )


class DataSync(UnimplementedDataSyncServiceBase):
    """viam.app.datasync.v1.DataSyncService."""

    def __init__(self, known_accounts, store):
        self._accounts = known_accounts
        self._store = store

    async def DataCaptureUpload(self, stream):  # noqa: N802 - the service's own name
        """Stores readings, and answers when they are on the disk."""
        request = await request_of(stream)
        part = request.metadata.part_id
        if not part:
            raise GRPCError(Status.INVALID_ARGUMENT, "metadata.part_id is missing")
        caller = acting_for(part)
        if not self._accounts.knows_part(part):
            raise GRPCError(
                Status.NOT_FOUND, f"part {part[:128]!r} is unknown here; add it: cistern part add"
            )
        try:
            # Not in the store's thread: others' uploads need not wait while this one is read.
            new = await asyncio.to_thread(uploads.read_upload, caller.entity, request)
            stored = await self._store(lambda store: store.add_upload(new))
        except uploads.UploadError as e:
            raise GRPCError(Status.INVALID_ARGUMENT, str(e)) from e
        except uploads.UnsupportedUploadError as e:
            raise GRPCError(Status.UNIMPLEMENTED, str(e)) from e
        await reply(stream, DataCaptureUploadResponse(file_id=f"cistern-upload-{stored.upload}"))

    async def FileUpload(self, stream):  # noqa: N802 - the service's own name
        """Refuses: files are not stored yet."""
        raise GRPCError(
            Status.UNIMPLEMENTED,
            "this receiver does not store files: remove additional_sync_paths, "
            "or sync them elsewhere",
        )

    async def StreamingDataCaptureUpload(self, stream):  # noqa: N802 - the service's own name
        """Refuses: images and other binary data are not stored yet."""
        raise GRPCError(
            Status.UNIMPLEMENTED,
            "this receiver does not store binary data: capture readings, or sync images elsewhere",
        )


class Writer:
    """Runs functions of the Store one after another in a thread of its own."""

    def __init__(self, store):
        self._thread = ThreadPoolExecutor(1, "store")
        self._store = store

    async def __call__(self, function):
        """Returns function(store); what was begun is finished even if the caller is cancelled."""
        return await asyncio.get_running_loop().run_in_executor(
            self._thread, function, self._store
        )

    def close(self):
        """Waits for what is running, then closes the store."""
        self._thread.shutdown()
        self._store.close()
