"""Components and models: the catalog, pins, and what is read without a bus."""

from cistern.resources import catalog
from devices import Bench, error_of, near, payload, run

# A configuration of each model, and for each method the shape of its readings as Viam has it.
XYZ = {"x": float, "y": float, "z": float}
POSITION = {"coordinate": {"latitude": float, "longitude": float}, "altitude_m": float}
ORIENTATION = {"orientation": {"o_x": float, "o_y": float, "o_z": float, "theta": float}}
VELOCITY, ACCELERATION = {"linear_velocity": XYZ}, {"linear_acceleration": XYZ}
ROTATION, HEADING = {"angular_velocity": XYZ}, {"value": float}
POWER = {
    "Voltage": {"volts": float, "is_ac": bool},
    "Current": {"amperes": float, "is_ac": bool},
    "Power": {"watts": float},
    "Readings": {"readings": {"volts": float, "amps": float, "watts": float, "is_ac": bool}},
}
BOARD = {"Analogs": {"value": int}, "Gpios": {"high": bool}}
IS_POWERED = {"is_on": bool, "power_pct": float}
ANALOGS = [{"name": "a", "pin": "34"}]
BME280 = {"celsius": float, "pressure_hpa": float, "humidity_pct": float}
DHT = {"celsius": float, "humidity_pct": float}


def readings(**shape):
    return {"Readings": {"readings": shape}}


ALL = [
    ("sensor", "fake", {}, readings(temperature=float, humidity=float)),
    ("sensor", "fake", {"counter": True}, readings(n=int, boot=int)),
    ("sensor", "analog", {"analog_reader": "a"}, readings(volts=float)),
    ("sensor", "tmp36", {"analog_reader": "a", "num_readings": 15}, readings(celsius=float)),
    ("sensor", "wifi-rssi", {}, readings(rssi=int)),
    ("sensor", "esp32-internal", {}, readings(celsius=float, heap_free=int, uptime_s=int)),
    ("sensor", "dht11", {"pin": 4}, readings(**DHT)),
    ("sensor", "dht22", {"pin": "4"}, readings(**DHT)),
    ("sensor", "ds18b20", {"pin": 4}, readings(celsius=float)),
    ("sensor", "bme280", {"i2c_bus": "bus"}, readings(**BME280)),
    ("sensor", "hcsr04", {"trigger_pin": 4, "echo_interrupt_pin": 35}, readings(distance=float)),
    ("sensor", "ultrasonic", {"trigger_pin": 4, "echo_interrupt_pin": 35}, None),
    ("sensor", "health", {}, readings(t=float, link=str, streams=int, captured=int, late=int)),
    ("movement_sensor", "mpu6050", {"i2c_bus": "bus"}, None),
    (
        "movement_sensor",
        "gyro-mpu6050",
        {"board": "board", "i2c_bus": "bus", "use_alt_i2c_address": False},
        {
            "LinearAcceleration": ACCELERATION,
            "AngularVelocity": ROTATION,
            "Readings": {"readings": {"linear_acceleration": XYZ, "angular_velocity": XYZ}},
        },
    ),
    (
        "movement_sensor",
        "gps-nmea",
        {"rx_pin": 35, "tx_pin": 17},
        {
            "Position": POSITION,
            "LinearVelocity": VELOCITY,
            "CompassHeading": HEADING,
            "Readings": {
                "readings": {
                    "position": POSITION,
                    "linear_velocity": XYZ,
                    "compass_heading": float,
                }
            },
        },
    ),
    (
        "movement_sensor",
        "fake",
        {},
        {
            "Position": POSITION,
            "LinearVelocity": VELOCITY,
            "LinearAcceleration": ACCELERATION,
            "AngularVelocity": ROTATION,
            "CompassHeading": HEADING,
            "Orientation": ORIENTATION,
            "Readings": {
                "readings": {
                    "position": POSITION,
                    "linear_velocity": XYZ,
                    "linear_acceleration": XYZ,
                    "angular_velocity": XYZ,
                    "compass_heading": float,
                }
            },
        },
    ),
    ("power_sensor", "ina219", {"i2c_bus": "bus"}, POWER),
    ("power_sensor", "fake", {}, POWER),
    ("board", "esp32", {"analogs": ANALOGS}, BOARD),
    ("board", "fake", {}, BOARD),
    ("encoder", "incremental", {"pins": {"a": 18, "b": "19"}}, {"TicksCount": {"ticks": int}}),
    ("encoder", "fake", {}, {"TicksCount": {"ticks": int}}),
    ("motor", "gpio", {"pins": {"dir": 26, "pwm": 27}}, {"IsPowered": IS_POWERED}),
    ("motor", "fake", {}, {"Position": {"position": float}, "IsPowered": IS_POWERED}),
    (
        "servo",
        "gpio",
        {"pin": 13, "starting_position_deg": 90},
        {"Position": {"position_deg": int}},
    ),
    ("servo", "fake", {}, {"Position": {"position_deg": int}}),
]


