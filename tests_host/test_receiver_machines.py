"""Configurations on their way to a device: what it gets, and what happens to broken files."""

import asyncio
import contextlib
import json
import os

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from google.protobuf.json_format import MessageToDict
from grpclib.exceptions import GRPCError
from viam.gen.app.v1.robot_pb2 import (
    CertificateRequest,
    ConfigRequest,
    ConfigResponse,
    LogRequest,
    NeedsRestartRequest,
)
from viam.gen.common.v1.common_pb2 import LogEntry

from cistern_tools.receiver.machines import robot_config, wish
from receiver_support import PART, refused, run, running, select

SEED = """{"services": [{"attributes": {"capture_dir": "", "tags": [], "additional_sync_paths": [],
 "sync_interval_mins": 3}, "name": "dm", "namespace": "rdk", "type": "data_manager"}],
 "components": [{"type": "sensor", "model": "fake", "attributes": {}, "depends_on": [],
 "service_configs": [{"attributes": {"capture_methods": [{"capture_frequency_hz": 0.2,
 "cache_size_kb": 10, "additional_params": {}, "method": "Readings"}]}, "type": "data_manager"}],
 "name": "tmp36", "namespace": "rdk"}]}"""
# What Viam's cloud sends for it (its bytes, from its own encoder), but for the cloud's own fields.
GOLDEN = (
    "0ad8030a3f0a09706172742d3132333412156d2d6d61696e2e6162632e7669616d2e636c6f75641a1b6d2d6d61696e2e"
    "6162632e6c6f63616c2e7669616d2e636c6f75641ae6010a05746d703336120372646b1a0673656e736f72221072646b"
    "3a6275696c74696e3a66616b653aa7010a1872646b3a736572766963653a646174615f6d616e61676572128a010a8701"
    "0a0f636170747572655f6d6574686f6473127432720a702a6e0a170a116164646974696f6e616c5f706172616d731202"
    "2a000a1a0a0d63616368655f73697a655f6b6212091100000000000024400a210a14636170747572655f667265717565"
    "6e63795f687a1209119a9999999999c93f0a140a066d6574686f64120a1a0852656164696e67734a1472646b3a636f6d"
    "706f6e656e743a73656e736f722aa5010a02646d120372646b1a0c646174615f6d616e61676572225d0a1b0a15616464"
    "6974696f6e616c5f73796e635f7061746873120232000a110a0b636170747572655f64697212021a000a1f0a1273796e"
    "635f696e74657276616c5f6d696e7312091100000000000008400a0a0a047461677312023200321372646b3a6275696c"
    "74696e3a6275696c74696e4a1872646b3a736572766963653a646174615f6d616e616765727a0472657631"
)


def test_the_seeds_configuration_becomes_what_viams_cloud_sends():
    golden = ConfigResponse.FromString(bytes.fromhex(GOLDEN)).config
    config, left_out = robot_config(PART, json.loads(SEED))
    assert left_out == []
    golden.components[0].attributes.SetInParent()  # there it is absent, here empty
    assert config.components == golden.components
    assert config.services == golden.services
    assert config.cloud.id == PART


def test_both_spellings_mean_the_same():
    long = json.loads(SEED)
    for entry in (*long["services"], *long["components"]):
        entry["api"] = (
            f"rdk:{'service' if entry['type'] == 'data_manager' else 'component'}:{entry['type']}"
        )
        del entry["type"]
        if "model" in entry:
            entry["model"] = f"rdk:builtin:{entry['model']}"
    long["components"][0]["service_configs"][0]["type"] = "rdk:service:data_manager"
    assert robot_config(PART, long)[0] == robot_config(PART, json.loads(SEED))[0]
    white = json.loads(json.dumps(json.loads(SEED), indent=8))
    assert (
        robot_config(PART, white)[0].revision == robot_config(PART, json.loads(SEED))[0].revision
    )


