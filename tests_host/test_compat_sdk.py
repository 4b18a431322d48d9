"""The receiver, used by Viam's own Python SDK: what it uploads is stored, and it reads it back."""

import contextlib
import datetime
import uuid

import pytest
from grpclib.exceptions import GRPCError
from viam.app.viam_client import ViamClient
from viam.rpc.dial import DialOptions

from cistern_tools.query import connect
from cistern_tools.receiver.accounts import Accounts
from receiver_support import OTHER, PART, add_part, process, run

MOMENT = datetime.datetime(2024, 2, 29, 12, 0, 0, 250000, tzinfo=datetime.UTC)
MS = datetime.timedelta(milliseconds=1)
GPS = "rdk:component:movement_sensor"
BOARD = "rdk:component:board"
PAYLOADS = [
    {"coordinate": {"latitude": 52.5, "longitude": -13.25}, "altitude_m": 0},
    {"text": "ü", "yes": True, "no": False, "list": [1, "a", [], {}]},
    {"big": 2.0**53, "small": -1e-300, "empty": {}},
]
TIMES = [(MOMENT + i * 10 * MS, MOMENT + (i * 10 + 2) * MS) for i in range(len(PAYLOADS))]


def sdk(folder, script, *options, part=None, **dial):
    """Runs script(client) against a receiver; client: a ViamClient with an API key."""
    add_part(folder)
    with contextlib.closing(Accounts(folder)) as accounts:
        key_id, key = accounts.add_key(part)

    async def main(ready):
        how = DialOptions.with_api_key(key, key_id)
        how.insecure = dial.get("insecure", False)
        address = ready["url"].partition("://")[2]
        client = await ViamClient.create_from_dial_options(how, app_url=address)
        try:
            return await script(client.data_client)
        finally:
            client.close()

    # In a process of its own: the client blocks the loop while it dials.
    with process(folder, *options) as (_, ready):
        return run(main(ready))


async def upload(data, **more):
    """Upload PAYLOADS as a GPS does, or what is asked for; the answer's file id."""
    fields = {
        "part_id": PART,
        "component_type": GPS,
        "component_name": "gps",
        "method_name": "Position",
        "tags": ["sdk", "two"],
        "tabular_data": PAYLOADS,
        "data_request_times": TIMES,
        **more,
    }
    return await data.tabular_data_capture_upload(**fields)


def aware(moment):
    return moment.replace(tzinfo=datetime.UTC)


@pytest.mark.parametrize("options", [(), ("--plaintext",)], ids=["TLS", "clear text"])
def test_what_the_sdk_uploads_is_stored_and_read_back_by_it(tmp_path, options):
    async def script(data):
        assert await upload(data)
        points = await data.export_tabular_data(PART, "gps", GPS, "Position")
        return points, await data.get_latest_tabular_data(PART, "gps", GPS, "Position")

    points, latest = sdk(tmp_path, script, *options, insecure=bool(options))
    assert [point.payload for point in points] == PAYLOADS
    assert [aware(point.time_captured) for point in points] == [t for t, _ in TIMES]
    for point in points:
        assert (point.part_id, point.resource_name, point.method_name) == (PART, "gps", "Position")
        assert (point.resource_api, point.tags) == (GPS, ["sdk", "two"])
    captured, synced, payload = latest
    assert (aware(captured), payload) == (TIMES[-1][0], PAYLOADS[-1])
    assert abs(aware(synced) - datetime.datetime.now(datetime.UTC)) < datetime.timedelta(minutes=1)
    with contextlib.closing(connect(tmp_path)) as db:
        rows = db.execute("SELECT time, time_received, tags, component_type FROM readings")
        assert rows.fetchall()[0] == (
            "2024-02-29T12:00:00.250000Z",
            "2024-02-29T12:00:00.252000Z",
            '["sdk","two"]',
            GPS,
        )


