"""Models on an I2C bus: what they make of the registers, and what they do when a chip goes."""

from struct import pack

from cistern.port.simulated import bme280
from cistern.port.simulated.bme280 import Bme280
from cistern.port.simulated.ina219 import Ina219
from cistern.port.simulated.mpu6050 import Mpu6050
from cistern.resources import ResourceError
from devices import Bench, error_of, near, payload

BUS = ("i2c", 22, 21)


def on_bus(chip, kind, model, **attributes):
    """A bench with a chip made by chip(ticks_us), and a component for it."""
    bench = Bench()
    made = chip(bench.ticks_us)
    bench.hardware[BUS] = [made]
    component = bench.build("x", kind, model, i2c_bus="bus", **attributes)
    bench.now += 1000000
    return bench, made, component


def test_bme280_agrees_with_the_integer_formula_of_its_datasheet():
    weathers = [(25.08, 100653.27, 45.4), (-39.5, 110000, 5), (84.5, 30500, 90), (0, 101325, 99)]
    _, chip, sensor = on_bus(Bme280, "sensor", "bme280")
    source = sensor.source("Readings", {})
    for celsius, pascal, percent in weathers:
        chip.weather = lambda us, now=(celsius, pascal, percent): now
        got = payload(source)["readings"]
        # 0.01 °C and 1/1024 % are the steps of the datasheet's integers.
        assert near(got["celsius"], celsius, 0.011), (got, celsius)
        assert near(got["pressure_hpa"], pascal / 100, 0.02), (got, pascal)
        assert near(got["humidity_pct"], percent, 0.02), (got, percent)


def test_bme280_gives_the_worked_example_of_the_datasheet():
    # BST-BMP280-DS001, 3.12: adc_T = 519888, adc_P = 415148 are 25.08 °C and 100653.27 Pa.
    fine = bme280.fine_temperature(519888)
    assert (fine, bme280.centicelsius(519888)) == (128422, 2508)
    # 25767236 / 256 Pa is what floating point gives; the integer formula truncates a little more.
    assert bme280.pascal_256(415148, fine) == 25767233
    _, _, sensor = on_bus(Bme280, "sensor", "bme280")
    sensor.ready()
    values = [0, 0, 0]
    sensor._compensate(values, 519888, 415148, 30000)
    assert near(values[0], 25.0825, 0.0001)
    assert near(values[1], 1006.5327, 0.0002)
    assert near(values[2], bme280.percent_1024(30000, fine) / 1024, 0.01)


def test_bme280_measures_between_the_request_and_the_answer():
    for oversampling, longest in ((1, 9.3), (16, 112.8)):
        bench, chip, sensor = on_bus(Bme280, "sensor", "bme280", oversampling=oversampling)
        chip.weather = lambda us: (us / 1000000, 100000, 50)
        before = chip.now()
        got = bench.read(sensor)["readings"]["celsius"]
        assert before / 1000000 - 0.02 < got < chip.now() / 1000000 + 0.02
        took = (chip.now() - before) / 1000
        assert longest < took < longest + 6, took
        # It sleeps until the next reading.
        assert chip.registers[0xF4] & 3 == 0


def test_bme280_that_measures_for_too_long_gives_no_old_values():
    bench, chip, sensor = on_bus(Bme280, "sensor", "bme280")
    bench.read(sensor)
    store = chip.store

    def slow(register, value):
        store(register, value)
        if register == 0xF4:
            chip._done_at += 100000

    chip.store = slow
    assert "is still measuring after 10 ms: check its power" in error_of(bench.read, sensor)


def test_bme280_is_told_from_what_else_answers():
    bench, chip, sensor = on_bus(Bme280, "sensor", "bme280")
    chip.registers[0xD0] = 0x58
    assert "is a BMP280, which has no humidity sensor" in error_of(bench.read, sensor)
    chip.registers[0xD0] = 0x61
    told = error_of(bench.read, sensor)
    assert "address 0x76 on I2C bus bus (SDA GPIO 21, SCL GPIO 22) is no BME280 (its id" in told
    chip.registers[0xD0] = 0x60
    bench.read(sensor)