def status():
    row = {"captured": 7, "late": 1}
    return {"t": 1.5, "link": "online", "streams": {"a/Readings": row, "b/Readings": row}}


def shape_of(value):
    if isinstance(value, dict):
        return {key: shape_of(value[key]) for key in value}
    return type(value)


def bench_with_analogs():
    bench = Bench(2000000)
    bench.build("analogs", "board", "esp32", analogs=[{"name": "a", "pin": 32}])
    bench.health = status
    return bench


def test_every_model_gives_readings_of_the_shape_that_viam_has():
    for kind, model, attributes, methods in ALL:
        bench = bench_with_analogs()
        component = bench.build("x", kind, model, **attributes)
        bench.now += 3000000
        for method, shape in (methods or {}).items():
            params = {"reader_name": "a", "pin_name": "27"}
            got = bench.read(component, method, params)
            assert shape_of(got) == shape, (kind, model, method, got)


def test_the_catalog_has_every_model_and_method_that_is_tested_here_and_no_other():
    known = {(kind, model) for kind in catalog.types for model in catalog.models(kind)}
    assert known == {(kind, model) for kind, model, _, _ in ALL}
    for kind in catalog.types:
        assert "fake" in catalog.models("rdk:component:" + kind)
        assert catalog.models(kind) == sorted(catalog.models(kind))
    assert catalog.methods("rdk:component:movement_sensor") == [
        "Readings",
        "Position",
        "LinearVelocity",
        "LinearAcceleration",
        "AngularVelocity",
        "CompassHeading",
        "Orientation",
    ]
    assert catalog.methods("camera") == [] and catalog.models("camera") == []
    assert catalog.method_params("board", "Analogs") == ("reader_name",)
    assert catalog.method_params("board", "Gpios") == ("pin_name",)
    assert catalog.method_params("sensor", "Readings") == ()


def problems(kind, model, **attributes):
    return ["%s: %s" % problem for problem in catalog.check(kind, model, attributes)]


def test_attributes_that_are_missing_unknown_or_wrong_are_told_with_what_would_be_right():
    for model, attributes, told in (
        ("tmp36", {}, "analog_reader: missing: give a string"),
        ("tmp36", {"analog_reader": "a", "pin": 3}, "pin: unknown attribute; known: analog_rea"),
        (
            "tmp36",
            {"analog_reader": "a", "num_readings": 0},
            "num_readings: is 0; it must be 1 to",
        ),
        ("tmp36", {"analog_reader": "a", "num_readings": "3"}, "'3' is not a whole number, which"),
        ("tmp36", {"analog_reader": "a", "num_readings": 1.5}, "1.5 is not a whole number"),
        ("tmp36", {"analog_reader": "a", "num_readings": True}, "True is not a whole number"),
        ("tmp36", {"analog_reader": ""}, "analog_reader: has length 0; it must be 1 to 64"),
        ("tmp36", {"analog_reader": None}, "analog_reader: None is not a string"),
        ("wifi-rssi", {"x": 1}, "x: unknown attribute; known: none"),
        ("bme280", {"i2c_bus": "b", "i2c_address": 3}, "3 is not an I2C address: a number, 8 to"),
        ("bme280", {"i2c_bus": "b", "oversampling": 3}, "oversampling: must be 1, 2, 4, 8 or 16"),
        ("dht22", {}, "pin: missing: give a GPIO number"),
        ("ds18b20", {"pin": 4, "unique_id": "28-00000zzzzzzz"}, "is no id such as 28-"),
    ):
        found = problems("sensor", model, **attributes)
        assert len(found) == 1 and told in found[0], (found, told)
    assert problems("sensor", "tmp36", analog_reader="a", num_readings=15.0) == []
    assert problems("sensor", "bme280", i2c_bus="b", i2c_address="0x77") == []


