"""`cistern check`: what it prints, how it exits, and whether its forecast comes true."""

import asyncio
import json
import re
import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

from cistern import config
from cistern.app import App
from cistern.resources import catalog
from cistern_tools import paths
from cistern_tools.check import RESERVE, amount, check, duration
from cistern_tools.forecast import Forecast
from cistern_tools.judge import SHORT_RING_S, judge
from cistern_tools.virtual_board import RamFlash, VirtualPort

GREENHOUSE = paths.EXAMPLES / "greenhouse.json"
cli = typer.Typer()
cli.command()(check)


def run(*arguments):
    return CliRunner().invoke(cli, [str(a) for a in arguments], env={"COLUMNS": "200"})


def report(*arguments):
    result = run(*arguments, "--json")
    return result.exit_code, json.loads(result.stdout)


def machine(*components, **attributes):
    manager = {"name": "dm", "type": "data_manager", "attributes": attributes}
    return {"services": [manager], "components": list(components)}


def component(name, kind, model, *methods, **attributes):
    capture = {"type": "data_manager", "attributes": {"capture_methods": list(methods)}}
    return {
        "name": name,
        "type": kind,
        "model": model,
        "attributes": attributes,
        "service_configs": [capture],
    }


def readings(hz, **more):
    return {"method": "Readings", "capture_frequency_hz": hz, **more}


def board(hz, **more):
    method = {
        "method": "Analogs",
        "capture_frequency_hz": hz,
        "additional_params": {"reader_name": "a"},
        **more,
    }
    return component("esp32", "board", "esp32", method, analogs=[{"name": "a", "pin": "34"}])


@pytest.fixture
def written(tmp_path):
    def write(content):
        path = tmp_path / "machine.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return write


def test_the_example_has_no_problem_and_a_row_for_each_stream():
    code, said = report(GREENHOUSE)
    assert code == 0 and said["problems"] == []
    rates = {s["stream"]: s["frequency_hz"] for s in said["streams"]}
    assert rates == {
        "esp32/Analogs(reader_name=temp)": 100,
        "tmp36/Readings": 0.2,
        "my-wifi-sensor/Readings": 0.1,
        "counter/Readings": 2,
    }
    assert said["ring_bytes"] == 8000, "rings of slow streams take more than they can fill"
    text = run(GREENHOUSE).stdout
    for word in (*rates, "100 Hz", "a day", "Offline, its 1048576 bytes are full", "lifetime"):
        assert word in text, word


def test_an_error_is_printed_with_its_path_and_exits_1(written):
    path = written(machine(component("s", "sensor", "fake", readings(-1)), board(10)))
    result = run(path)
    assert result.exit_code == 1
    at = 'components[0] "s".service_configs[0].attributes.capture_methods[0].capture_frequency_hz'
    assert f"error   {at}: -1 is out of range: above 0" in result.stdout
    assert "esp32/Analogs" in result.stdout  # the rest has its forecast


def test_a_warning_alone_exits_0(written):
    result = run(written(dict(machine(board(10)), remotes=[{"name": "r"}])))
    assert result.exit_code == 0 and "warning remotes: known, not yet supported" in result.stdout


def test_what_only_shows_when_the_board_is_built_is_an_error_too(written):
    sensor = component("t", "sensor", "tmp36", readings(1), analog_reader="x")
    code, said = report(written(machine(sensor, board(10))))
    assert code == 1
    (problem,) = said["problems"]
    assert problem["path"] == "components[0]" and "'x'" in problem["message"]
    assert [s["stream"] for s in said["streams"]] == ["esp32/Analogs(reader_name=a)"]


def test_broken_json_is_told_with_file_line_and_column_and_exits_2(written):
    path = written('{\n  "components": [],\n}')
    result = run(path)
    assert result.exit_code == 2
    assert result.stderr == f"{path}:2:19: expected no comma before the closing }}\n"
    code, said = report(path)
    assert code == 2 and (said["line"], said["column"]) == (2, 19) and said["file"] == str(path)


