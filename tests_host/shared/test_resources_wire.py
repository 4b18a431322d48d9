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
    wire = sensor._wire
    for _ in range(2):  # while it measures, and before it is looked for
        wire.shorted = True
        before = bench.now
        told = error_of(bench.read, sensor)
        assert "sends only zeros, as a data wire at ground does" in told
        assert bench.now - before < 2000000  # a search on such a wire takes three seconds
        wire.shorted = False
        assert 0 < celsius(bench, sensor) < 40
    # Shorted only after the presence pulse: nine zeros have a right checksum.
    device._scratchpad[:] = bytes(8)
    device.fixed = 0
    device.take = lambda byte: setattr(device, "_command", None) or Ds18b20.take(device, byte)
    device._finish = lambda: None
    assert "sends only zeros" in error_of(bench.read, sensor)


def test_copies_of_the_thermometer_are_read_with_the_resolution_that_they_have():
    for fixed, bits, value in (
        (0x60, 12, 26.8125),  # reserved bits of 0
        (0xFF, 12, 26.8125),
        (0x7F, 10, 26.8125),  # it takes no other resolution
        (0x00, 12, 26.5),
        (0x1F, 12, 26.5),
        (0x20, 9, 26.75),
    ):
        bench, (device,), sensor = thermometers(1, resolution_bits=bits)
        device.fixed, device.celsius = fixed, lambda tick: 26.8125
        device._scratchpad[4] = fixed
        for _ in range(2):
            assert celsius(bench, sensor) == value, fixed


def test_a_conversion_that_takes_longer_is_waited_for():
    bench, (device,), sensor = thermometers(1)
    device.celsius, device.slow = lambda tick: 21.5, 1.5
    for _ in range(2):
        assert celsius(bench, sensor) == 21.5
    device.slow = 5
    assert "still measures after 1502 ms: check its power" in error_of(bench.read, sensor)
    device.slow = 1
    bench.now += 4000000
    assert celsius(bench, sensor) == 21.5


def test_what_is_no_such_thermometer_is_told_by_its_family():
    for family, told in (
        (0x10, "10-0000051b6c9e is a DS18S20"),
        (0x3B, "3b-0000051b6c9e is a DS1825 or MAX31850"),
        (0x26, "26-0000051b6c9e is a device of family 0x26"),
    ):
        for attributes in ({}, {"unique_id": "%02x-0000051b6c9e" % family}):
            bench = Bench()
            bench.hardware["1-wire", 4] = [Ds18b20(bench.ticks_us, family=family)]
            sensor = bench.build("t", "sensor", "ds18b20", pin=4, **attributes)
            assert "t: what answers on GPIO 4 is no DS18B20: " + told in error_of(
                bench.read, sensor
            )
    # Beside one that is read, it does not matter.
    bench = Bench()
    other = Ds18b20(bench.ticks_us, family=0x10)
    own = Ds18b20(bench.ticks_us, lambda tick: 20.0, SERIALS[1], 0x22)
    bench.hardware["1-wire", 4] = [other, own]
    sensor = bench.build("t", "sensor", "ds18b20", pin=4)
    assert celsius(bench, sensor) == 20.0
    # What answers with a name that is garbled is not taken for another.
    own.rom = b"\x11" + own.rom[1:]
    other.unplug()
    sensor = bench.build("u", "sensor", "ds18b20", pin=4)
    assert "sends its name with a wrong checksum" in error_of(bench.read, sensor)


def test_one_of_several_that_is_away_gives_no_answer():
    bench, (_, b), sensor = thermometers(2, unique_id="28-060504030201")
    celsius(bench, sensor)
    b.unplug()  # the other one answers to the reset, and nobody to the rest
    assert "gives no answer" in error_of(bench.read, sensor)
    assert "no thermometer 28-060504030201 on GPIO 4" in error_of(bench.read, sensor)
    b.plug()
    celsius(bench, sensor)


def test_a_thermometer_without_a_supply_wire_is_told():
    bench, (device,), sensor = thermometers(1)
    device.parasite = True
    for _ in range(3):
        assert "reads 85 °C for lack of power: connect its supply" in error_of(bench.read, sensor)


def test_a_temperature_that_is_none_is_not_given():
    bench, (device,), sensor = thermometers(1)
    for value in (-56.0, 126.0, 2047.0):
        device.celsius = lambda tick, value=value: value
        assert "which it cannot measure" in error_of(bench.read, sensor)
    device.celsius = lambda tick: 125.0
    assert celsius(bench, sensor) == 125.0


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
    device.take = take
    assert celsius(bench, sensor) == 20.0
    # Twice in a row, each after a whole conversion: it is so warm.
    bench, (device,), sensor = thermometers(1)
    device.celsius = lambda tick: 85.0
    assert "reads 85 °C" in error_of(bench.read, sensor)
    for _ in range(3):
        assert celsius(bench, sensor) == 85.0
    bench, (device,), sensor = thermometers(1, resolution_bits=9)
    celsius(bench, sensor)
    device.plug()
    assert "lost its resolution" in error_of(bench.read, sensor)
    celsius(bench, sensor)


