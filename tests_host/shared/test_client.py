"""The session with the cloud: who is told what when a login fails."""

import asyncio

from cistern.cloud.client import Cloud
from cistern.cloud.login import AUTHENTICATE
from cistern.errors import GrpcError, LinkError

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


def _served(cloud, message=b"x", size=None):
    return asyncio.run(cloud.call("/upload", message, size))


def test_a_token_that_is_not_taken_any_more_is_replaced_at_once():
    channel = FakeChannel(
        {AUTHENTICATE: [TOKEN, b"\x0a\x03new"], "/upload": [b"", GrpcError(16, "old"), b"ok"]}
    )
    cloud = Cloud(channel, "p", "s")
    assert _served(cloud) == b""
    made = []

    def pieces():
        made.append(1)
        return iter((b"x",))

    assert _served(cloud, pieces, 1) == b"ok"
    assert [token for _, token in channel.calls] == [
        None,
        "Bearer token",
        "Bearer token",
        None,
        "Bearer new",
    ]
    assert len(made) == 2, "the message is made anew for the second try"


def test_a_fresh_token_that_is_not_taken_is_left_to_the_backoff():
    channel = FakeChannel({AUTHENTICATE: [TOKEN, TOKEN], "/upload": [GrpcError(16, "no")] * 3})
    cloud = Cloud(channel, "p", "s")
    assert _failing(cloud) == 16 and len(channel.calls) == 2
    assert _failing(cloud) == 16 and len(channel.calls) == 4


def test_an_answer_without_a_token_is_an_error_of_the_link():
    for answer in (b"", b"\x08\x01", b"\xff", b"\x0a\x02\xff\xfe"):
        channel = FakeChannel({AUTHENTICATE: [answer]})
        try:
            _served(Cloud(channel, "p", "s"))
        except LinkError as e:
            assert "token" in str(e)
        else:
            raise AssertionError(answer)


def test_the_date_of_each_answer_is_passed_on():
    channel = FakeChannel({AUTHENTICATE: [TOKEN], "/upload": [b""]})
    heard = []
    _served(Cloud(channel, "p", "s", heard.append))
    assert heard == [None, None]