def test_a_pin_that_cannot_do_what_it_is_for_is_refused_with_the_reason():
    for pin, told in (
        (40, "40 is not a GPIO number, 0 to 39"),
        (-1, "-1 is not a GPIO number"),
        ("x", "'x' is not a GPIO number"),
        (2.5, "2.5 is not a GPIO number"),
        (True, "True is not a GPIO number"),
        (None, "None is not a GPIO number"),
        (24, "the ESP32 has no GPIO 24"),
        (6, "GPIO 6 belongs to the flash chip"),
        ("11", "GPIO 11 belongs to the flash chip"),
        (34, "GPIO 34 can only be an input (34 to 39 can): use 0 to 33"),
    ):
        (found,) = problems("sensor", "dht22", pin=pin)
        assert found[:5] == "pin: " and told in found, found
    assert problems("sensor", "dht22", pin="4") == problems("sensor", "dht22", pin=4.0) == []
    (found,) = problems("board", "esp32", analogs=[{"name": "a", "pin": 5}])
    assert found == "analogs[0].pin: GPIO 5 has no ADC: use 32 to 39"


def test_the_boards_entries_are_checked_one_by_one():
    bus = {"name": "b", "data_pin": 21, "clock_pin": 34, "baudrate_hz": 1}
    reader = {"name": "a", "pin": 34}
    found = problems("board", "esp32", pins=[4, 7], analogs=[reader, reader, 3], i2cs=[bus])
    assert len(found) == 5, found
    for told in (
        "pins[1]: GPIO 7 belongs to the flash chip (6 to 11 do): use another",
        "analogs[1].name: 'a' is the name of another entry",
        "analogs[2]: 3 is not an object",
        "i2cs[0].clock_pin: GPIO 34 can only be an input (34 to 39 can): use 0 to 33",
        "i2cs[0].baudrate_hz: is 1; it must be 10000 to 1000000",
    ):
        assert told in found, found


def test_analogs_are_raw_numbers_and_gpios_are_levels():
    bench = Bench()
    board = bench.build("b", "board", "esp32", analogs=[{"name": "a", "pin": 34}])
    bench.hardware["adc", 34].raw = 40000
    assert bench.read(board, "Analogs", {"reader_name": "a"}) == {"value": 40000}
    source = board.source("Gpios", {"pin_name": "27"})
    for level in (1, 0):
        bench.hardware["pin", 27].level = level
        assert payload(source) == {"high": level == 1}
    assert bench.hardware["pin", 27].mode == "in"


def test_two_readers_may_have_one_pin():
    bench = Bench()
    board = bench.build("b", "board", "esp32", analogs=[ANALOGS[0], {"name": "c", "pin": 34}])
    assert sorted(board.analogs) == ["a", "c"]


def test_an_analog_reader_or_pin_that_is_not_there_is_named():
    bench = Bench()
    board = bench.build("b", "board", "esp32", analogs=[{"name": "a", "pin": 34}])
    told = error_of(board.source, "Analogs", {"reader_name": "c"})
    assert told == "board b has no analog reader 'c'; it has: a"
    assert "GPIO 6 belongs to the flash" in error_of(board.source, "Gpios", {"pin_name": "6"})
    told = error_of(lambda: bench.build("t", "sensor", "tmp36", analog_reader="c"))
    assert "no board has an analog reader named 'c': add it to the board's" in told
    told = error_of(lambda: bench.build("t", "sensor", "tmp36", analog_reader="a", board="x"))
    assert "no board x has an analog reader named 'a'" in told