def test_dht22_has_tenths_and_a_sign_and_dht11_has_whole_numbers():
    bench = Bench()
    sensor = bench.build("d", "sensor", "dht22", pin=4)
    device = bench.hardware["dht", 4]
    for device.complement in (False, True):
        for now in ((23.4, 56.7), (-5.5, 99.9), (0.0, 0.1), (-0.1, 0.0), (-40, 5), (80, 100)):
            device.weather = lambda tick, now=now: now
            bench.now += 2000000
            got = bench.read(sensor)["readings"]
            assert near(got["celsius"], now[0], 0.01) and near(got["humidity_pct"], now[1], 0.01)
    sensor = bench.build("e", "sensor", "dht11", pin=5)
    bench.hardware["dht", 5].weather = lambda tick: (23.4, 56.7)
    assert bench.read(sensor) == {"readings": {"celsius": 23.0, "humidity_pct": 56.0}}


def test_a_dht_gives_nothing_that_it_cannot_measure():
    for model, frame, told in (
        ("dht22", b"\xff\xff\xff\xff", "d: the dht22 on GPIO 4 sends only ones"),
        ("dht22", b"\0\0\0\0", "d: the dht22 on GPIO 4 sends only zeros"),
        ("dht11", b"\0\0\0\0", "d: the dht11 on GPIO 4 sends only zeros"),
        ("dht22", b"\x02\x33\x03\x21", "sends what it cannot measure"),  # 80.1 °C
        ("dht22", b"\x02\x33\x81\x91", "sends what it cannot measure"),  # -40.1 °C
        ("dht22", b"\x02\x33\xfe\x6f", "sends what it cannot measure"),  # the same
        ("dht22", b"\x03\xe9\x00\x10", "sends what it cannot measure"),  # 100.1 %
        ("dht22", b"\x29\0\x14\0", "answers as a dht11 does: set its model to dht11"),
        ("dht11", b"\x02\x13\0\xeb", "answers as a dht22 does: set its model to dht22"),
        ("dht11", b"\x02\x13\x80\x0b", "answers as a dht22 does: set its model to dht22"),
        ("dht11", b"\x29\0\x3d\0", "sends what it cannot measure"),  # 61 °C
        ("dht11", b"\x60\0\x14\0", "sends what it cannot measure"),  # 96 %
    ):
        bench = Bench()
        sensor = bench.build("d", "sensor", model, pin=4)
        device = bench.hardware["dht", 4]
        device.frame = frame
        assert told in error_of(bench.read, sensor), frame
        device.frame = None
        bench.now += 2000000
        bench.read(sensor)
    device.frame = b"\x29\0\x05\x83"  # a newer DHT11 in the cold
    bench.now += 2000000
    assert near(bench.read(sensor)["readings"]["celsius"], -5.3, 0.01)


def test_a_dht_that_is_read_every_ten_minutes_is_not_read_too_often():
    bench = Bench()
    source = bench.build("d", "sensor", "dht22", pin=4).source("Readings", {})
    for _ in range(6):
        bench.now += 600000000  # ticks wrap in 18 minutes
        payload(source)


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
    for metres, told in (
        (0.01, "an echo after 58 µs: something is nearer than 2 cm, or disturbs it"),
        (0.0, "an echo after 0 µs"),
        (4.8, "no echo from within 4.5 m: nothing is in reach"),
    ):
        echo.metres = metres
        assert told in error_of(payload, source)
    echo.metres = 6
    told = error_of(payload, source)
    assert told == "u (trigger GPIO 26, echo GPIO 35): no echo within 30 ms: nothing is in reach"
    echo.wired = False
    assert "no pulse on echo: check the sensor's 5 V supply" in error_of(payload, source)
    bench.hardware["pin", 35].level = 1
    assert "echo is high before the burst" in error_of(payload, source)
    # Its pulse for no echo is 38 ms: it may end after the reading did, or be no distance.
    bench.hardware["pin", 35].level = 0
    echo.wired, echo.metres = True, 100
    assert "no echo within 30 ms" in error_of(payload, source)
    bench.hardware["pin", 35].level = 1
    assert "echo is still high: nothing was in reach" in error_of(payload, source)
    bench.hardware["pin", 35].level = 0
    patient = bench.build(
        "p", "sensor", "ultrasonic", trigger_pin=25, echo_interrupt_pin=33, timeout_ms=100
    )
    bench.read(patient)
    bench.hardware["echo", 25, 33].metres = 100
    assert "no echo from within 4.5 m" in error_of(bench.read, patient)
    assert source.min_period_us == 60000
