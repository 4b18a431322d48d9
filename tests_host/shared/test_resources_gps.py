"""The satellite receiver: sentences, what they say, and what is made of silence."""

from cistern.port.simulated.nmea import sentence, sentences
from cistern.resources.nmea import Fix
from devices import Bench, error_of, near, payload


def test_sentences_of_a_receivers_manual():
    fix = Fix()
    # NMEA 0183 as quoted in u-blox's protocol description (UBX-13003221), "GGA" and "RMC".
    fix.feed(b"$GPGGA,092725.00,4717.11399,N,00833.91590,E,1,08,1.01,499.6,M,48.0,M,,*5B\r\n")
    assert fix.has_position and fix.satellites == 8
    assert near(fix.latitude, 47.2852332, 0.000004) and near(fix.longitude, 8.5652650, 0.000002)
    assert near(fix.altitude, 499.6, 0.01)
    fix.feed(b"$GPRMC,083559.00,A,4717.11437,N,00833.91522,E,0.004,77.52,091202,,,A*57\r\n")
    assert near(fix.speed, 0.002058, 0.00001) and near(fix.heading, 77.52, 0.001)
    assert fix.sentences == 2 and fix.epochs == 1


def test_south_and_west_are_negative():
    fix = Fix()
    fix.feed(sentence("GNGGA,1,3353.123456,S,15112.5,W,2,12,0.5,-3.5,M,,,,"))
    assert near(fix.latitude, -33.885391, 0.000004) and near(fix.longitude, -151.208333, 0.00001)
    assert near(fix.altitude, -3.5, 0.01)


def test_what_is_garbled_is_left_out_and_the_next_sentence_is_not():
    good = sentence("GPGGA,1,4717.11399,N,00833.91590,E,1,08,1.01,499.6,M,48.0,M,,")
    for bad in (
        good.replace(b"4717", b"4718"),  # the checksum is wrong
        good[:30],  # cut short, and followed by the next
        b"$GPGGA*56\r\n$*00\r\n*\r\n\r\n\n",
        sentence("GPGGA,1,47x7.1,N,00833.9,E,1,08,1.01,499.6,M,48.0,M,,"),
        sentence("GPGGA,1,,,,,1,,,"),
        b"$GPGGA," + b"1" * 5000,
        bytes(range(256)),
    ):
        fix = Fix()
        fix.feed(bad)
        assert not fix.has_position and len(fix._line) <= 128, bad
        fix.feed(good)
        assert fix.has_position and near(fix.latitude, 47.285233, 0.00001), bad


def receiver(track, **attributes):
    """A bench with a receiver that follows track(second), on GPIO 35."""
    bench = Bench()
    sensor = bench.build("gps", "movement_sensor", "gps-nmea", rx_pin=35, tx_pin=17, **attributes)
    bench.hardware["uart", 35].track = track
    return bench, bench.hardware["uart", 35], sensor


def steady(second):
    return -33.5, 151.25, 12.0, 10.0, 90.0


def test_position_velocity_and_heading():
    bench, _, sensor = receiver(steady)
    got = bench.read(sensor, "Position")
    assert near(got["coordinate"]["latitude"], -33.5, 0.00001)
    assert near(got["coordinate"]["longitude"], 151.25, 0.00002) and got["altitude_m"] == 12
    velocity = bench.read(sensor, "LinearVelocity")["linear_velocity"]
    assert near(velocity["x"], 5.1444, 0.001) and near(velocity["y"], 0, 0.001)
    assert bench.read(sensor, "CompassHeading") == {"value": 90.0}
    readings = bench.read(sensor)["readings"]
    assert readings["position"] == got and readings["compass_heading"] == 90
    assert readings["linear_velocity"] == velocity


def test_a_reading_is_never_older_than_two_seconds_at_any_rate():
    for period in (100000, 1000000, 5000000, 60000000):
        bench, _, sensor = receiver(lambda second: (1.0, 2.0, float(second), 1.0, 1.0))
        source = sensor.source("Position", {})
        for _ in range(20):
            bench.now += period
            second = payload(source)["altitude_m"]
            age = bench.now / 1000000 - second
            assert 0 < age < 2.2, (period, age)


def test_a_reading_waits_only_where_it_must():
    bench, _, sensor = receiver(steady)
    source = sensor.source("Position", {})
    payload(source)
    for _ in range(20):
        bench.now += 100000
        before = bench.now
        payload(source)
        assert bench.now == before
    bench.now += 60000000
    before = bench.now
    payload(source)
    assert 0 < bench.now - before < 1500000


def test_without_a_fix_there_is_no_position():
    bench, uart, sensor = receiver(lambda second: None)
    told = error_of(bench.read, sensor, "Position")
    assert told.startswith("gps: no position yet: the antenna needs sight of the sky")
    uart.track = steady
    bench.now += 1500000
    assert bench.read(sensor, "Position")["altitude_m"] == 12
    uart.track = lambda second: None
    bench.now += 1500000
    assert "no position yet" in error_of(bench.read, sensor, "Position")


def test_a_receiver_that_stands_still_has_no_heading():
    bench, _, sensor = receiver(lambda second: (1.0, 2.0, 3.0, 0.0, None))
    assert "no heading yet" in error_of(bench.read, sensor, "CompassHeading")
    readings = bench.read(sensor)["readings"]
    assert sorted(readings) == ["linear_velocity", "position"]
    assert readings["linear_velocity"] == {"x": 0.0, "y": 0.0, "z": 0.0}


def test_silence_is_told_with_its_pins_and_ends_when_the_receiver_is_back():
    bench, uart, sensor = receiver(steady, baud_rate=4800)
    uart.plugged = False
    before = bench.now
    told = error_of(bench.read, sensor, "Position")
    assert "gps: the receiver on GPIO 35 (TX to it is GPIO 17, 4800 baud) says nothing" in told
    assert bench.now - before < 3000000
    uart.plugged = True
    assert bench.read(sensor, "Position")["altitude_m"] == 12
    uart.plugged = False
    bench.now += 10000000
    assert "says nothing" in error_of(bench.read, sensor, "Position")


def test_it_has_no_rotation_and_gives_its_port_back():
    _, uart, sensor = receiver(steady)
    told = error_of(sensor.source, "AngularVelocity", {})
    assert told.startswith("gps-nmea has no AngularVelocity; it has: Readings, Position")
    sensor.close()
    assert not uart.running


def test_the_simulated_receiver_says_what_a_real_one_does():
    lines = sentences(1, steady(1)).split(b"\r\n")
    assert [line[:6] for line in lines[:-1]] == [b"$GPRMC", b"$GPVTG", b"$GPGGA", b"$GPGSA"]
    assert all(len(line) <= 80 for line in lines)  # NMEA 0183: 82 with the line end
