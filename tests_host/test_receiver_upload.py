"""Uploads from end to end: verified TLS, stored once each, on the disk before the answer."""

import asyncio
import contextlib
import datetime
import resource
import signal
import sqlite3
import threading
import time

import pytest
from google.protobuf.any_pb2 import Any
from google.protobuf.struct_pb2 import Value
from grpclib.exceptions import GRPCError
from viam.app.viam_client import ViamClient
from viam.gen.app.datasync.v1.data_sync_pb2 import (
    DATA_TYPE_BINARY_SENSOR,
    DataCaptureUploadRequest,
    FileUploadRequest,
    SensorData,
    StreamingDataCaptureUploadRequest,
)
from viam.rpc.dial import DialOptions

from cistern_tools.receiver import parcels, schema
from cistern_tools.receiver.accounts import API_KEY, Accounts
from cistern_tools.receiver.server import serve
from cistern_tools.receiver.store import Reading, Store, Upload, database_path
from receiver_support import (
    NS,
    OTHER,
    PART,
    SECRET,
    T0,
    Client,
    add_part,
    endpoint,
    process,
    reading,
    refused,
    run,
    running,
    select,
    upload,
)

LOG = "0123456789abcdef"


def numbers(data, where="1"):
    """The n of the stored readings, sorted."""
    n = "json_extract(payload, '$.readings.n')"
    return [n for (n,) in select(data, f"SELECT {n} FROM readings WHERE {where} ORDER BY {n}")]


@pytest.mark.parametrize("alpn", [True, False])
def test_an_upload_is_readable_with_exact_times_and_its_stream(tmp_path, alpn):
    async def main():
        async with running(tmp_path, alpn=alpn) as (receiver, client):
            assert receiver.url == f"https://127.0.0.1:{receiver.port}"
            parameter = Any()
            parameter.Pack(Value(string_value="A1"))
            answer = await client.upload(
                upload(
                    [reading(7, T0 + 123456789, x=1.5)],
                    f"cistern1:{LOG}:3.2*1",
                    tags=["t1", "t2"],
                    method_parameters={"reader_name": parameter},
                    file_extension=".dat",
                )
            )
            assert answer.file_id
            with contextlib.closing(Accounts(tmp_path)) as accounts:
                assert accounts.knows_part(PART)

    run(main())
    columns = (
        "time, time_requested, time_received, time_ns, time_received_ns, part, component_type, "
        "component, method, params, tags, payload, parcel"
    )
    assert select(tmp_path, f"SELECT {columns} FROM readings") == [
        (
            "2023-11-14T22:13:20.123456Z",
            "2023-11-14T22:13:20.123456Z",
            "2023-11-14T22:13:20.123458Z",
            T0 + 123456789,
            T0 + 123458289,
            PART,
            "rdk:component:sensor",
            "s1",
            "Readings",
            '{"reader_name":"A1"}',
            '["t1","t2"]',
            '{"readings":{"n":7,"x":1.5}}',
            f"{LOG}:3.2",
        )
    ]


def test_parcels_are_stored_once_each_whatever_upload_they_come_in(tmp_path):
    async def main():
        add_part(tmp_path, OTHER)
        async with running(tmp_path) as (receiver, client):
            a, b, c = ([reading(n) for n in numbers] for numbers in ((0, 1), (2, 3, 4), (5,)))
            await client.upload(upload(a + b, f"cistern1:{LOG}:1.0*2,1.1*3"))
            await client.upload(upload(b, f"cistern1:{LOG}:1.1*3"))
            await client.upload(upload(b + c, f"cistern1:{LOG}:1.1*3,2.0*1"))
            await client.upload(upload(c + a, f"cistern1:{LOG.upper()}:2.0*1,1.0*2"))
            await client.upload(upload([reading(9)], "cistern1:fedcba9876543210:1.0*1"))

            second = Client(receiver, tmp_path / "tls" / "ca.pem")
            await second.login(OTHER)
            await second.upload(upload(a, f"cistern1:{LOG}:1.0*2", part=OTHER))
            second.channel.close()

    run(main())
    assert numbers(tmp_path, f"part = '{PART}'") == [0, 1, 2, 3, 4, 5, 9]
    assert numbers(tmp_path, f"part = '{OTHER}'") == [0, 1]
    assert select(tmp_path, "SELECT stored, repeated FROM uploads ORDER BY id") == [
        (5, 0),
        (0, 3),
        (1, 3),
        (0, 3),
        (1, 0),
        (2, 0),
    ]
    assert select(tmp_path, "SELECT sum(conflicts) FROM streams") == [(0,)]


