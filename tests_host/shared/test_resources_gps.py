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


def fix_of(*bodies):
    """What a Fix makes of sentences, each of which gets its checksum."""
    fix = Fix()
    for body in bodies:
        fix.feed(sentence(body))
    return fix


GGA = "GPGGA,160545,%s,%s,%s,%s,%s,%s,0.9,%s,M,45.0,M,,"
GOOD = ("5008.6263", "N", "01422.4224", "E", "1", "03", "280.2")


def gga(**changed):
    names = ("lat", "ns", "lon", "ew", "quality", "satellites", "altitude")
    return GGA % tuple([changed.get(name, GOOD[i]) for i, name in enumerate(names)])


def test_a_field_that_is_no_value_takes_its_sentence_along():
    assert fix_of(gga()).has_position
    bad = ["9000.0001", "9100.0000", "9990.0", "5060.0000", "-508.6263", "508.6263", "5008,6263"]
    bad += [
        "",
        "50086263",
        "+508.6263",
        "5 08.6263",
        "nan",
        "inf",
        "5e08.626",
        "5008.62-3",
        "5008.6.3",
    ]
    rows = [{"lat": text} for text in bad]
    bad = ["18000.0001", "18099.0000", "01460.0", "1422.4224", "-1422.4224", "", "0x422.42"]
    rows += [{"lon": text} for text in bad]
    rows += [{"ns": text} for text in ("", "X", "n", "NS", "E")]
    rows += [{"ew": text} for text in ("", "X", "e", "EW", "N")]
    rows += [{"altitude": t} for t in ("nan", "inf", "-inf", "-", "--1", "1e3", "99999", "-2000")]
    for row in rows:
        fix = fix_of(gga(**row))
        assert not fix.has_position and fix.sentences == 1 and fix.epochs == 0, row
    for edge in ({"lat": "9000.0000"}, {"lon": "18000.0"}, {"lat": "0000.0000"}, {"lat": "5008"}):
        assert fix_of(gga(**edge)).has_position, edge
    fix = fix_of(gga(lat="0000.1", ns="S", altitude="-3.5", satellites="x"))
    assert near(fix.latitude, -0.00166667, 1e-7) and near(fix.altitude, -3.5, 1e-6)
    assert fix.satellites == 0


def test_an_altitude_that_there_is_none_of_is_not_zero():
    fix = fix_of(gga(altitude=""))
    assert fix.has_position and fix.altitude is None
    feet = "GPGGA,160545,5008.6263,N,01422.4224,E,1,03,3.6,919.3,F,147.6,F,,"
    assert fix_of(feet).has_position and fix_of(feet).altitude is None
    assert fix_of(gga(), gga(altitude="")).altitude is None  # nor the one before


RMC = "GPRMC,165904.00,%s,4807.85300,N,01131.85129,E,%s,%s,011217,,,%s"


def test_speed_and_heading_are_numbers_in_their_range_or_none():
    fix = fix_of(RMC % ("A", "10.0", "360.0", "A"))
    assert near(fix.speed, 5.14444, 0.0001) and fix.heading == 0
    for speed, heading in (("nan", "1"), ("1", "inf"), ("-1", "1"), ("1", "361"), ("1001", "1")):
        fix = fix_of(RMC % ("A", speed, heading, "A"))
        assert fix.speed is None and fix.heading is None, (speed, heading)
    fix = fix_of(RMC % ("A", "", "", "A"))
    assert fix.speed is None and fix.heading is None
    for status, mode in (("V", "A"), ("A", "N"), ("", ""), ("a", "A")):
        fix = fix_of(gga(), RMC % (status, "1", "1", mode))
        assert not fix.has_position and fix.speed is None, (status, mode)


def test_a_receiver_that_sends_rmc_alone_or_gns_tells_its_position():
    fix = fix_of(RMC % ("A", "10.0", "90.0", "A"))
    assert fix.epochs == 0  # a GGA may follow
    fix.feed(sentence(RMC % ("A", "10.0", "90.0", "A")))
    assert fix.epochs == 1 and near(fix.latitude, 48.130883, 1e-5) and fix.altitude is None
    fix = fix_of(RMC % ("V", "", "", "N"), RMC % ("V", "", "", "N"))
    assert fix.epochs == 1 and not fix.has_position
    gns = "GNGNS,094527.00,5121.23094,N,01159.45751,E,%s,23,0.79,89.3,45.0,,0000,V"
    fix = fix_of(gns % "DAAN")
    assert fix.epochs == 1 and fix.satellites == 23 and near(fix.altitude, 89.3, 0.001)
    for mode in ("NNNN", "NN", ""):
        fix = fix_of(gns % mode)
        assert fix.epochs == 1 and not fix.has_position, mode
    # Ten of one in the time of one of the other: what the other tells is kept.
    fix = fix_of(gga(), *[RMC % ("A", "10.0", "90.0", "A")] * 9)
    assert near(fix.altitude, 280.2, 0.001) and fix.epochs == 1
    fix = fix_of(RMC % ("A", "10.0", "90.0", "A"), *[gga()] * 10)
    assert near(fix.speed, 5.14444, 0.0001)
    fix.feed(sentence(gga()))  # by now there are no RMC any more
    assert fix.speed is None