def test_a_file_that_cannot_be_read_exits_2(tmp_path):
    result = run(tmp_path / "none.json")
    assert result.exit_code == 2 and "none.json: No such file" in result.stderr
    assert run(tmp_path).exit_code == 2


def test_a_flash_size_that_no_log_can_have_is_refused():
    for size in ("1000", "4K", "8M1", "-1"):
        assert run(GREENHOUSE, f"--flash-size={size}").exit_code == 2


def test_capture_that_is_switched_off_is_said_and_right(written):
    path = written(machine(board(10), capture_disabled=True))
    result = run(path)
    assert result.exit_code == 0 and "Nothing is captured." in result.stdout
    _, said = report(path)
    assert said["streams"] == [] and said["flash"]["lifetime_years"] is None


def without(key, entry):
    return {k: v for k, v in entry.items() if k != key}


MISSPELT = without("service_configs", board(10)) | {"service_config": board(10)["service_configs"]}
ALL_OFF = component("s", "sensor", "fake", readings(1, disabled=True))
CAMERA = component("eye", "camera", "webcam", readings(1))
REMOTE = {"name": "attic", "address": "attic:8080", "service_configs": CAMERA["service_configs"]}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (machine(), "no component has a collector"),
        ({}, "no component has a collector"),
        (machine(without("service_configs", board(10))), '"esp32"'),
        (machine(ALL_OFF), '"s"'),
        (machine(MISSPELT), '"esp32".service_config: unknown; did you mean "service_configs"?'),
        (machine(CAMERA), 'components[0] "eye".type: component camera: known, not yet supported'),
        (machine() | {"remotes": [REMOTE]}, 'the collectors of "attic" do not run'),
        ({"components": [board(10)]}, "no service of type data_manager"),
    ],
)
def test_a_machine_that_captures_nothing_is_an_error_that_names_why(written, content, words):
    result = run(written(content))
    assert result.exit_code == 1, result.stdout
    assert words in result.stdout and "Nothing is captured." in result.stdout


def test_what_captures_nothing_is_given_only_the_advice_that_applies(written):
    """A component with an error does not run, and one with service_configs needs none."""
    wrong = component("hot", "sensor", "tmp36", readings(1), analog_reader="x")
    (_, last) = report(written(machine(wrong)))[1]["problems"]
    assert last["message"] == "nothing is captured, because of what is said above"
    (_, last) = report(written(machine(without("service_configs", board(1)), wrong)))[1][
        "problems"
    ]
    assert "give a component service_configs" in last["message"]
    assert '(components that run: "esp32")' in last["message"]


@pytest.mark.parametrize("hz", [100, 500, 1000])
def test_a_ring_shorter_than_an_erase_is_a_warning_with_the_size_that_does(written, hz):
    code, said = report(written(machine(board(hz, cache_size_kb=1))))
    short = [s for s in said["streams"] if s["ring_seconds"] < SHORT_RING_S]
    assert code == 0 and bool(short) == (hz > 100) == bool(said["problems"])
    if short:
        (problem,) = said["problems"]
        assert problem["level"] == "warning" and problem["component"] == "esp32"
        kb = int(re.search(r"a cache_size_kb of (\d+) holds 0.5 s", problem["message"])[1])
        code, said = report(written(machine(board(hz, cache_size_kb=kb))))
        assert (code, said["problems"]) == (0, [])
        # And it is no more than that takes.
        assert report(written(machine(board(hz, cache_size_kb=kb - 1))))[1]["problems"]


@pytest.mark.parametrize("written_type", ["senser", "rdk:component:senser"])
def test_a_type_is_told_as_it_was_written(written, written_type):
    entry = component("s", written_type, "fake", readings(1))
    result = run(written(machine(entry, board(1))))
    assert f'unknown component type "{written_type}"; did you mean "sensor"?' in result.stdout