def test_the_same_upload_many_times_at_once_is_stored_once(tmp_path):
    async def main():
        async with running(tmp_path) as (receiver, client):
            clients = [client] + [Client(receiver, tmp_path / "tls" / "ca.pem") for _ in range(4)]
            for other in clients[1:]:
                await other.login()
            requests = [
                upload([reading(n) for n in range(20)], f"cistern1:{LOG}:1.0*12,1.1*8")
                for _ in range(8)
            ]
            answers = await asyncio.gather(*(c.upload(r) for c in clients for r in requests))
            assert all(answer.file_id for answer in answers)
            for other in clients[1:]:
                other.channel.close()

    run(main())
    assert numbers(tmp_path) == list(range(20))


def test_another_content_under_a_parcels_name_is_not_stored_but_counted_and_said(tmp_path, caplog):
    async def main():
        async with running(tmp_path) as (_, client):
            await client.upload(upload([reading(1)], f"cistern1:{LOG}:1.0*1"))
            await client.upload(upload([reading(2)], f"cistern1:{LOG}:1.0*1"))

    run(main())
    assert numbers(tmp_path) == [1]
    assert select(tmp_path, "SELECT conflicts FROM streams") == [(1,)]
    assert f"{LOG}:1.0 came with other readings" in caplog.text


def test_uploads_without_parcel_names_are_stored_as_they_are(tmp_path):
    async def main():
        async with running(tmp_path) as (_, client):
            for name in ("", "", "capture/2023.capture"):
                await client.upload(upload([reading(1)], name, dataset_ids=["d1"]))

    run(main())
    assert numbers(tmp_path) == [1, 1, 1]
    assert select(tmp_path, "SELECT file_name, extra FROM uploads WHERE id = 3") == [
        ("capture/2023.capture", '{"dataset_ids": ["d1"]}')
    ]


def test_the_golden_requests_of_both_implementations_are_stored(tmp_path):
    """The bytes that micro-rdk and rdk send, from their own encoders."""
    micro = (
        "0a340a09706172742d31323334121472646b3a636f6d706f6e656e743a73656e736f721a05746d7033362a08"
        "52656164696e6773300212480a1a0a0b0880e2cfaa0610959aef3a120b0880e2cfaa061095dcc66a122a0a28"
        "0a0872656164696e6773121c2a1a0a180a0b66616b655f73656e736f72120911f6285c8fc2354540"
    )
    rdk = (
        "0a7d0a09706172742d31323334121372646b3a636f6d706f6e656e743a626f6172641a086d792d6573703332"
        "2a07416e616c6f6773300242400a0b7265616465725f6e616d6512310a29747970652e676f6f676c65617069"
        "732e636f6d2f676f6f676c652e70726f746f6275662e56616c756512041a0241314a042e64617412320a1a0a"
        "0b0880e2cfaa0610959aef3a120b0880e2cfaa061095dcc66a12140a120a0576616c75651209110000000000"
        "489340"
    )

    async def main():
        add_part(tmp_path, "part-1234")
        async with running(tmp_path, login=False) as (_, client):
            await client.login("part-1234")
            for text in (micro, rdk):
                await client.upload(DataCaptureUploadRequest.FromString(bytes.fromhex(text)))

    run(main())
    assert select(
        tmp_path,
        "SELECT component, method, params, payload, time_ns FROM readings ORDER BY upload",
    ) == [
        ("tmp36", "Readings", "{}", '{"readings":{"fake_sensor":42.42}}', 1700000000123456789),
        ("my-esp32", "Analogs", '{"reader_name":"A1"}', '{"value":1234}', 1700000000123456789),
    ]


def without_payload():
    bare = SensorData()
    bare.metadata.time_requested.FromNanoseconds(T0)
    return bare


def with_time(seconds, nanos=0):
    data = reading(1)
    data.metadata.time_requested.seconds = seconds
    data.metadata.time_requested.nanos = nanos
    return data


