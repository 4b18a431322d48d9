"""Whatever a device sends, its driver gives a value within the range of its datasheet, or a
ResourceError with a cause; and what was wrong with one reading is not with the next.
"""

import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cistern import borrow
from cistern.port.simulated.bme280 import Bme280
from cistern.port.simulated.ina219 import Ina219
from cistern.port.simulated.mpu6050 import Mpu6050
from cistern.port.simulated.nmea import sentence
from cistern.port.simulated.onewire import Ds18b20, crc8
from cistern.resources import ResourceError
from cistern.resources.nmea import Fix
from devices import Bench

BUS = ("i2c", 22, 21)
# Patterns that devices send when something is wrong with them, and any others.
bytes_of = lambda n: (  # noqa: E731
    st.binary(min_size=n, max_size=n)
    | st.sampled_from([0, 0xFF, 0x80, 0x7F, 1]).map(lambda b: bytes([b]) * n)
    | st.lists(st.sampled_from([0, 0xFF, 0x80, 0x7F]), min_size=n, max_size=n).map(bytes)
)
many = settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(autouse=True, scope="module")
def no_collection():
    """Making a component borrows modules, which collects garbage first: 50 ms here, each time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(borrow.gc, "collect", lambda: 0)
        yield


def numbers(value):
    """All numbers in a reading."""
    if isinstance(value, dict):
        return [n for v in value.values() for n in numbers(v)]
    return [] if isinstance(value, bool) else [value]


def reading(bench, component, method="Readings"):
    """A reading, or None and its cause; every number in it is one."""
    try:
        got = bench.read(component, method)
    except ResourceError as e:
        assert len(str(e)) > 20
        return None
    for n in numbers(got):
        assert isinstance(n, (int, float)) and math.isfinite(n), got
    return got


def on_bus(make, kind, model, **attributes):
    bench = Bench()
    chip = make(bench.ticks_us)
    bench.hardware[BUS] = [chip]
    component = bench.build("x", kind, model, i2c_bus="bus", **attributes)
    bench.now += 1000000
    return bench, chip, component


@many
@given(low=bytes_of(26), high=bytes_of(7), data=bytes_of(8), whole=st.booleans())
def test_a_bme280_with_any_calibration_and_any_data(low, high, data, whole):
    bench, chip, sensor = on_bus(Bme280, "sensor", "bme280")
    good = bytes(chip.registers)
    finish = chip._finish

    def finish_with():
        finish()
        chip.registers[0xF7:0xFF] = data

    chip._finish = finish_with
    if not whole:
        chip.registers[0x88:0xA2], chip.registers[0xE1:0xE8] = low, high
    got = reading(bench, sensor)
    if got:
        got = got["readings"]
        assert -40 <= got["celsius"] <= 85 and 299 <= got["pressure_hpa"] <= 1101
        assert 0 <= got["humidity_pct"] <= 100
    chip._finish = finish
    chip.registers[0x88:0xA2], chip.registers[0xE1:0xE8] = good[0x88:0xA2], good[0xE1:0xE8]
    sane = [reading(bench, sensor) for _ in range(2)]
    # A calibration that gave values is not looked at again.
    assert sane[1] or got, (low, high, data)


@many
@given(registers=st.dictionaries(st.integers(0, 5), st.integers(0, 0xFFFF)))
def test_an_ina219_with_any_registers(registers):
    bench, chip, sensor = on_bus(Ina219, "power_sensor", "ina219")
    value = chip._value
    for first in (True, False):  # from the start, or after a reading
        if not first:
            chip._value = value
            bench.now += 10000  # it may have been reset just now
            assert reading(bench, sensor)
        chip._value = lambda register: registers.get(register, value(register))
        for method in ("Voltage", "Current", "Readings"):
            got = reading(bench, sensor, method)
            for name, n in (got or {}).get("readings", got or {}).items():
                low, high = {"volts": (0, 26), "amps": (-3.2, 3.2), "amperes": (-3.2, 3.2)}.get(
                    name, (-84, 84)
                )
                assert low <= n <= high, (name, n)
    chip._value = value
    assert [reading(bench, sensor) for _ in range(2)][1]


@many
@given(data=bytes_of(14), who=st.integers(0, 255), power=st.integers(0, 255))
def test_an_mpu6050_with_any_registers(data, who, power):
    bench, chip, sensor = on_bus(Mpu6050, "movement_sensor", "mpu6050")
    load = chip.load
    fixed = {0x3B + i: byte for i, byte in enumerate(data)}
    fixed.update({0x75: who, 0x6B: power})
    chip.load = lambda register: fixed.get(register, load(register))
    sensor.is_set_up = False
    for method in ("Readings", "LinearAcceleration", "AngularVelocity"):
        for n in numbers(reading(bench, sensor, method) or {}):
            assert -250 <= n <= 250
    chip.load = load
    bench.now += 1000000
    reading(bench, sensor)  # it may have to be set up again, and wakes then
    bench.now += 200000
    assert reading(bench, sensor)


@many
@given(scratchpad=bytes_of(8), right=st.booleans(), crc=st.integers(0, 255))
def test_a_ds18b20_with_any_scratchpad(scratchpad, right, crc):
    bench = Bench()
    device = Ds18b20(bench.ticks_us, lambda tick: 21.0)
    bench.hardware["1-wire", 4] = [device]
    sensor = bench.build("t", "sensor", "ds18b20", pin=4)
    give = device.give
    sent = scratchpad + bytes([crc8(scratchpad) if right else crc])

    def said():
        if device._command != 0xBE:
            return give()
        device._at += 1
        return sent[device._at - 1] if device._at <= 9 else 255

    device.give = said
    for _ in range(3):
        got = reading(bench, sensor)
        if got:
            assert crc8(sent) == 0 and any(sent)
            assert -55 <= got["readings"]["celsius"] <= 125
    device.give = give
    assert [reading(bench, sensor) for _ in range(3)][2] == {"readings": {"celsius": 21.0}}


@many
@given(frame=bytes_of(4), model=st.sampled_from(["dht11", "dht22"]))
def test_a_dht_with_any_frame(frame, model):
    bench = Bench()
    sensor = bench.build("d", "sensor", model, pin=4)
    bench.hardware["dht", 4].frame = frame
    got = reading(bench, sensor)
    if got:
        low, high = (-20, 60.9) if model == "dht11" else (-40, 80)
        assert low <= got["readings"]["celsius"] <= high
        assert 0 <= got["readings"]["humidity_pct"] <= 100 and any(frame)
    bench.hardware["dht", 4].frame = None
    bench.now += 2000000
    assert reading(bench, sensor)


@many
@given(raw=st.integers(0, 65535), metres=st.floats(0, 1000), timeout=st.integers(1, 100), rssi=...)
def test_what_is_wired_to_single_pins(raw: int, metres: float, timeout: int, rssi: int):
    bench = Bench()
    bench.build("b", "board", "esp32", analogs=[{"name": "a", "pin": 34}])
    tmp36 = bench.build("t", "sensor", "tmp36", analog_reader="a")
    analog = bench.build("v", "sensor", "analog", analog_reader="a")
    bench.hardware["adc", 34].raw = raw
    for n in numbers(reading(bench, tmp36) or {}):
        assert -40 <= n <= 125
    for n in numbers(reading(bench, analog) or {}):
        assert 0 < n < 3.3
    sonar = bench.build(
        "u", "sensor", "hcsr04", trigger_pin=26, echo_interrupt_pin=35, timeout_ms=timeout
    )
    bench.pin(35, "in", "down")
    reading(bench, sonar)
    bench.hardware["echo", 26, 35].metres = metres
    for n in numbers(reading(bench, sonar) or {}):
        assert 0.019 <= n <= 4.52
    bench.wifi_rssi = lambda: rssi
    for n in numbers(reading(bench, bench.build("w", "sensor", "wifi-rssi")) or {}):
        assert -127 <= n < 0


odd = st.sampled_from(
    [
        "",
        "0",
        "-",
        "nan",
        "inf",
        "-0",
        "1e5",
        "9" * 40,
        ".",
        "+1",
        "1_0",
        " 1",
        "٣",
        "\0",
        "A",
        "N",
    ]
)
field = odd | st.text("0123456789.-NSEWAV", max_size=12) | st.text(max_size=6)


def sane(fix):
    """That no value of a Fix is one that a receiver cannot mean."""
    assert -90 <= fix.latitude <= 90 and -180 <= fix.longitude <= 180
    assert fix.altitude is None or -1000 <= fix.altitude <= 50000
    assert fix.speed is None or 0 <= fix.speed < 515
    assert fix.heading is None or 0 <= fix.heading < 360
    for value in (fix.latitude, fix.longitude, fix.altitude, fix.speed, fix.heading):
        assert value is None or math.isfinite(value)


GOOD = "GPGGA,160545,5008.6263,N,01422.4224,E,1,03,3.6,280.2,M,45.0,M,,"
RMC = "GPRMC,165904.00,A,4807.85300,N,01131.85129,E,10.0,90.0,011217,,,A"


@many
@given(base=st.sampled_from([GOOD, RMC]), at=st.integers(1, 12), text=field, more=field)
def test_a_sentence_with_any_field(base, at, text, more):
    values = base.split(",")
    values[at] = text
    values[1 + at % 12] = more if len(more) % 2 else values[1 + at % 12]
    body = ",".join(values).replace("\r", "").replace("\n", "").encode("utf-8", "replace")
    total = 0
    for byte in body:
        total ^= byte
    fix = Fix()
    for _ in range(3):
        fix.feed(b"$" + body + b"*%02X\r\n" % total)
        sane(fix)
    fix.feed(sentence(GOOD))
    assert fix.has_position and round(fix.altitude, 1) == 280.2


@many
@given(chunks=st.lists(st.binary(max_size=200) | field.map(str.encode), max_size=10))
def test_any_bytes_of_a_receiver(chunks):
    fix = Fix()
    for chunk in chunks:
        fix.feed(chunk)
        sane(fix)
        assert len(fix._line) <= 120
    fix.feed(b"\r\n" + sentence(GOOD))
    assert fix.has_position


@pytest.mark.parametrize("cut", range(0, 75, 3))
def test_a_sentence_that_is_cut_or_damaged_at_any_byte(cut):
    whole = sentence(GOOD)
    for damaged in (whole[:cut] + whole[cut + 1 :], whole[:cut] + b"\0" + whole[cut + 1 :]):
        fix = Fix()
        fix.feed(damaged)
        assert not fix.has_position or cut >= len(whole) - 2