def test_a_thermometer_on_a_pin_with_a_part_in_the_start_is_told_by_its_key(written):
    path = written(machine(component("t", "sensor", "ds18b20", readings(0.1), pin=5)))
    (problem,) = report(path)[1]["problems"]
    assert problem["path"] == "components[0].attributes.pin" and "GPIO 5" in problem["message"]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"remotes": [REMOTE]}, 'the collectors of "attic" do not run'),
        ({"components": [board(10), CAMERA]}, "it is left out, and its collectors do not run"),
        ({"components": [board(10), MISSPELT | {"name": "b2"}]}, '"b2".service_config: unknown'),
    ],
)
def test_collectors_that_will_not_run_are_an_error_beside_those_that_do(written, more, words):
    result = run(written(machine(board(10)) | more))
    assert result.exit_code == 1 and words in result.stdout and "esp32/Analogs" in result.stdout


def test_a_selective_syncer_that_there_is_not_is_named_with_what_happens(written):
    path = written(machine(board(10), selective_syncer_name="esp33"))
    result = run(path)
    assert result.exit_code == 1
    at = "services[0].attributes.selective_syncer_name"
    words = 'nothing is sent but what is asked for: no component is named "esp33"'
    assert f"{at}: {words}" in result.stdout
    assert 'did you mean "esp32"?' in result.stdout
    code, said = report(written(machine(board(10), selective_syncer_name="esp32")))
    assert (code, said["problems"]) == (0, [])


@pytest.mark.parametrize("triplet", ["viam:x:ina219", "acme:x:ina219-v2", "rdk:builtin:ina29"])
def test_a_triplet_of_somebody_elses_module_finds_the_model_of_its_name(written, triplet):
    bus = [{"name": "bus", "data_pin": 21, "clock_pin": 22}]
    parts = (
        component("board", "board", "esp32", i2cs=bus),
        component("power", "power_sensor", triplet, readings(1), i2c_bus="bus"),
    )
    result = run(written(machine(*parts)))
    assert result.exit_code == 1 and 'did you mean "ina219"?' in result.stdout, result.stdout


def test_what_does_not_show_is_named_by_its_code_point_and_place(written):
    sensor = component("s", "sensor", "fa\u200bke", readings(1))
    sensor["at\u00a0tributes"] = {"counter": True}
    sensor["notes"] = "\ufeffhello"
    text = json.dumps(machine(sensor), ensure_ascii=False)
    result = run(written(text))
    assert result.exit_code == 1
    for words in (
        'components[0] "s".model: unknown model "fa<U+200B>ke"; did you mean "fake"?',
        'components[0] "s".model: character 3 is U+200B (ZERO WIDTH SPACE), which does not',
        'components[0] "s": character 3 of the key at<U+00A0>tributes is U+00A0 (NO-BREAK SPACE)',
        'components[0] "s".notes: character 1 is U+FEFF (ZERO WIDTH NO-BREAK SPACE)',
    ):
        assert words in result.stdout, (words, result.stdout)
    between = '{"components":\u200b []}'
    result = run(written(between))
    assert result.exit_code == 2 and "1:15: expected a value" in result.stderr
    assert "U+200B" in result.stderr


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "latin-1"])
def test_a_file_is_utf8_with_or_without_a_bom_or_refused_with_what_to_do(tmp_path, encoding):
    path = tmp_path / "machine.json"
    content = machine(board(10, tags=["n"]), component("x", "sensor", "fake"))
    content["components"][1]["notes"] = "Küche"
    path.write_bytes(json.dumps(content, ensure_ascii=False).encode(encoding))
    result = run(path)
    assert result.exit_code == (0 if encoding.startswith("utf-8") else 2), result.output
    if result.exit_code:
        assert str(path) + ":1:" in result.stderr and "save it as UTF-8" in result.stderr


def test_a_flash_lives_as_long_as_100000_erases_of_every_sector():
    for size, capacity in (("1M", 1 << 20), ("256K", 1 << 18)):
        flash = report(GREENHOUSE, "--flash-size", size)[1]["flash"]
        years = capacity * 100_000 / flash["bytes_per_day"] / 365.25
        assert flash["size"] == capacity and flash["lifetime_years"] == pytest.approx(years)
    result = run(GREENHOUSE, "--flash-size", "256K")
    assert "Projected flash lifetime: 1.4 years" in result.stdout
    assert "raise flush_interval_ms" in result.stdout