BAD = {
    "too few readings": (
        upload([reading(1)], f"cistern1:{LOG}:1.0*2"),
        "INVALID_ARGUMENT",
        "lists 2 readings",
    ),
    "too many readings": (
        upload([reading(1)] * 3, f"cistern1:{LOG}:1.0*2"),
        "INVALID_ARGUMENT",
        "has 3",
    ),
    "no parcel": (
        upload([reading(1)], f"cistern1:{LOG}:"),
        "INVALID_ARGUMENT",
        "file_name must be",
    ),
    "short log id": (
        upload([reading(1)], "cistern1:0123:1.0*1"),
        "INVALID_ARGUMENT",
        "16 hex digits",
    ),
    "twice": (
        upload([reading(1)] * 2, f"cistern1:{LOG}:1.0*1,1.0*1"),
        "INVALID_ARGUMENT",
        "twice",
    ),
    "sector": (
        upload([reading(1)], f"cistern1:{LOG}:4294967296.0*1"),
        "INVALID_ARGUMENT",
        "above",
    ),
    "newer": (
        upload([reading(1)], f"cistern2:{LOG}:1.0*1"),
        "UNIMPLEMENTED",
        "upgrade the receiver",
    ),
    "no readings": (upload([]), "INVALID_ARGUMENT", "empty"),
    "no payload": (
        upload([reading(1), without_payload()]),
        "INVALID_ARGUMENT",
        "sensor_contents[1]",
    ),
    "nanos": (upload([with_time(5, 10**9)]), "INVALID_ARGUMENT", "nanos 1000000000"),
    "year 1": (upload([with_time(-62135596800)]), "INVALID_ARGUMENT", "impossible"),
    "year 9999": (upload([with_time(253402300799)]), "INVALID_ARGUMENT", "impossible"),
    "binary": (upload([SensorData(binary=b"jpeg")]), "UNIMPLEMENTED", "binary"),
    "type": (
        upload([reading(1)], type=DATA_TYPE_BINARY_SENSOR),
        "UNIMPLEMENTED",
        "DATA_TYPE_BINARY_SENSOR",
    ),
    "no part": (upload([reading(1)], part=""), "INVALID_ARGUMENT", "part_id is missing"),
    "no component": (
        upload([reading(1)], component=""),
        "INVALID_ARGUMENT",
        "component_name is missing",
    ),
    "long name": (
        upload([reading(1)], component="x" * 2000),
        "INVALID_ARGUMENT",
        "longer than 1024",
    ),
    "tags": (upload([reading(1)], tags=["t"] * 300), "INVALID_ARGUMENT", "at most 256"),
    "other part": (upload([reading(1)], part=OTHER), "PERMISSION_DENIED", "own id and secret"),
    "params": (
        upload(
            [reading(1)],
            method_parameters={
                "a": Any(type_url="type.googleapis.com/google.protobuf.Value", value=b"\xff\xff")
            },
        ),
        "INVALID_ARGUMENT",
        "method_parameters",
    ),
}


def test_what_cannot_be_stored_is_refused_with_a_reason_and_leaves_nothing(tmp_path):
    async def main():
        add_part(tmp_path, OTHER)
        async with running(tmp_path) as (_, client):
            for name, (request, status, words) in BAD.items():
                found, message = await refused(client.upload(request))
                assert (found, words in message) == (status, True), (name, found, message)
            for call, request in (
                (client.sync.FileUpload, FileUploadRequest()),
                (client.sync.StreamingDataCaptureUpload, StreamingDataCaptureUploadRequest()),
            ):
                found, message = await refused(call([request], metadata=client.metadata))
                assert (found, "does not store" in message) == ("UNIMPLEMENTED", True)
            await client.upload(upload([reading(1)]))

    run(main())
    assert numbers(tmp_path) == [1]
    assert select(tmp_path, "SELECT count(*) FROM uploads") == [(1,)]


def test_missing_times_are_shown_as_missing(tmp_path):
    requests = [reading(n) for n in range(4)]
    requests[1].metadata.ClearField("time_received")
    requests[2].metadata.ClearField("time_requested")
    requests[3].ClearField("metadata")

    async def main():
        async with running(tmp_path) as (_, client):
            await client.upload(upload(requests))

    before = time.time_ns()
    run(main())
    rows = select(
        tmp_path,
        "SELECT time_ns, time_requested IS NULL, time_received_ns FROM readings ORDER BY payload",
    )
    step = NS // 100
    assert rows[:3] == [
        (T0, 0, T0 + 1500),
        (T0 + step, 0, None),
        (T0 + 2 * step + 1500, 1, T0 + 2 * step + 1500),
    ]
    assert before < rows[3][0] < time.time_ns()
    assert rows[3][1:] == (1, None)


