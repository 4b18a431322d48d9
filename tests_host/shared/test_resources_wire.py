"""Models on single wires: thermometers, humidity sensors, the distance sensor."""

from cistern.port.simulated.onewire import Ds18b20, OneWire, crc8
from devices import Bench, error_of, near, payload

SERIALS = (b"\x9e\x6c\x1b\x05\0\0", b"\x01\x02\x03\x04\x05\x06")


def thermometers(n, **attributes):
    """A bench with n thermometers on GPIO 4, and a component for one."""
    bench = Bench()
    found = [Ds18b20(bench.ticks_us, serial=SERIALS[i]) for i in range(n)]
    bench.hardware["1-wire", 4] = found
    return bench, found, bench.build("t", "sensor", "ds18b20", pin=4, **attributes)


def celsius(bench, sensor):
    return bench.read(sensor)["readings"]["celsius"]


def test_the_checksum_is_that_of_the_datasheet():
    # Maxim application note 27: the ROM code 02 1C B8 01 00 00 00 has the CRC A2.
    assert crc8(b"\x02\x1c\xb8\x01\0\0\0") == 0xA2
    assert crc8(b"\x02\x1c\xb8\x01\0\0\0\xa2") == 0


def test_a_thermometer_reads_the_table_of_its_datasheet():
    bench, (device,), sensor = thermometers(1)
    # DS18B20 datasheet, table 1, but for 85 °C, which it has after power-on.
    for value in (125.0, 25.0625, 10.125, 0.5, 0.0, -0.5, -10.125, -25.0625, -55.0):
        device.celsius = lambda tick, value=value: value
        assert celsius(bench, sensor) == value


def test_a_thermometer_measures_between_request_and_answer_while_others_may_run():
    bench, (device,), sensor = thermometers(1)
    celsius(bench, sensor)
    device.celsius = lambda tick: 30.0
    before = bench.now
    assert celsius(bench, sensor) == 30.0
    assert 750000 < bench.now - before < 800000


def test_a_lower_resolution_is_set_and_faster():
    for bits, ms, value in (
        (9, 94, 25.0),
        (10, 188, 25.25),
        (11, 375, 25.375),
        (12, 750, 25.4375),
    ):
        bench, (device,), sensor = thermometers(1, resolution_bits=bits)
        device.celsius = lambda tick: 25.4375
        assert celsius(bench, sensor) == value
        before = bench.now
        assert celsius(bench, sensor) == value
        assert ms * 1000 <= bench.now - before < ms * 1000 + 40000


def test_one_of_several_thermometers_on_a_pin():
    bench, (a, b), sensor = thermometers(2, unique_id="28-060504030201")
    a.celsius, b.celsius = lambda tick: 10.0, lambda tick: 20.0
    assert celsius(bench, sensor) == 20.0
    other = bench.build("o", "sensor", "ds18b20", pin="4", unique_id="289e6c1b05000057")
    assert celsius(bench, other) == 10.0
    told = error_of(bench.read, bench.build("p", "sensor", "ds18b20", pin=4))
    assert "p: there are 2 thermometers on GPIO 4: give unique_id, one of 28-00000" in told
    assert "28-0000051b6c9e" in told and "28-060504030201" in told
    wrong = bench.build("q", "sensor", "ds18b20", pin=4, unique_id="28-0000000000ff")
    told = error_of(bench.read, wrong)
    assert "q: no thermometer 28-0000000000ff on GPIO 4; there are: 28-00" in told
    told = error_of(lambda: bench.build("d", "sensor", "dht22", pin=4))
    assert "has it as 1-Wire" in told


def test_a_thermometer_that_is_away_is_named_and_comes_back():
    bench, (device,), sensor = thermometers(1)
    device.celsius = lambda tick: 21.0
    assert celsius(bench, sensor) == 21.0
    device.unplug()
    told = error_of(bench.read, sensor)
    assert told == (
        "t: the thermometer on GPIO 4 gives no answer: check its power, its data wire and the "
        "4.7 kohm pull-up"
    )
    device.plug()
    assert celsius(bench, sensor) == 21.0
    # Another one in its place is found, too, when there is but one.
    other = Ds18b20(bench.ticks_us, lambda tick: 22.0, SERIALS[1])
    device.unplug()
    error_of(bench.read, sensor)
    bench.hardware["1-wire", 4].append(other)
    assert celsius(bench, sensor) == 22.0


def test_a_wrong_checksum_is_read_again_and_told_when_it_stays():
    bench, (device,), sensor = thermometers(1)
    device.celsius = lambda tick: 21.0
    celsius(bench, sensor)
    device.corrupt = 2
    assert celsius(bench, sensor) == 21.0
    device.corrupt = 3
    assert "sends a wrong checksum" in error_of(bench.read, sensor)
    assert celsius(bench, sensor) == 21.0