def test_the_sdk_sends_the_same_twice_and_both_are_kept(tmp_path):
    """Nothing names its uploads, so a receiver cannot tell a retry from new readings."""

    async def script(data):
        first, second = await upload(data), await upload(data)
        return first, second, await data.export_tabular_data(PART, "gps", GPS, "Position")

    first, second, points = sdk(tmp_path, script)
    assert first != second and len(points) == 2 * len(PAYLOADS)


def test_an_interval_has_its_start_and_not_its_end(tmp_path):
    async def script(data):
        await upload(data)
        start, end = TIMES[1][0], TIMES[2][0]
        found = await data.export_tabular_data(PART, "gps", GPS, "Position", start, end)
        return [point.payload for point in found]

    assert sdk(tmp_path, script) == [PAYLOADS[1]]


def test_a_stream_that_is_not_there_has_no_latest_reading(tmp_path):
    async def script(data):
        await upload(data)
        return [
            await data.get_latest_tabular_data(PART, *which)
            for which in (("gps", GPS, "Readings"), ("x", GPS, "Position"), ("gps", BOARD, ""))
        ]

    assert sdk(tmp_path, script) == [None, None, None]


def test_two_readers_of_one_board_are_told_apart(tmp_path):
    from google.protobuf.any_pb2 import Any
    from google.protobuf.struct_pb2 import Value

    def reader(name):
        packed = Any()
        packed.Pack(Value(string_value=name))
        return {"reader_name": packed}

    async def script(data):
        analog = {"component_type": BOARD, "component_name": "esp", "method_name": "Analogs"}
        for n, name in enumerate(("A1", "A2")):
            await upload(
                data,
                **analog,
                method_parameters=reader(name),
                tabular_data=[{"value": n}],
                data_request_times=TIMES[:1],
            )
        of = PART, "esp", BOARD, "Analogs"
        one = await data.get_latest_tabular_data(*of, additional_params={"reader_name": "A1"})
        other = await data.get_latest_tabular_data(*of, additional_params={"reader_name": "A2"})
        both = await data.export_tabular_data(*of)
        return one[2], other[2], sorted(point.method_parameters["reader_name"] for point in both)

    assert sdk(tmp_path, script) == ({"value": 0}, {"value": 1}, ["A1", "A2"])


def test_a_key_for_one_part_neither_writes_nor_reads_another(tmp_path):
    add_part(tmp_path, OTHER)

    async def script(data):
        said = []
        for call in (
            upload(data, part_id=OTHER),
            data.get_latest_tabular_data(OTHER, "gps", GPS, "Position"),
            data.export_tabular_data(OTHER, "gps", GPS, "Position"),
        ):
            with pytest.raises(GRPCError) as refused:
                await call
            said.append(refused.value.status.name)
        assert await upload(data)
        return said

    assert sdk(tmp_path, script, part=PART) == ["PERMISSION_DENIED"] * 3


def test_what_the_receiver_does_not_have_says_so(tmp_path):
    async def script(data):
        said = []
        for call in (
            data.tabular_data_by_sql("organisation", "SELECT 1"),
            data.binary_data_capture_upload(
                b"data", PART, "rdk:component:camera", "cam", "ReadImage", ".jpg"
            ),
        ):
            with pytest.raises(GRPCError) as refused:
                await call
            said.append((refused.value.status.name, refused.value.message))
        return said

    for status, message in sdk(tmp_path, script):
        assert status == "UNIMPLEMENTED" and "receiver" in message


def test_a_wrong_key_is_refused_in_words(tmp_path):
    add_part(tmp_path)

    async def main(ready):
        how = DialOptions.with_api_key("wrong", str(uuid.uuid4()))
        address = ready["url"].partition("://")[2]
        with pytest.raises(GRPCError) as refused:
            await ViamClient.create_from_dial_options(how, app_url=address)
        return refused.value

    with process(tmp_path) as (_, ready):
        error = run(main(ready))
    assert error.status.name == "PERMISSION_DENIED" and "key" in error.message