def test_an_entry_that_cannot_be_sent_is_left_out_and_named_and_the_others_are_sent():
    machine = {
        "components": [
            5,
            {"type": "sensor"},
            {"name": "a", "type": "sensor", "attributes": [1]},
            {"name": "b", "type": "sensor", "depends_on": "x"},
            {"name": 7, "type": "sensor"},
            {"name": "big", "type": "sensor", "attributes": {"n": 10**400}},
            {"name": "bad", "type": "sensor", "attributes": {"s": "\ud800"}},
            {
                "name": "good",
                "type": "sensor",
                "model": "acme:x:y",
                "attributes": {"a": [None, {"b": 1}]},
            },
        ],
        "services": "none",
        "debug": "yes",
        "modules": [],
        "remotes": [{"name": "r", "address": "x:80"}],
    }
    config, left_out = robot_config(PART, machine)
    assert [c.name for c in config.components] == ["good"]
    assert MessageToDict(config.components[0].attributes) == {"a": [None, {"b": 1.0}]}
    assert config.components[0].model == "acme:x:y"
    assert config.remotes[0].address == "x:80"
    for path in (
        *(f"$.components[{i}]: " for i in range(7)),
        "$.services: ",
        "$.debug: ",
        "$.modules: ",
    ):
        assert any(line.startswith(path) for line in left_out), (path, left_out)
    assert len(left_out) == 10


def test_a_device_gets_its_file_changes_the_last_good_one_and_a_reason(tmp_path, caplog):
    path = tmp_path / "machines" / f"{PART}.json"

    async def config(client):
        answer = await client.robot.Config(ConfigRequest(id=PART), metadata=client.metadata)
        return answer.config

    def change(text):
        path.write_text(text)
        os.utime(path, ns=(change.time, change.time))  # each change has a time of its own
        change.time += 10**9

    change.time = 10**18

    async def first():
        async with running(tmp_path) as (_, client):
            status, message = await refused(config(client))
            assert (status, f"machines/{PART}.json" in message) == ("NOT_FOUND", True)
            change('{"components": [\n  {"name" "x"}]}')
            status, message = await refused(config(client))
            assert (status, message.split(" ")[0]) == (
                "FAILED_PRECONDITION",
                f"machines/{PART}.json:2:11:",
            )
            change(SEED)
            good = await config(client)
            assert good.components[0].name == "tmp36"
            change(SEED.replace("tmp36", "tmp37"))
            better = await config(client)
            assert better.components[0].name == "tmp37"
            assert better.revision != good.revision
            for broken in ("", "[]", '{"a": NaN}', SEED[:-1], '{"a":' * 100000):
                change(broken)
                assert await config(client) == better
            assert f"machines/{PART}.json:1:1: " in caplog.text
            return better

    async def after_a_restart(better):
        async with running(tmp_path) as (_, client):
            assert await config(client) == better, "the last good one is remembered"
            path.write_bytes(b'{"a":\n "\xff"}')
            assert await config(client) == better
            said = f"machines/{PART}.json:2:3: byte 8 of the file is 0xFF, which is not UTF-8"
            assert said in caplog.text
            path.unlink()
            assert (await refused(config(client)))[0] == "NOT_FOUND"

    run(after_a_restart(run(first())))


def test_a_config_as_large_as_it_may_be_arrives(tmp_path):
    machine = {
        "components": [
            {
                "name": f"c{i}",
                "type": "sensor",
                "model": "fake",
                "attributes": {"text": "x" * 1000},
            }
            for i in range(2000)
        ]
    }

    async def main():
        async with running(tmp_path) as (_, client):
            (tmp_path / "machines" / f"{PART}.json").write_text(json.dumps(machine))
            answers = await asyncio.gather(
                *(
                    client.robot.Config(ConfigRequest(id=PART), metadata=client.metadata)
                    for _ in range(4)
                )
            )
            assert all(len(answer.config.components) == 2000 for answer in answers)

    run(main())


