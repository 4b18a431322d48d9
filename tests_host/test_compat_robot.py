"""What a board asks of RobotService, answered by a server of viam-sdk's generated classes."""

import asyncio
import contextlib
import json
import time

import pytest
from google.protobuf.unknown_fields import UnknownFieldSet
from viam.gen.app.v1.robot_grpc import UnimplementedRobotServiceBase
from viam.gen.app.v1.robot_pb2 import (
    ComponentConfig,
    ConfigResponse,
    LogResponse,
    NeedsRestartResponse,
    ResourceLevelServiceConfig,
    RobotConfig,
    ServiceConfig,
)

from bench_support import PART, SECRET, Bench, machine, running
from net_support import Certificates
from test_compat_viam import Cloud, messages

WAIT_S = 60
API = "rdk:component:sensor"
DATA_MANAGER = "rdk:service:data_manager"
TOO_FAST = "too-fast"  # a component whose capture method is a mistake, which the board has to log


def sensor(name, hz, **attributes):
    """A ComponentConfig as Viam's cloud sends it."""
    made = ComponentConfig(
        name=name, namespace="rdk", type="sensor", model="rdk:builtin:fake", api=API
    )
    made.attributes.update(attributes)
    capture = ResourceLevelServiceConfig(type=DATA_MANAGER)
    method = {"method": "Readings", "capture_frequency_hz": hz, "additional_params": {}}
    capture.attributes.update({"capture_methods": [method]})
    made.service_configs.append(capture)
    return made


def robot_config(revision, *sensors):
    """A RobotConfig: these sensors and a data manager that names its revision in its tags."""
    service = ServiceConfig(
        name="dm", namespace="rdk", type="data_manager", model="rdk:builtin:builtin"
    )
    service.api = DATA_MANAGER
    service.attributes.update(
        {"sync_interval_mins": 0.005, "tags": [revision], "cloud_poll_secs": 0.5}
    )
    return RobotConfig(components=sensors, services=[service], revision=revision)


class Robot(UnimplementedRobotServiceBase):
    def __init__(self):
        self.config = robot_config("one", sensor("first", 20, counter=True), sensor(TOO_FAST, -1))
        self.configs, self.logs, self.restarts = [], [], []

    async def Config(self, stream):  # noqa: N802 - the service's own name
        self.configs.append(await stream.recv_message())
        await stream.send_message(ConfigResponse(config=self.config))

    async def Log(self, stream):  # noqa: N802 - the service's own name
        self.logs.append(await stream.recv_message())
        await stream.send_message(LogResponse())

    async def NeedsRestart(self, stream):  # noqa: N802 - the service's own name
        self.restarts.append(await stream.recv_message())
        await stream.send_message(NeedsRestartResponse(id=PART, must_restart=False))


def readings(cloud, name):
    """{tags: [n]} of what came from a sensor."""
    found = {}
    for request in cloud.sync.requests:
        if request.metadata.component_name == name:
            numbers = [int(d.struct["readings"]["n"]) for d in request.sensor_contents]
            found.setdefault(tuple(request.metadata.tags), []).extend(numbers)
    return found


@pytest.fixture(scope="module")
def cloud(tmp_path_factory):
    """A Cloud whose configuration changed while a board ran; when: seconds UTC."""
    folder = tmp_path_factory.mktemp("robot")
    certificates = Certificates(folder)

    async def main():
        robot = Robot()
        served = Cloud(*certificates.server(), robot)
        served.robot = robot
        bench = Bench(folder)
        bench.url = f"https://127.0.0.1:{await served.start()}"
        bench.ca = certificates.ca_file
        own = machine({"own": 10})
        own["services"][0]["attributes"]["cloud_poll_secs"] = 0.5
        bench.machine.write_text(json.dumps(own))
        before = time.time()
        with running(bench.board()) as board:

            async def until(condition):
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(WAIT_S):
                        while not condition():
                            await asyncio.sleep(0.05)

            await until(lambda: readings(served, "first") and served.robot.logs)
            both = sensor("first", 20, counter=True), sensor("second", 10, counter=True)
            served.robot.config = robot_config("two", *both)
            await until(lambda: readings(served, "second"))
            await until(lambda: ("two",) in readings(served, "first"))
            served.log = board.log()
        served.when = before, time.time()
        await served.stop()
        return served

    return asyncio.run(main())


def test_the_board_runs_what_the_cloud_says_and_what_it_says_next(cloud):
    assert readings(cloud, "second"), cloud.log
    first = readings(cloud, "first")
    assert set(first) == {("one",), ("two",)}, cloud.log


def test_nothing_is_lost_or_doubled_by_the_change(cloud):
    found = readings(cloud, "first")
    numbers = found[("one",)] + found[("two",)]
    assert numbers == list(range(len(numbers)))


def test_requests_name_the_part_and_have_no_unknown_field(cloud):
    robot = cloud.robot
    assert robot.configs and robot.logs and robot.restarts
    for request in [*robot.configs, *robot.logs, *robot.restarts]:
        assert request.id == PART
        for message in messages(request):
            assert len(UnknownFieldSet(message)) == 0, message


def test_log_lines_have_their_level_time_and_words_and_no_secret(cloud):
    start, end = cloud.when
    entries = [entry for request in cloud.robot.logs for entry in request.logs]
    for entry in entries:
        assert entry.level in ("debug", "info", "warning", "warn", "error")
        assert entry.logger_name and entry.message
        assert start - 2 < entry.time.ToMilliseconds() / 1000 < end
        assert SECRET not in str(entry)
    words = [entry.message for entry in entries if entry.level == "error"]
    assert any("capture_frequency_hz" in text for text in words), entries


def test_nothing_else_is_called(cloud):
    assert {name.rpartition("/")[2] for name, _, _ in cloud.headers} == {
        "Authenticate",
        "Config",
        "DataCaptureUpload",
        "Log",
        "NeedsRestart",
    }