def test_viams_own_client_uploads_with_an_api_key(tmp_path):
    add_part(tmp_path)
    with contextlib.closing(Accounts(tmp_path)) as accounts:
        key_id, key = accounts.add_key()
    moment = datetime.datetime(2024, 2, 29, 12, 0, 0, 250000, tzinfo=datetime.UTC)

    async def main(ready):
        client = await ViamClient.create_from_dial_options(
            DialOptions.with_api_key(key, key_id), app_url=ready["url"].partition("://")[2]
        )
        file_id = await client.data_client.tabular_data_capture_upload(
            part_id=PART,
            component_type="rdk:component:movement_sensor",
            component_name="gps",
            method_name="Position",
            tags=["sdk"],
            tabular_data=[{"readings": {"a": 1, "b": [True, None]}}],
            data_request_times=[(moment, moment + datetime.timedelta(milliseconds=5))],
        )
        client.close()
        return file_id

    with process(tmp_path) as (_, ready):  # its own process: the client blocks the loop to dial
        assert run(main(ready))
    assert select(
        tmp_path, "SELECT time, time_received, component, payload, tags FROM readings"
    ) == [
        (
            "2024-02-29T12:00:00.250000Z",
            "2024-02-29T12:00:00.255000Z",
            "gps",
            '{"readings":{"a":1,"b":[true,null]}}',
            '["sdk"]',
        )
    ]


def test_an_api_key_may_be_for_one_part_only_and_not_for_unknown_parts(tmp_path):
    async def main():
        add_part(tmp_path, OTHER)
        async with running(tmp_path) as (receiver, _):
            with contextlib.closing(Accounts(tmp_path)) as accounts:
                every, one = accounts.add_key(), accounts.add_key(PART)
            client = Client(receiver, tmp_path / "tls" / "ca.pem")
            await client.login(*one, kind=API_KEY)
            await client.upload(upload([reading(1)]))
            assert (await refused(client.upload(upload([reading(2)], part=OTHER))))[
                0
            ] == "PERMISSION_DENIED"
            await client.login(*every, kind=API_KEY)
            await client.upload(upload([reading(3)], part=OTHER))
            status, message = await refused(client.upload(upload([reading(4)], part="part-3")))
            assert (status, "cistern part add" in message) == ("NOT_FOUND", True)
            client.channel.close()

    run(main())
    assert numbers(tmp_path) == [1, 3]


def test_what_was_answered_survives_sigkill_and_the_token_stays_valid(tmp_path):
    add_part(tmp_path)
    metadata = {}

    async def main(ready, start):
        client = Client(endpoint(ready), ready["ca"])
        client.metadata = metadata or client.metadata
        if not metadata:
            await client.login()
            metadata.update(client.metadata)
        for n in range(start, start + 5):
            await client.upload(upload([reading(n)], f"cistern1:{LOG}:{n}.0*1"))
        client.channel.close()

    for start in (0, 5, 10):
        with process(tmp_path) as (cloud, ready):
            run(main(ready, start))
            cloud.send_signal(signal.SIGKILL)
            cloud.wait()
        assert numbers(tmp_path) == list(range(start + 5))


def test_sigterm_and_sigint_end_a_receiver_cleanly(tmp_path):
    add_part(tmp_path)

    async def main(ready, n, cloud, number):
        client = Client(endpoint(ready), ready["ca"])
        await client.login()
        await client.upload(upload([reading(n)]))
        cloud.send_signal(number)  # with the connection open
        await asyncio.to_thread(cloud.wait, 20)
        client.channel.close()

    for n, number in enumerate((signal.SIGTERM, signal.SIGINT)):
        with process(tmp_path) as (cloud, ready):
            run(main(ready, n, cloud, number))
            assert cloud.returncode == 0
            assert "Traceback" not in cloud.logged()
        assert not (tmp_path / "readings.db-wal").exists(), "a clean stop leaves no WAL"
    assert numbers(tmp_path) == [0, 1]


def test_requests_that_are_running_when_a_receiver_stops_are_answered(tmp_path, monkeypatch):
    begun = threading.Event()
    add = Store.add_upload

    def slowly(store, new):
        begun.set()
        time.sleep(0.5)
        return add(store, new)

    monkeypatch.setattr(Store, "add_upload", slowly)

    async def main():
        add_part(tmp_path)
        async with serve(tmp_path) as receiver:
            client = Client(receiver)
            await client.login()
            going_on = asyncio.create_task(client.upload(upload([reading(1)])))
            await asyncio.to_thread(begun.wait, 20)
        assert (await going_on).file_id
        client.channel.close()

    run(main())
    assert numbers(tmp_path) == [1]