MACHINES = {
    "fast": machine(board(200, cache_size_kb=4)),
    "mixed": machine(
        board(50), component("c", "sensor", "fake", readings(2, cache_size_kb=2), counter=True)
    ),
    "kept in RAM for long": machine(board(5, cache_size_kb=20), flush_interval_ms=60000),
    "slow": machine(*(component(f"s{i}", "sensor", "fake", readings(0.5)) for i in range(3))),
}


@pytest.mark.parametrize("name", MACHINES)
def test_the_forecast_comes_true_on_a_board_that_fills_up(name):
    """A board in virtual time, offline, gives up its first readings when it was foreseen."""
    blocks = 32
    plan = config.plan(MACHINES[name], catalog)
    assert plan.problems == []
    foreseen = (blocks - RESERVE) * 4096 / Forecast(plan).bytes_per_s
    port = VirtualPort(blocks)
    app = App(port)
    app.apply(plan)
    port.engine = app.engine
    app.log.delete_every_nth = 0  # or it would be thinned before
    while not any(reason == "log_full" for _, reason in app.log.stats().lost):
        port.end_us = port.now_us + 1_000_000
        asyncio.run(app.engine.run())
    # It can be so exact: a sector is opened, and given up, as a whole.
    assert port.now_us / 1e6 == pytest.approx(foreseen, rel=1.1 / blocks)


@pytest.mark.parametrize("streams", [1, 10, 36, 40, 44, 90, 130])
def test_the_forecast_holds_for_any_number_of_streams(streams):
    """A board in virtual time fills some sectors; with many streams nearly every reading brings
    its stream's definition.
    """
    sectors = 25 if streams < 90 else 12
    hz = 1 if streams < 10 else 0.1
    parts = [component(f"s{i}", "sensor", "fake", readings(hz)) for i in range(streams)]
    plan = config.plan(machine(*parts), catalog)
    foreseen = Forecast(plan).bytes_per_s
    port = VirtualPort()
    app = App(port)
    app.apply(plan)
    port.engine = app.engine

    def begun(sectors):
        """The time at which so many sectors were begun."""
        while app.log.next < sectors:
            port.end_us = port.now_us + 1_000_000
            asyncio.run(app.engine.run())
        return port.now_us / 1e6

    first, last = begun(3), begun(3 + sectors)
    assert foreseen == pytest.approx(sectors * 4096 / (last - first), rel=0.06)


def test_forty_slow_sensors_write_43_mb_a_day(written):
    parts = [component(f"s{i}", "sensor", "fake", readings(0.1)) for i in range(40)]
    flash = report(written(machine(*parts)), "--heap", "400K")[1]["flash"]
    assert flash["bytes_per_day"] == pytest.approx(40 * 0.1 * 124 * 86400, rel=0.06)
    assert 1900 < flash["seconds_until_full_offline"] < 2200