def test_a_pin_on_adc2_is_left_out_while_wifi_is_on_and_the_others_stay():
    analogs = [{"name": "a", "pin": 4}, {"name": "b", "pin": 35}]
    bench = Bench()
    board = bench.build("b", "board", "esp32", analogs=analogs)
    ((level, text),) = bench.lines
    assert level == "error" and text.startswith("components[1].attributes.analogs[0].pin: GPIO 4")
    assert "ADC2" in text and "Wi-Fi" in text and "use 32 to 39" in text
    assert sorted(board.analogs) == ["b"]
    bench = Bench()
    bench.wifi = False
    board = bench.build("b", "board", "esp32", analogs=analogs)
    assert sorted(board.analogs) == ["a", "b"] and not [x for x in bench.lines if x[0] == "error"]


def test_two_components_cannot_have_one_pin():
    bench = Bench()
    bench.build("d", "sensor", "dht22", pin=4)
    told = error_of(lambda: bench.build("h", "sensor", "dht11", pin="4"))
    assert told == "GPIO 4 cannot be pin of h: d has it as pin"
    told = error_of(lambda: bench.build("h", "sensor", "dht11", pin=21))
    assert "board has it as i2cs[0].data_pin" in told
    told = error_of(
        lambda: bench.build("u", "sensor", "hcsr04", trigger_pin=27, echo_interrupt_pin=27)
    )
    assert "GPIO 27 is given as trigger_pin and as echo_interrupt_pin of u" in told
    bus = {"name": "c", "data_pin": 25, "clock_pin": 25}
    told = error_of(lambda: bench.build("b", "board", "esp32", i2cs=[bus]))
    assert "GPIO 25 is given as i2cs[0].data_pin and as i2cs[0].clock_pin" in told


def test_two_chips_on_a_bus_cannot_have_one_address():
    bench = Bench()
    bench.build("b", "sensor", "bme280", i2c_bus="bus")
    told = error_of(lambda: bench.build("c", "sensor", "bme280", i2c_bus="bus", i2c_address=118))
    assert "address 0x76 of I2C bus bus (SDA GPIO 21, SCL GPIO 22)" in told
    assert "b has it as i2c_address" in told
    bench.build("d", "sensor", "bme280", i2c_bus="bus", i2c_address="0x77")
    told = error_of(lambda: bench.build("e", "sensor", "bme280", i2c_bus="other"))
    assert "no board has an I2C bus named 'other'" in told and "`clock_pin`" in told
    told = error_of(lambda: bench.build("e", "sensor", "bme280", i2c_bus="bus", board="x"))
    assert "no board x has an I2C bus named 'bus'" in told


def test_a_pin_with_a_part_in_starting_the_chip_is_a_warning():
    for pin, told in (
        (0, "must not be low at reset"),
        (2, "while the chip is flashed"),
        (5, "strapping pin"),
        (12, "must not be high at reset"),
        (15, "strapping pin"),
        (1, "serial console"),
    ):
        bench = Bench()
        bench.build("d", "sensor", "dht22", pin=pin)
        ((level, text),) = bench.lines
        assert level == "warning" and told in text, text
        assert text.startswith("components[1].attributes.pin: GPIO %d " % pin), text
    bench = Bench()
    bench.build("d", "sensor", "dht22", pin=4)
    assert bench.lines == []


def test_a_pin_that_a_component_has_can_be_watched_without_changing_its_mode():
    bench = Bench()
    motor = bench.build("m", "motor", "gpio", pins={"dir": 26, "pwm": 27})
    source = bench.made["board"].source("Gpios", {"pin_name": "26"})
    assert bench.hardware["pin", 26].mode == "out"
    assert payload(source) == {"high": False}
    motor.set_power(0.5)
    assert payload(source) == {"high": True}