def test_a_chip_that_is_away_is_named_with_its_wires_and_works_when_it_is_back():
    for chip, kind, model, method in (
        (Bme280, "sensor", "bme280", "Readings"),
        (Ina219, "power_sensor", "ina219", "Readings"),
        (Mpu6050, "movement_sensor", "mpu6050", "LinearAcceleration"),
    ):
        bench, made, component = on_bus(chip, kind, model)
        source = component.source(method, {})
        good = payload(source)
        made.unplug()
        told = error_of(payload, source)
        assert told.startswith(
            "x: no answer from address 0x%02x on I2C bus bus (SDA GPIO 21, SCL GPIO 22)"
            % made.address
        ), told
        assert "check its power, wires, pull-ups and address" in told
        assert error_of(payload, source) == told  # the log shows a distinct error once
        made.plug()
        for _ in range(2):  # the MPU-6050 needs some time to wake
            try:
                again = payload(source)
            except Exception as e:
                assert "waking up" in str(e), (model, e)
                bench.now += 100000
        assert sorted(again) == sorted(good), model


def test_a_chip_that_is_absent_at_start_is_found_when_it_comes():
    bench = Bench()
    chip = Mpu6050(bench.ticks_us)
    chip.unplug()
    bench.hardware[BUS] = [chip]
    sensor = bench.build("x", "movement_sensor", "mpu6050", i2c_bus="bus")
    source = sensor.source("AngularVelocity", {})
    assert "no answer from address 0x68" in error_of(payload, source)
    chip.plug()
    bench.now += 1000
    assert "is waking up" in error_of(payload, source)
    bench.now += 200000
    assert payload(source)["angular_velocity"]["y"] is not None


def test_a_chip_that_lost_its_power_between_two_readings_does_not_give_wrong_ones():
    bench, chip, sensor = on_bus(Mpu6050, "movement_sensor", "mpu6050")
    source = sensor.source("LinearAcceleration", {})
    payload(source)
    chip.reset()
    bench.now += 1000000
    assert "fell asleep: its power was away" in error_of(payload, source)
    bench.now += 200000
    assert near(payload(source)["linear_acceleration"]["z"], 9.8, 1)
    bench, chip, sensor = on_bus(Bme280, "sensor", "bme280")
    bench.read(sensor)
    chip.reset()
    assert "lost its configuration" in error_of(bench.read, sensor)
    bench.read(sensor)


def test_a_value_that_a_bme280_skipped_is_none_and_the_next_measurement_is_one():
    bench, chip, sensor = on_bus(Bme280, "sensor", "bme280")
    finish = chip._finish
    # BST-BME280-DS001, 5.4.7 and 5.4.8: pressure, temperature, humidity.
    for at, skipped in ((0xF7, b"\x80\0\0"), (0xFA, b"\x80\0\0"), (0xFD, b"\x80\0")):

        def skip(at=at, skipped=skipped):
            finish()
            chip.registers[at : at + len(skipped)] = skipped

        chip._finish = skip
        assert "says that it skipped a measurement" in error_of(bench.read, sensor)
        chip._finish = finish
        assert 900 < bench.read(sensor)["readings"]["pressure_hpa"] < 1100


def test_a_bme280_is_waited_for_while_it_copies_its_calibration():
    bench = Bench()
    chip = Bme280(bench.ticks_us, lambda us: (21.0, 101325.0, 45.0))
    bench.hardware[BUS] = [chip]
    sensor = bench.build("x", "sensor", "bme280", i2c_bus="bus")
    assert chip.load(0xF3) == 1 and chip.load(0x88) == 0
    assert near(bench.read(sensor)["readings"]["celsius"], 21, 0.01)
    chip.plug()  # the next measurement comes before the calibration is there
    for _ in range(2):
        try:
            bench.read(sensor)
        except ResourceError as e:
            assert "lost its configuration" in str(e)
    assert near(bench.read(sensor)["readings"]["pressure_hpa"], 1013.25, 0.02)
    # One that never ends is told, and works when it does.
    bench, chip, sensor = on_bus(Bme280, "sensor", "bme280")
    chip._copied_at = bench.now + 3600000000
    before = bench.now
    assert "does not end copying its calibration" in error_of(bench.read, sensor)
    assert bench.now - before < 10000
    chip._copied_at = 0
    bench.read(sensor)