def test_answers_carry_the_date_and_needs_restart_says_no(tmp_path):
    dates = []

    async def main():
        async with running(tmp_path) as (_, client):
            for part, status in ((PART, "OK"), ("nobody", "PERMISSION_DENIED")):
                with contextlib.suppress(GRPCError):
                    method = client.robot.NeedsRestart
                    async with method.open(metadata=client.metadata) as stream:
                        await stream.send_message(NeedsRestartRequest(id=part), end=True)
                        answer = await stream.recv_message()
                        dates.append(stream.initial_metadata["date"])
                        await stream.recv_trailing_metadata()
                        assert (status, answer.must_restart) == ("OK", False)
                        assert answer.restart_check_interval.seconds >= 1

    run(main())
    assert all(date.endswith(" GMT") for date in dates)
    assert len(dates) == 2


def test_a_wish_to_restart_lasts_until_the_part_logs_in_again(tmp_path):
    async def main():
        async with running(tmp_path) as (_, client):

            async def wanted():
                ask = NeedsRestartRequest(id=PART)
                answer = await client.robot.NeedsRestart(ask, metadata=client.metadata)
                return answer.must_restart

            assert not await wanted()
            wish(tmp_path, PART).touch()
            assert await wanted() and await wanted()
            await refused(client.login(secret="wrong"))
            assert await wanted(), "only the part itself ends it"
            await client.login()
            assert not await wanted()

    run(main())


def test_a_part_gets_a_certificate_for_its_own_server(tmp_path):
    async def main():
        async with running(tmp_path) as (_, client):
            ask = CertificateRequest(id=PART)
            answer = await client.robot.Certificate(ask, metadata=client.metadata)
            again = await client.robot.Certificate(ask, metadata=client.metadata)
            assert answer == again
            return answer

    answer = run(main())
    certificate = x509.load_pem_x509_certificate(answer.tls_certificate.encode())
    key = serialization.load_pem_private_key(answer.tls_private_key.encode(), None)
    assert certificate.public_key() == key.public_key()
    certificate.verify_directly_issued_by(
        x509.load_pem_x509_certificate((tmp_path / "tls" / "ca.pem").read_bytes())
    )
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert f"{PART}.cistern.local" in names.get_values_for_type(x509.DNSName)


def test_no_private_key_goes_out_without_tls(tmp_path):
    async def main():
        async with running(tmp_path, tls=False) as (_, client):
            call = client.robot.Certificate(CertificateRequest(id=PART), metadata=client.metadata)
            assert (await refused(call))[0] == "FAILED_PRECONDITION"

    run(main())


def entry(message, seconds=1_700_000_000):
    log = LogEntry(host="esp32", level="info", logger_name="cistern", message=message)
    log.time.seconds = seconds
    log.caller.update({"File": "a.py", "Line": 7})
    log.fields.add().update({"k": float("inf")})
    return log


def test_device_logs_are_kept(tmp_path):
    async def main():
        async with running(tmp_path) as (_, client):
            send = client.robot.Log
            await send(
                LogRequest(id=PART, logs=[entry("one"), entry("zwei ü")]), metadata=client.metadata
            )
            await send(LogRequest(id=PART), metadata=client.metadata)
            many = LogRequest(id=PART, logs=[entry("x")] * 1001)
            assert (await refused(send(many, metadata=client.metadata)))[0] == "INVALID_ARGUMENT"
            never = LogRequest(id=PART, logs=[entry("ok"), entry("x", -5)])
            status, message = await refused(send(never, metadata=client.metadata))
            assert (status, "logs[1]" in message) == ("INVALID_ARGUMENT", True)

    run(main())
    assert select(
        tmp_path, "SELECT time, part, level, message, host, caller, fields FROM logs"
    ) == [
        (
            "2023-11-14T22:13:20.000000Z",
            PART,
            "info",
            text,
            "esp32",
            '{"File":"a.py","Line":7}',
            '[{"k":"Infinity"}]',
        )
        for text in ("one", "zwei ü")
    ]