def test_a_mean_of_many_conversions_is_that_of_one():
    bench = Bench()
    bench.build("b", "board", "esp32", analogs=ANALOGS)
    sensor = bench.build("t", "sensor", "tmp36", analog_reader="a", num_readings=255)
    bench.hardware["adc", 34].raw = 14895  # 0.75 V: 25 °C
    before = bench.now
    assert near(bench.read(sensor)["readings"]["celsius"], 25, 0.01)
    assert bench.now - before == 255 * 15
    volts = bench.build("v", "sensor", "analog", analog_reader="a")
    assert near(bench.read(volts)["readings"]["volts"], 0.75, 0.001)


def test_an_analog_sensor_that_is_not_there_has_no_value():
    for raw, volts, celsius in (
        (0, None, None),  # ground: no sensor, no power
        (65535, None, None),  # the supply
        (2700, 0.136, None),  # what the chip says of ground, with its calibration
        (2979, 0.15, -35),
        (34750, 1.75, 125),
        (34800, 1.752, None),
        (60000, 3.02, None),
    ):
        bench = Bench()
        bench.build("b", "board", "esp32", analogs=ANALOGS)
        tmp36 = bench.build("t", "sensor", "tmp36", analog_reader="a", num_readings=3)
        analog = bench.build("v", "sensor", "analog", analog_reader="a")
        bench.hardware["adc", 34].raw = raw
        if volts is None:
            told = error_of(bench.read, analog)
            assert "at analog reader a is at an end of what the converter measures" in told
            assert told.startswith("v: ") and "check the sensor's power, ground and wire" in told
        else:
            assert near(bench.read(analog)["readings"]["volts"], volts, 0.002)
        if celsius is None:
            assert "t: " in error_of(bench.read, tmp36)
        else:
            assert near(bench.read(tmp36)["readings"]["celsius"], celsius, 0.1)
        bench.hardware["adc", 34].raw = 14895
        assert near(bench.read(tmp36)["readings"]["celsius"], 25, 0.01)


def test_a_signal_strength_that_is_none_is_not_given():
    bench = Bench()
    sensor = bench.build("w", "sensor", "wifi-rssi")
    for rssi in (0, 31, -128, 1000):
        bench.wifi_rssi = lambda rssi=rssi: rssi
        sensor = bench.build("w%d" % rssi, "sensor", "wifi-rssi")
        assert "%d dBm is no signal strength" % rssi in error_of(bench.read, sensor)
    bench.wifi_rssi = lambda: -127
    assert bench.read(bench.build("x", "sensor", "wifi-rssi")) == {"readings": {"rssi": -127}}


def test_a_board_without_wifi_says_so_instead_of_a_signal_strength():
    bench = Bench()
    sensor = bench.build("w", "sensor", "wifi-rssi")
    assert -63 < bench.read(sensor)["readings"]["rssi"] < -50

    def unconnected():
        raise OSError(1)

    bench.wifi_rssi = unconnected
    sensor = bench.build("w2", "sensor", "wifi-rssi")
    assert "w2: no signal strength" in error_of(bench.read, sensor)


def test_health_is_what_the_status_says_and_the_sums_of_its_tables():
    bench = bench_with_analogs()
    got = bench.read(bench.build("h", "sensor", "health"))
    assert got == {
        "readings": {"t": 1.5, "link": "online", "streams": 2, "captured": 14, "late": 2}
    }
    told = error_of(lambda: Bench().build("h", "sensor", "health"))
    assert told.startswith("h: this program keeps no counters")


def test_the_fake_sensors_counter_goes_on_when_it_is_built_again():
    bench = Bench()
    first = bench.read(bench.build("count", "sensor", "fake", counter=True))["readings"]
    again = bench.read(bench.build("count", "sensor", "fake", counter=True))["readings"]
    assert again["n"] == first["n"] + 1 and again["boot"] == first["boot"]


def test_an_unconfigured_source_waits_for_nothing_and_has_no_blocks():
    source = Bench().build("f", "sensor", "fake").source("Readings", {})
    assert (source.waits, source.block, source.min_period_us) == (False, 0, 0)
    waiting = Bench().build("f", "sensor", "bme280", i2c_bus="bus").source("Readings", {})
    assert waiting.waits
    values = [0, 0, 0]
    assert run(waiting.read_into(values)) is None and values[1] > 0