def test_a_wire_at_ground_is_not_zero_degrees():
    bench, (device,), sensor = thermometers(1)
    celsius(bench, sensor)
    wire = bench.onewire(4)
    assert isinstance(wire, OneWire)
    sensor._wire.shorted = True
    assert "gives no answer" in error_of(bench.read, sensor)
    # Shorted only after the presence pulse: nine zeros have a right checksum.
    sensor._wire.shorted = False
    device._scratchpad[:] = bytes(8)
    assert "wrong checksum" in error_of(bench.read, sensor)


def test_the_value_after_power_on_is_not_a_temperature():
    bench, (device,), sensor = thermometers(1)
    device.celsius = lambda tick: 84.5
    celsius(bench, sensor)
    device.celsius = lambda tick: 85.0
    assert celsius(bench, sensor) == 85.0
    bench, (device,), sensor = thermometers(1)
    take = device.take

    def lose_power(byte):
        take(byte)
        if byte == 0x44:
            device._started = None
            device._scratchpad[0:2] = b"\x50\x05"

    device.celsius = lambda tick: 20.0
    celsius(bench, sensor)
    device.take = lose_power
    assert "reads 85 °C, which it does when its power was away" in error_of(bench.read, sensor)
    bench, (device,), sensor = thermometers(1, resolution_bits=9)
    celsius(bench, sensor)
    device.plug()
    assert "lost its resolution" in error_of(bench.read, sensor)
    celsius(bench, sensor)


def test_dht22_has_tenths_and_a_sign_and_dht11_has_whole_numbers():
    bench = Bench()
    sensor = bench.build("d", "sensor", "dht22", pin=4)
    for now in ((23.4, 56.7), (-5.5, 99.9), (0.0, 0.0)):
        bench.hardware["dht", 4].weather = lambda tick, now=now: now
        bench.now += 2000000
        got = bench.read(sensor)["readings"]
        assert near(got["celsius"], now[0], 0.01) and near(got["humidity_pct"], now[1], 0.01)
    sensor = bench.build("e", "sensor", "dht11", pin=5)
    bench.hardware["dht", 5].weather = lambda tick: (23.4, 56.7)
    assert bench.read(sensor) == {"readings": {"celsius": 23.0, "humidity_pct": 56.0}}


def test_a_dht_that_is_read_too_often_says_how_often_it_can_be():
    for model, period, told in (
        ("dht22", 2000000, "gives one reading in 2 s: set capture_frequency_hz to 0.5 or less"),
        ("dht11", 1000000, "gives one reading in 1 s: set capture_frequency_hz to 1 or less"),
    ):
        bench = Bench()
        source = bench.build("d", "sensor", model, pin=4).source("Readings", {})
        assert source.min_period_us == period
        payload(source)
        bench.now += period // 2
        assert told in error_of(payload, source)
        # A deadline that was served late does not take the next one along.
        bench.now += period * 45 // 100
        payload(source)


def test_a_dht_that_is_away_or_garbled_is_named():
    bench = Bench()
    sensor = bench.build("d", "sensor", "dht22", pin=4)
    device = bench.hardware["dht", 4]
    device.plugged = False
    told = error_of(bench.read, sensor)
    assert told.startswith("d: the dht22 on GPIO 4 gives no answer") and "10 kohm pull-up" in told
    device.plugged, device.corrupt = True, True
    bench.now += 2000000
    assert "d: the dht22 on GPIO 4 sends a wrong checksum" in error_of(bench.read, sensor)
    device.corrupt = False
    bench.now += 2000000
    bench.read(sensor)


def test_the_distance_sensor():
    bench = Bench()
    sensor = bench.build("u", "sensor", "hcsr04", trigger_pin=26, echo_interrupt_pin=35)
    source = sensor.source("Readings", {})
    payload(source)
    echo = bench.hardware["echo", 26, 35]
    for metres in (0.02, 0.5, 4.0):
        echo.metres = metres
        bench.now += 60000
        assert near(payload(source)["readings"]["distance"], metres, 0.001)
    echo.metres = 6
    told = error_of(payload, source)
    assert told == "u (trigger GPIO 26, echo GPIO 35): no echo within 30 ms: nothing is in reach"
    echo.wired = False
    assert "no pulse on echo: check the sensor's 5 V supply" in error_of(payload, source)
    bench.hardware["pin", 35].level = 1
    assert "echo is high before the burst" in error_of(payload, source)
    assert source.min_period_us == 60000
