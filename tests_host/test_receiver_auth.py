"""Logins and tokens: who gets in, who does not, and what each is told."""

import asyncio
import contextlib
import time

import pytest
from viam.gen.app.v1.robot_pb2 import (
    CertificateRequest,
    ConfigRequest,
    LogRequest,
    NeedsRestartRequest,
)
from viam.gen.proto.rpc.v1.auth_pb2 import AuthenticateRequest, Credentials

from cistern_tools.receiver import accounts
from cistern_tools.receiver.accounts import API_KEY, AccountError, Accounts
from receiver_support import (
    OTHER,
    PART,
    SECRET,
    Client,
    add_part,
    reading,
    refused,
    run,
    running,
    upload,
)


def test_logins_get_the_status_that_goutils_gives(tmp_path):
    cases = [
        (AuthenticateRequest(entity=PART), "INVALID_ARGUMENT", "credentials required"),
        (
            login("robot-location-secret"),
            "UNIMPLEMENTED",
            "direct authentication not supported for",
        ),
        (login(""), "UNIMPLEMENTED", "direct authentication not supported for"),
        (login("robot-secret", "wrong"), "PERMISSION_DENIED", "failed to authenticate: "),
        (login("robot-secret", entity="nobody"), "PERMISSION_DENIED", "failed to authenticate: "),
        (login("api-key"), "PERMISSION_DENIED", "failed to authenticate: "),
        (login("robot-secret", entity=""), "INVALID_ARGUMENT", "entity is missing"),
        (login("robot-secret", entity="../" * 9), "PERMISSION_DENIED", "failed to authenticate: "),
    ]

    async def main():
        async with running(tmp_path, login=False) as (_, client):
            for request, status, words in cases:
                found, message = await refused(client.auth.Authenticate(request))
                assert (found, words in message) == (status, True), (request, found, message)
                assert SECRET not in message
            assert await client.login()

    run(main())


def login(kind, secret=SECRET, entity=PART):
    return AuthenticateRequest(entity=entity, credentials=Credentials(type=kind, payload=secret))


def test_an_unknown_part_takes_as_long_as_a_wrong_secret(tmp_path):
    async def main():
        add_part(tmp_path)
        took = {}
        with contextlib.closing(Accounts(tmp_path)) as known:
            for entity in (PART, "nobody") * 5:
                began = time.perf_counter()
                assert await known.login("robot-secret", entity, "wrong") is None
                took.setdefault(entity, []).append(time.perf_counter() - began)
        assert min(took["nobody"]) > min(took[PART]) / 2

    run(main())


def test_every_method_wants_a_token_of_the_right_part(tmp_path):
    calls = {
        "Config": ConfigRequest,
        "Certificate": CertificateRequest,
        "Log": LogRequest,
        "NeedsRestart": NeedsRestartRequest,
    }

    async def main():
        add_part(tmp_path, OTHER)
        async with running(tmp_path) as (_, client):
            for name, request in calls.items():
                call = getattr(client.robot, name)
                assert (await refused(call(request(id=PART))))[0] == "UNAUTHENTICATED"
                other = call(request(id=OTHER), metadata=client.metadata)
                assert (await refused(other))[0] == "PERMISSION_DENIED"

    run(main())


def test_tokens_end_with_their_part_its_secret_and_their_time(tmp_path, monkeypatch):
    async def main():
        async with running(tmp_path) as (receiver, client):
            with contextlib.closing(Accounts(tmp_path)) as known:
                await client.upload(upload([reading(1)]))
                known.add_part(PART, "another secret", replace=True)
                status, message = await refused(client.upload(upload([reading(2)])))
                assert (status, "authenticate again" in message) == ("UNAUTHENTICATED", True)
                assert (await refused(client.login()))[0] == "PERMISSION_DENIED"
                await client.login(secret="another secret")
                await client.upload(upload([reading(3)]))
                known.remove("robot-secret", PART)
                assert (await refused(client.upload(upload([reading(4)]))))[0] == "UNAUTHENTICATED"
                assert (await refused(client.login()))[0] == "PERMISSION_DENIED"
                known.add_part(PART, SECRET)
                monkeypatch.setattr(accounts, "TOKEN_SECONDS", -1)
                await client.login()
                status, message = await refused(client.upload(upload([reading(5)])))
                assert (status, "expired" in message) == ("UNAUTHENTICATED", True)
            assert receiver.tls

    run(main())


def test_a_token_of_another_receiver_or_a_changed_one_is_refused(tmp_path):
    async def main():
        async with running(tmp_path / "a") as (_, a), running(tmp_path / "b") as (_, b):
            own, foreign = b.metadata, a.metadata
            b.metadata = foreign
            assert (await refused(b.upload(upload([reading(1)]))))[0] == "UNAUTHENTICATED"
            token = own["authorization"]
            for at in range(8, len(token), 7):
                changed = token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :]
                b.metadata = {"authorization": changed}
                assert (await refused(b.upload(upload([reading(1)]))))[0] == "UNAUTHENTICATED"

    run(main())


def test_secrets_are_nowhere_in_the_data_folder_but_in_secret_files(tmp_path):
    async def main():
        async with running(tmp_path) as (_, client):
            with contextlib.closing(Accounts(tmp_path)) as known:
                _, key = known.add_key()
            await client.upload(upload([reading(1)]))
            return key, client.metadata["authorization"]

    for text in (*run(main()), SECRET):
        for path in tmp_path.rglob("*"):
            assert path.is_dir() or text.encode() not in path.read_bytes(), path
            assert path.stat().st_mode & 0o077 == 0 or path.suffix == ".pem", path


def test_a_storm_of_logins_is_answered_or_turned_away(tmp_path, monkeypatch):
    monkeypatch.setattr(accounts, "LOGINS_WAITING", 5)

    async def main():
        async with running(tmp_path, login=False) as (receiver, client):
            clients = [Client(receiver, tmp_path / "tls" / "ca.pem") for _ in range(3)]
            done = await asyncio.gather(
                *(c.login() for c in clients for _ in range(8)), return_exceptions=True
            )
            states = {getattr(answer, "status", None) and answer.status.name for answer in done}
            assert states == {None, "UNAVAILABLE"}
            await client.login()
            for one in clients:
                one.channel.close()

    run(main())


def test_parts_and_keys_are_managed_with_clear_refusals(tmp_path):
    with contextlib.closing(Accounts(tmp_path)) as known:
        assert known.add_part(PART, SECRET)
        assert not known.add_part(PART, SECRET), "the same again changes nothing"
        with pytest.raises(AccountError, match="--replace"):
            known.add_part(PART, "another secret")
        for bad in ("", ".", "../x", "a/b", "a b", "x" * 129, "ä", "a\n"):
            with pytest.raises(AccountError, match="cannot be a part id"):
                known.add_part(bad, SECRET)
        with pytest.raises(AccountError, match="unknown"):
            known.add_key("nobody")
        key_id, _ = known.add_key(PART)
        assert [(row[0], row[1]) for row in known.entities(API_KEY)] == [(key_id, PART)]
        assert known.remove(API_KEY, key_id)
        assert not known.remove(API_KEY, key_id)
