"""What every request passes: is there such a method, who calls, what becomes of errors."""

import asyncio
import contextlib
import functools
import logging
import sqlite3
from contextvars import ContextVar

from google.protobuf.message import DecodeError
from grpclib.const import Status
from grpclib.exceptions import GRPCError, ProtocolError, StreamTerminatedError

from . import accounts, limits

AUTHENTICATE = "/proto.rpc.v1.AuthService/Authenticate"
BEARER = "Bearer "

log = logging.getLogger(__name__)
_caller = ContextVar("caller")


class Gate:
    """Listens to RecvRequest: no request gets further without a method and a valid token."""

    def __init__(self, known_accounts, methods):
        self._accounts = known_accounts
        self._methods = methods

    async def __call__(self, event):
        """Checks a request before its body is read; sets the caller for the service."""
        name = event.method_name
        if name not in self._methods:
            event.method_func = _answered(
                _refusing(Status.UNIMPLEMENTED, f"the receiver does not have {name[:100]}")
            )
            return
        header = event.metadata.get("authorization")
        try:
            if name == AUTHENTICATE:
                if header is not None:
                    raise GRPCError(
                        Status.INVALID_ARGUMENT,
                        "already authenticated; cannot re-authenticate: "
                        "send no authorization header",
                    )
            else:
                _caller.set(self._check(header))
                event.peer.trust()
        except Exception as e:
            error = e if isinstance(e, GRPCError) else _status(e)
            event.method_func = _answered(_refusing(error.status, error.message))
        else:
            event.method_func = _answered(event.method_func)

    def _check(self, header):
        if header is None:
            raise GRPCError(
                Status.UNAUTHENTICATED,
                f"authentication required: call {AUTHENTICATE} and send its access_token as "
                f"'authorization: {BEARER}<access_token>'",
            )
        if not header.startswith(BEARER):
            raise GRPCError(
                Status.UNAUTHENTICATED, f"expected authorization header with prefix: {BEARER}"
            )
        try:
            return self._accounts.caller(header[len(BEARER) :])
        except accounts.TokenError as e:
            raise GRPCError(Status.UNAUTHENTICATED, str(e)) from e


def _refusing(status, message):
    async def refuse(_stream):
        raise GRPCError(status, message)

    return refuse


def _answered(method):
    """Wraps a method so that whatever it raises becomes a status and a sentence.

    An error is sent as headers and trailers, not as trailers only: micro-rdk looks for errors
    after the headers, and would take a refused upload for a stored one.
    """

    @functools.wraps(method)
    async def answer(stream):
        try:
            await method(stream)
        except (asyncio.CancelledError, StreamTerminatedError):
            raise
        except Exception as e:
            error = e if isinstance(e, GRPCError) else _status(e)
            with contextlib.suppress(ProtocolError):  # they were sent already
                await stream.send_initial_metadata()
            raise error from None

    return answer


def _status(error):
    if isinstance(error, DecodeError):
        return GRPCError(Status.INTERNAL, f"the message cannot be decoded: {error}")
    if isinstance(error, NotImplementedError):  # grpclib, for the compressed flag
        return GRPCError(
            Status.UNIMPLEMENTED, "the message is compressed: send it as it is (no grpc-encoding)"
        )
    if isinstance(error, sqlite3.Error):
        log.error("the database refused: %s (%s)", error, getattr(error, "sqlite_errorname", ""))
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
            return GRPCError(
                Status.RESOURCE_EXHAUSTED,
                "the receiver's disk is full, nothing was stored: keep the data, try again later",
            )
        return GRPCError(
            Status.UNAVAILABLE,
            f"the receiver's database refused, nothing was stored ({error}): try again later",
        )
    log.exception("a request failed")
    return GRPCError(Status.INTERNAL, "the receiver has a defect: its log says more")


async def request_of(stream):
    """Returns the message of a call; raises GRPCError or DecodeError."""
    message = await stream.recv_message()
    if message is None:
        raise GRPCError(Status.INTERNAL, "the request has no message")
    return message


async def reply(stream, message):
    """Sends the answer of a call; raises GRPCError if the client does not take it."""
    try:
        async with asyncio.timeout(limits.ANSWER_S):
            await stream.send_message(message)
    except TimeoutError:
        raise GRPCError(
            Status.DEADLINE_EXCEEDED, f"the answer was not taken within {limits.ANSWER_S} s"
        ) from None


def acting_for(part):
    """Returns the caller if it may act for `part`; raises GRPCError if not."""
    caller = _caller.get()
    if not caller.may_act_for(part):
        raise GRPCError(
            Status.PERMISSION_DENIED,
            f"{caller.entity} may not act for part {part[:128]!r}: "
            "use that part's own id and secret",
        )
    return caller
