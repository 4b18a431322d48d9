"""The session with the cloud: who is told what when a login fails."""

import asyncio

from cistern.cloud.client import AUTHENTICATE, Cloud
from cistern.errors import GrpcError

TOKEN = b"\x0a\x05token"


class FakeChannel:
    """Answers calls with what `answers` says for their path: bytes, or an error to raise."""

    def __init__(self, answers):
        self.answers = answers
        self.calls = []

    async def unary(self, path, message, metadata, timeout_ms, size):
        self.calls.append((path, dict(metadata).get("authorization")))
        answer = self.answers[path].pop(0)
        if isinstance(answer, Exception):
            raise answer
        self.message = answer
        self.headers = {}
        return self


def _failing(cloud):
    try:
        asyncio.run(cloud.call("/upload", b"x"))
    except GrpcError as e:
        return e.status
    return None


def test_a_refused_login_is_no_refusal_of_the_message():
    """Else the uploader would set aside a good parcel (INVALID_ARGUMENT is for bad ones)."""
    channel = FakeChannel({AUTHENTICATE: [GrpcError(3, "entity is missing")]})
    assert _failing(Cloud(channel, "p", "s")) == 9
    assert channel.calls == [(AUTHENTICATE, None)]


def test_a_refused_message_is_one():
    channel = FakeChannel({AUTHENTICATE: [TOKEN], "/upload": [GrpcError(3, "bad reading")]})
    assert _failing(Cloud(channel, "p", "s")) == 3


def test_a_token_that_is_not_taken_any_more_is_replaced():
    channel = FakeChannel({AUTHENTICATE: [TOKEN, TOKEN], "/upload": [GrpcError(16, "old"), b""]})
    cloud = Cloud(channel, "p", "s")
    assert _failing(cloud) == 16
    assert _failing(cloud) is None
    assert [path for path, _ in channel.calls] == [AUTHENTICATE, "/upload"] * 2
    assert channel.calls[3] == ("/upload", "Bearer token")