@pytest.mark.skipif(
    paths.micropython() is None or paths.is_chosen(), reason="no MicroPython for this machine"
)
@pytest.mark.parametrize(("streams", "heap"), [(10, "147K"), (70, "147K"), (60, "120K")])
def test_streams_that_there_is_no_memory_for_are_foreseen(written, tmp_path, streams, heap):
    """check says how many will run, and the simulated board runs so many."""
    parts = [component(f"s{i}", "sensor", "fake", readings(2)) for i in range(streams)]
    path = written(machine(*parts))
    code, said = report(path, "--heap", heap)
    assert all(s["flash_bytes_per_day"] > 0 for s in said["streams"])
    sim = ("sim", path, "--offline", "--flash", tmp_path / "flash", "--for", "2", "--heap", heap)
    command = [sys.executable, "-m", "cistern_tools", *map(str, sim), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    rows = json.loads(done.stdout.splitlines()[-1])["streams"].values()
    running = sum(row["captured"] > 0 for row in rows)
    if streams == running:
        assert (code, said["problems"]) == (0, [])
        return
    (problem,) = said["problems"]
    assert code == 1
    words = re.match(
        r"there is no memory for (\d+) of (\d+) collectors in a heap of (\d+) bytes: .*; "
        r"the other (\d+) are captured",
        problem["message"],
    )
    refused, of, size, others = map(int, words.groups())
    assert (of, size, refused + others) == (streams, int(heap[:-1]) * 1024, streams)
    # Two starts differ by the names of their files.
    assert abs(others - running) <= 2 and running < streams


def test_the_ring_holds_as_many_readings_as_foreseen():
    plan = config.plan(MACHINES["mixed"], catalog)
    for stream, kb in zip(Forecast(plan).streams, (1, 2), strict=True):
        assert stream["ring_bytes"] == kb * 1000
        port = VirtualPort()
        app = App(port)
        app.apply(plan)
        (collector,) = (c for c in app.engine.collectors if c.name == stream["stream"])
        while not collector.ring.overwritten:
            port.now_us += 1000
            collector.serve()
        assert abs(collector.ring.readings - stream["ring_readings"]) <= 2


def test_a_stream_slower_than_the_simulation_is_measured_too():
    slow = component("s", "sensor", "fake", readings(0.0001), counter=True)
    (stream,) = Forecast(config.plan(machine(slow), catalog)).streams
    assert 10 < stream["flash_bytes_per_reading"] < 60
    assert stream["flash_bytes_per_day"] == pytest.approx(
        8.64 * stream["flash_bytes_per_reading"], rel=0.1
    )


def test_own_models_are_known_where_their_folder_is_given():
    path = paths.EXAMPLES / "own-models.json"
    code, said = report(path)
    assert code == 1 and 'unknown model "' in said["problems"][0]["message"]
    for _ in range(2):
        code, said = report(path, "--models", paths.EXAMPLES / "models")
        assert code == 0
        assert [s["stream"] for s in said["streams"]] == ["bed/Readings"]
        (problem,) = said["problems"]
        assert problem["level"] == "warning" and "simulated board" in problem["message"]
    result = run(path, "--models", paths.EXAMPLES / "nowhere")
    assert result.exit_code == 2 and "nowhere: No such file" in result.stderr


@pytest.mark.parametrize("example", sorted(paths.EXAMPLES.glob("*.json")), ids=lambda p: p.stem)
def test_every_example_passes_check_and_image_build_alike(example):
    models = paths.EXAMPLES / "models" if example.stem == "own-models" else None
    judged = judge(example.read_bytes(), example.name, models=models)
    assert judged.errors == []


@pytest.mark.skipif(
    paths.micropython() is None or paths.is_chosen(), reason="no MicroPython for this machine"
)
def test_a_machine_that_leaves_tls_no_room_is_an_error_that_says_what_fits(written):
    """As measured on stock firmware: "Memory of a plain ESP32" in docs/DESIGN.md."""
    assert report(paths.EXAMPLES / "greenhouse.json", "--https")[1]["problems"] == []
    weather = json.loads((paths.EXAMPLES / "weather.json").read_text())
    assert report(paths.EXAMPLES / "weather.json")[0] == 0
    code, said = report(paths.EXAMPLES / "weather.json", "--https")
    (problem,) = said["problems"]
    words = re.search(r"room for the first (\d+) of 9 components", problem["message"])
    fits = int(words[1])
    assert code == 1 and 2 <= fits < 9
    assert all(repr(c["name"]) in problem["message"] for c in weather["components"][fits:])
    for n, problems in ((fits, 0), (fits + 1, 1)):
        some = {**weather, "components": weather["components"][:n]}
        assert len(report(written(some), "--https")[1]["problems"]) == problems, n
    # A board with more heap has room.
    assert report(paths.EXAMPLES / "weather.json", "--https", "--heap", "2M")[0] == 0


def test_what_is_wrong_with_an_own_model_is_said(tmp_path, written):
    models = tmp_path / "models"
    models.mkdir()
    (models / "broken_by_purpose.py").write_text("import nothing_of_that_name\n")
    code, said = report(written(machine(board(10))), "--models", models)
    assert code == 1
    assert said["problems"][0]["path"] == f"{models}/broken_by_purpose.py:1"


def test_what_a_flash_cannot_take_is_an_error(written):
    def fakes(n, hz):
        return machine(*(component(f"s{i}", "sensor", "fake", readings(hz)) for i in range(n)))

    code, said = report(written(fakes(5, 2000)), "--heap", "4M")
    (problem,) = [p for p in said["problems"] if "keep the flash busy" in p["message"]]
    assert code == 1 and problem["level"] == "error" and "Readings takes" in problem["message"]
    code, said = report(written(fakes(2, 100)), "--heap", "4M")
    assert not [p for p in said["problems"] if "flash busy" in p["message"]]


def test_rings_that_do_not_fit_the_heap_are_errors(written):
    path = written(
        machine(board(100, cache_size_kb=60), component("s", "sensor", "fake", readings(1)))
    )
    code, said = report(path)
    (problem,) = said["problems"]
    assert code == 1 and problem["path"].startswith("components[0].service_configs[0]")
    assert "rings take 63000 bytes" in problem["message"]
    assert [s["stream"] for s in said["streams"]] == ["s/Readings"]
    assert report(path, "--heap", "4M")[0] == 0


def test_sensors_that_are_waited_for_and_those_with_blocks_have_a_forecast(written):
    bus = [{"name": "bus", "data_pin": 21, "clock_pin": 22}]
    accelerations = {"method": "LinearAcceleration", "capture_frequency_hz": 500}
    accelerations["cache_size_kb"] = 8
    parts = (
        component("board", "board", "esp32", i2cs=bus),
        component("imu", "movement_sensor", "mpu6050", accelerations, i2c_bus="bus"),
        component("ds", "sensor", "ds18b20", readings(0.1), pin=4),
    )
    code, said = report(written(machine(*parts)))
    assert (code, said["problems"]) == (0, [])
    ds, imu = said["streams"]
    # 12 bytes of values, and a few of time and of what parcels and sectors have besides.
    assert 12 < imu["flash_bytes_per_reading"] < 16 and imu["ring_readings"] > 40
    assert ds["ring_readings"] > 30


@pytest.mark.parametrize("hz", [5, 11, 20, 50, 99, 100, 500])
def test_what_a_device_says_while_it_starts_is_no_error(written, hz):
    bus = {"name": "bus", "data_pin": 21, "clock_pin": 22}
    method = {"method": "AngularVelocity", "capture_frequency_hz": hz, "cache_size_kb": 8}
    path = written(
        machine(
            component("esp", "board", "esp32", i2cs=[bus]),
            component("gyro", "movement_sensor", "gyro-mpu6050", method, i2c_bus="bus"),
            component("power", "power_sensor", "ina219", readings(50), i2c_bus="bus"),
            component("air", "sensor", "bme280", readings(10), i2c_bus="bus"),
        )
    )
    code, found = report(path)
    assert (code, found["problems"]) == (0, []) and len(found["streams"]) == 3


def test_amounts_and_times_for_people():
    assert [amount(n) for n in (999, 1000, 2_500_000, 3e9)] == [
        "999 B",
        "1.0 KB",
        "2.5 MB",
        "3.0 GB",
    ]
    assert [duration(s) for s in (4.44, 61, 7260, 86400, 200000, 400 * 86400)] == [
        "4.4 s",
        "1 min 1 s",
        "2 h 1 min",
        "1 day 0 h",
        "2 days 7 h",
        "1 year 34 days",
    ]


def test_the_flash_in_memory_is_nor_flash():
    flash = RamFlash(4)
    flash.writeblocks(1, b"\x0f\xf0", 5)
    flash.writeblocks(1, b"\xf5", 5)
    got = bytearray(3)
    flash.readblocks(1, got, 5)
    assert got == b"\x05\xf0\xff" and flash.ioctl(4, 0) == 4 and flash.ioctl(5, 0) == 4096
    flash.ioctl(6, 1)
    flash.readblocks(1, got, 5)
    assert got == b"\xff\xff\xff"