def test_what_lines_may_look_like():
    good = sentence(gga())
    assert good[-2:] == b"\r\n"
    star = good.rindex(b"*")
    for line in (
        good[:star] + good[star:].lower(),
        good[:-2] + b" \r\n",
        good[:-2] + b"$GPRMC,",  # the next one follows at once
        b"\xb5\x62\x01\x07\x24\x00$$\n" + good,  # u-blox's own protocol in between
        b"\\g:1-2-73874*5A\\" + good,
    ):
        fix = Fix()
        fix.feed(line)
        assert fix.has_position, line
    body = good[1:star]
    for line in (
        b"$" + body + b"\r\n",  # no checksum
        b"$" + body + b"*\r\n",
        good[: star + 2] + b"\r\n",
        good[: star + 1] + b" 1\r\n",
        good[: star + 3] + b"0\r\n",
        sentence("PUBXGGA" + gga()[5:]),
        sentence("PUGGA" + gga()[5:]),
        sentence("GGA" + gga()[5:]),
        b"$" + body + b"\0*" + good[star + 1 :],
        sentence(gga(satellites="1" * 80)),
        good[:star] + b"\r\n" + good[star:],
    ):
        fix = Fix()
        fix.feed(line)
        assert not fix.has_position, line
    # A byte that the checksum cannot see twice: 0xE9 in two fields.
    odd = sentence(gga()).replace(b"160545", b"1\xe9\xe945")
    total = 0
    for byte in odd[1 : odd.rindex(b"*")]:
        total ^= byte
    fix = Fix()
    fix.feed(odd[: odd.rindex(b"*") + 1] + b"%02X\r\n" % total)
    assert not fix.has_position
    # What is too long is not taken for its beginning.
    fix = Fix()
    fix.feed(b" " * 0 + sentence(gga())[:-2] + b" " * 100 + b"x\r\n")
    assert not fix.has_position


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


def test_what_the_receiver_sends_instead_of_a_position_is_told():
    for says, told in (
        (lambda second, fix: b"", "says nothing: check its power, that its TX is wired to rx_pin"),
        (lambda second, fix: b"\xf8\x80x\0" * 50, "says nothing that is NMEA: check baud_rate"),
        (
            lambda second, fix: sentence("GPGSA,A,3,05,13,,,,,,,,,,,1.62,0.92,1.33"),
            "sends sentences, but none that tells a position (GGA, GNS, or RMC twice)",
        ),
        (
            lambda second, fix: b"$" + gga().encode() + b"\r\n",
            "sends sentences without a checksum: switch the checksum on",
        ),
        (
            lambda second, fix: sentence(gga(lat="9990.0")),
            "sends sentences, but none that tells a position",
        ),
    ):
        bench, uart, sensor = receiver(steady)
        uart.says = says
        assert told in error_of(bench.read, sensor, "Position")
        uart.says = sentences
        bench.now += 1000000
        assert bench.read(sensor, "Position")["altitude_m"] == 12


def test_a_position_without_altitude_and_a_speed_without_direction():
    bench, uart, sensor = receiver(steady)
    uart.says = lambda second, fix: (
        sentence(gga(altitude="")) + sentence(RMC % ("A", "10.0", "", "A"))
    )
    assert sorted(bench.read(sensor, "Position")) == ["coordinate"]
    bench.now += 1000000  # its RMC comes after that
    assert "its speed has no direction" in error_of(bench.read, sensor, "LinearVelocity")
    readings = bench.read(sensor)["readings"]
    assert sorted(readings) == ["position"] and sorted(readings["position"]) == ["coordinate"]
    uart.says = lambda second, fix: sentence(gga())
    bench.now += 20000000
    for _ in range(15):
        bench.now += 1000000
        assert near(bench.read(sensor, "Position")["altitude_m"], 280.2, 0.001)
    assert "no speed: the receiver sends no RMC" in error_of(bench.read, sensor, "LinearVelocity")


def test_an_old_position_is_none_after_ten_minutes_too():
    bench, uart, sensor = receiver(steady)
    bench.read(sensor, "Position")
    uart.plugged = False
    bench.now += 600000000  # ticks seem to be before the last sentence
    uart._run()
    uart._waiting = b""
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