def test_a_full_disk_is_said_and_what_was_answered_is_kept(tmp_path):
    add_part(tmp_path)
    answered = []

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, 600_000))

    async def main(ready):
        client = Client(endpoint(ready), ready["ca"])
        await client.login()
        for n in range(200):
            request = upload([reading(n, text="x" * 10_000)], f"cistern1:{LOG}:{n}.0*1")
            try:
                await client.upload(request)
            except GRPCError as e:
                assert e.status.name in ("UNAVAILABLE", "RESOURCE_EXHAUSTED")
                assert "nothing was stored" in e.message
                break
            answered.append(n)
        else:
            raise AssertionError("the limit was never met")
        await client.login()  # and it goes on
        client.channel.close()

    with process(tmp_path, preexec_fn=limit) as (_, ready):
        run(main(ready))
    assert len(answered) > 5
    with process(tmp_path) as (cloud, _):  # reads what the limited one left
        cloud.terminate()
        cloud.wait()
    assert numbers(tmp_path) == answered


def test_an_upload_that_fails_half_way_leaves_nothing_and_hinders_nothing(tmp_path):
    def new(*missing):
        places = [parcels.Parcel(1, i, 1) for i in range(len(missing))]
        listed = parcels.Parcels(b"12345678", places)
        readings = [Reading(T0, 0, value, "{}") for value in missing]
        return Upload(
            PART, PART, "t", "s1", "Readings", "{}", "[]", 9, None, None, listed, readings
        )

    with contextlib.closing(Store(database_path(tmp_path))) as store:
        with pytest.raises(sqlite3.IntegrityError):
            store.add_upload(new(0, None))
        for table in ("stream", "tagset", "flash_log", "upload", "batch", "reading"):
            assert select(tmp_path, f"SELECT count(*) FROM {table}") == [(0,)], table
        assert store.add_upload(new(0, 0)).stored == 2
    assert select(tmp_path, "SELECT count(*) FROM readings") == [(2,)]


def test_every_commit_is_synced_to_the_disk(tmp_path):
    """SIGKILL cannot show a missing fsync; SQLite's setting for it can be read."""
    with contextlib.closing(Store(database_path(tmp_path))) as store:
        settings = [
            store._db.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("journal_mode", "synchronous")
        ]
    assert settings == ["wal", 2], "2 is FULL: the WAL is synced at every commit"


def test_a_second_receiver_on_the_same_folder_is_refused(tmp_path):
    with (
        process(tmp_path) as (_, _),
        pytest.raises(AssertionError, match="another receiver is running"),
        process(tmp_path),
    ):
        pass


def test_a_database_of_a_newer_version_or_of_others_is_refused_and_untouched(tmp_path):
    run(_start_and_stop(tmp_path))
    with contextlib.closing(sqlite3.connect(tmp_path / "readings.db")) as db:
        db.execute(f"PRAGMA user_version = {schema.VERSION + 1}")
    with pytest.raises(AssertionError, match="upgrade cistern"), process(tmp_path):
        pass
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    with contextlib.closing(sqlite3.connect(foreign / "readings.db")) as db:
        db.execute("CREATE TABLE mine (a)")
    with pytest.raises(AssertionError, match="not a receiver's database"), process(foreign):
        pass
    assert select(foreign, "SELECT name FROM sqlite_schema") == [("mine",)]
    (foreign / "readings.db").write_bytes(b"no database at all" * 100)
    with (
        pytest.raises(AssertionError, match=r"restore it from a backup|cannot be used"),
        process(foreign),
    ):
        pass


async def _start_and_stop(data):
    async with running(data, login=False):
        pass


def test_plaintext_works_and_is_said_aloud(tmp_path):
    add_part(tmp_path)

    async def main(ready):
        client = Client(endpoint(ready))
        await client.login(secret=SECRET)
        await client.upload(upload([reading(1)]))
        client.channel.close()

    with process(tmp_path, "--plaintext") as (cloud, ready):
        assert ready["url"].startswith("http://")
        assert ready["ca"] is None
        run(main(ready))
        cloud.terminate()
        cloud.wait()
        assert "no TLS" in cloud.logged()
    assert numbers(tmp_path) == [1]