def test_a_calibration_that_is_none_is_refused_and_read_again():
    for fill, at, size in (
        (0, 0x88, 26),
        (0xFF, 0x88, 26),
        (0, 0xE1, 7),
        (0xFF, 0xE1, 7),
        (0, 0x88, 2),  # dig_T1 alone
        (0, 0x8E, 2),  # dig_P1, by which is divided
    ):
        bench, chip, sensor = on_bus(Bme280, "sensor", "bme280")
        good = bytes(chip.registers[at : at + size])
        chip.registers[at : at + size] = bytes([fill]) * size
        for _ in range(2):
            assert "sends no calibration" in error_of(bench.read, sensor)
        chip.registers[at : at + size] = good
        assert 900 < bench.read(sensor)["readings"]["pressure_hpa"] < 1100


def test_a_calibration_by_which_would_be_divided_by_zero_gives_no_reading():
    bench, chip, sensor = on_bus(Bme280, "sensor", "bme280")
    good = bytes(chip.registers[0x88:0x94])
    # 4.2.3: with them var1 of the pressure is 0 at this temperature.
    chip.registers[0x88:0x94] = pack("<HhhHhh", 8192, 24512, 0, 36477, -32768, 0)
    finish = chip._finish

    def finish_with():
        finish()
        chip.registers[0xFA:0xFD] = b"\xe0\0\0"

    chip._finish = finish_with
    assert "measures what it cannot" in error_of(bench.read, sensor)
    chip._finish = finish
    chip.registers[0x88:0x94] = good
    bench.read(sensor)


def test_a_bme280_gives_nothing_outside_the_range_of_its_datasheet():
    for weather in ((-42.0, 100000, 50), (86.0, 100000, 50), (20, 29900, 50), (20, 110100, 50)):
        bench, chip, sensor = on_bus(Bme280, "sensor", "bme280")
        chip.weather = lambda us, weather=weather: weather
        assert "measures what it cannot" in error_of(bench.read, sensor), weather
        chip.weather = lambda us: (20.0, 100000, 50)
        bench.read(sensor)


def test_mpu6050_scales_by_its_ranges():
    for g, dps in ((2, 250), (4, 500), (8, 1000), (16, 2000)):
        bench, chip, sensor = on_bus(
            Mpu6050,
            "movement_sensor",
            "mpu6050",
            accelerometer_range_g=g,
            gyroscope_range_dps=dps,
        )
        chip.motion = lambda us: (0.5, -1.0, 1.5, 100, -200, 0.5)
        bench.now += 1000000
        got = bench.read(sensor, "Readings")["readings"]
        for axis, expected in (("x", 0.5), ("y", -1.0), ("z", 1.5)):
            assert near(got["linear_acceleration"][axis], expected * 9.80665, 0.01), (g, got)
        for axis, expected in (("x", 100), ("y", -200), ("z", 0.5)):
            assert near(got["angular_velocity"][axis], expected, 0.1), (dps, got)
        assert (
            bench.read(sensor, "LinearAcceleration")["linear_acceleration"]
            == (got["linear_acceleration"])
        )
        assert bench.read(sensor, "AngularVelocity")["angular_velocity"] == got["angular_velocity"]


def test_mpu6050_has_no_position_and_says_what_it_has():
    bench, chip, sensor = on_bus(Mpu6050, "movement_sensor", "mpu6050")
    told = error_of(sensor.source, "Position", {})
    assert told == "mpu6050 has no Position; it has: Readings, LinearAcceleration, AngularVelocity"
    chip.registers[0x75] = 0x12
    chip.unplug()
    error_of(bench.read, sensor, "AngularVelocity")
    chip.plugged = True
    assert "is no MPU-6050 (it says 0x12, not 0x68)" in error_of(
        bench.read, sensor, "AngularVelocity"
    )


def test_the_kin_of_the_mpu6050_is_read_as_it_is():
    for who in (0x70, 0x71, 0x72, 0x73, 0x74, 0x75, 0x78, 0x98):
        bench, chip, sensor = on_bus(
            lambda ticks_us, who=who: Mpu6050(
                ticks_us, lambda us: (0.5, -1, 6.5, 1, 2, 3), 0, who
            ),
            "movement_sensor",
            "mpu6050",
            accelerometer_range_g=16,
            low_pass_hz=5,
        )
        assert near(bench.read(sensor)["readings"]["linear_acceleration"]["z"], 63.7, 0.1)
        assert chip.registers[0x1D] == 6  # the accelerometer has a low-pass filter of its own
        # It does not sleep after its power was away, but measures up to 2 g.
        chip.reset()
        bench.now += 1000000
        assert "fell asleep: its power was away" in error_of(bench.read, sensor)
        bench.now += 100000
        assert near(bench.read(sensor)["readings"]["linear_acceleration"]["z"], 63.7, 0.1)


def test_mpu6050_gives_no_rotation_while_its_gyroscope_starts():
    bench = Bench()
    chip = Mpu6050(bench.ticks_us, lambda us: (0.0, 0.0, 1.0, 0.0, 0.0, 0.0))
    bench.hardware[BUS] = [chip]
    sensor = bench.build("x", "movement_sensor", "mpu6050", i2c_bus="bus")
    given = 0
    for _ in range(200):
        bench.now += 1000
        try:
            rotation = bench.read(sensor, "AngularVelocity")["angular_velocity"]
            given += 1
            assert rotation == {"x": 0.0, "y": 0.0, "z": 0.0}
        except ResourceError as e:
            assert "is waking up" in str(e)
    assert 100 < given < 150, given
    # Ticks wrap in 18 minutes: for half of that they seem to be before it woke.
    for _ in range(40):
        bench.now += 60000000
        assert bench.read(sensor, "AngularVelocity")["angular_velocity"]["x"] == 0


def test_mpu6050_at_rest_may_read_ones_on_all_axes():
    bench, chip, sensor = on_bus(Mpu6050, "movement_sensor", "mpu6050")
    step = -1 / 131.072
    chip.motion = lambda us: (0, 0, 1, step, step, step)
    bench.now += 1000
    got = bench.read(sensor, "AngularVelocity")["angular_velocity"]
    assert near(got["x"], step, 0.001) and near(got["z"], step, 0.001)


def test_mpu6050_at_its_other_address():
    bench = Bench()
    chip = Mpu6050(bench.ticks_us)
    chip.address = 0x69
    bench.hardware[BUS] = [chip]
    sensor = bench.build(
        "x", "movement_sensor", "mpu6050", i2c_bus="bus", use_alt_i2c_address=True
    )
    bench.now += 1000000
    bench.read(sensor)


def test_ina219_measures_both_ways_with_the_shunt_that_is_there():
    for ohms, amperes in ((0.1, 1.234), (0.1, -0.5), (0.01, 20.0)):
        bench, chip, sensor = on_bus(Ina219, "power_sensor", "ina219", shunt_resistance=ohms)
        chip.ohms = ohms
        chip.supply = lambda us, amperes=amperes: (11.5, amperes)
        got = bench.read(sensor)["readings"]
        assert near(got["volts"], 11.5, 0.004) and near(got["amps"], amperes, 0.00001 / ohms)
        assert near(got["watts"], 11.5 * amperes, 0.05) and got["is_ac"] is False
        assert near(bench.read(sensor, "Power")["watts"], 11.5 * amperes, 0.05)
        assert near(bench.read(sensor, "Current")["amperes"], amperes, 0.00001 / ohms)


def test_ina219_does_not_give_a_current_that_it_cannot_measure():
    bench, chip, sensor = on_bus(Ina219, "power_sensor", "ina219")
    chip.supply = lambda us: (12, 5)
    told = error_of(bench.read, sensor, "Current")
    assert "measures more than 3.2 A, the most that a shunt of 0.1 ohm can show" in told
    assert near(bench.read(sensor, "Voltage")["volts"], 12, 0.004)


def test_ina219_is_told_from_what_else_answers():
    bench = Bench()

    class Other(Ina219):
        def _value(self, register):
            return 0x1234

    bench.hardware[BUS] = [Other(bench.ticks_us)]
    sensor = bench.build("x", "power_sensor", "ina219", i2c_bus="bus")
    assert "is no INA219 (its configuration is 0x1234" in error_of(bench.read, sensor)


def test_ina219_gives_nothing_before_its_first_conversion():
    bench = Bench()
    chip = Ina219(bench.ticks_us, lambda us: (12.0, 1.5))
    bench.hardware[BUS] = [chip]
    for method, name in (("Voltage", "volts"), ("Current", "amperes"), ("Power", "watts")):
        sensor = bench.build("p" + name, "power_sensor", "ina219", i2c_bus="bus")
        chip.plug()
        assert chip._value(1) == chip._value(2) == 0
        right = {"volts": 12.0, "amperes": 1.5, "watts": 18.0}[name]
        assert near(bench.read(sensor, method)[name], right, 0.01)
        chip.plug()  # its power was away between two readings
        told = error_of(bench.read, sensor, method)
        assert "has no result yet: its power was away" in told
        assert near(bench.read(sensor, method)[name], right, 0.01)
        bench.made.pop("p" + name)


def test_ina219_that_sends_only_zeros_is_told_as_that():
    bench, chip, sensor = on_bus(Ina219, "power_sensor", "ina219")
    bench.read(sensor, "Voltage")
    chip.stuck = 0
    assert "sends only zeros" in error_of(bench.read, sensor, "Voltage")
    assert "sends only zeros" in error_of(bench.read, sensor, "Voltage")  # set up anew
    chip.stuck = None
    assert bench.read(sensor, "Voltage")["volts"] > 1


def test_ina219_that_never_converts_is_told():
    bench, chip, sensor = on_bus(Ina219, "power_sensor", "ina219")
    value = chip._value
    chip._value = lambda register: 0 if register else value(register)
    before = bench.now
    assert "measured nothing within 2 ms of its reset" in error_of(bench.read, sensor)
    assert bench.now - before < 5000
    chip._value = value
    bench.read(sensor)


def test_ina219_gives_no_voltage_that_it_does_not_bear_and_no_current_that_overflowed():
    bench, chip, sensor = on_bus(Ina219, "power_sensor", "ina219")
    chip.supply = lambda us: (26.5, 1)
    assert "measures 26.5 V, and bears 26 V at most" in error_of(bench.read, sensor, "Voltage")
    chip.supply = lambda us: (26.0, 1)
    assert near(bench.read(sensor, "Voltage")["volts"], 26, 0.004)
    chip.overflow = True
    assert "overflowed" in error_of(bench.read, sensor, "Current")
    assert near(bench.read(sensor, "Voltage")["volts"], 26, 0.004)
    chip.overflow = False
    assert near(bench.read(sensor, "Current")["amperes"], 1, 0.001)


def test_a_transfer_takes_the_time_that_it_has_on_the_bus():
    bench, _, sensor = on_bus(Mpu6050, "movement_sensor", "mpu6050")
    source = sensor.source("LinearAcceleration", {})
    payload(source)
    before = bench.now
    payload(source)
    # Address, register, address, 6 bytes, and a byte's time for the rest, at 400 kHz.
    assert bench.now - before == 10 * 9 * 1000000 // 400000
