"""Encoder, motor and servo."""

from cistern.resources import catalog
from devices import Bench, error_of, near, payload


def problems(kind, model, **attributes):
    return ["%s: %s" % problem for problem in catalog.check(kind, model, attributes)]


def test_an_encoder_counts_in_both_directions_and_gives_its_counter_back():
    bench = Bench()
    encoder = bench.build("e", "encoder", "incremental", pins={"a": 32, "b": "33"})
    counter = bench.hardware["encoder", 32, 33]
    for count in (0, 5, -70000, 1 << 31):
        counter.count = count
        assert bench.read(encoder, "TicksCount") == {"ticks": count}
    encoder.close()
    assert not counter.running
    assert problems("encoder", "incremental", pins={"a": 4, "b": "4"}) == [
        "pins.b: a and b are the same pin"
    ]
    assert problems("encoder", "incremental", pins={"a": 4}) == [
        "pins.b: missing: give a GPIO number"
    ]


def motor(pins, **attributes):
    bench = Bench()
    return bench, bench.build("m", "motor", "gpio", pins=pins, **attributes)


def levels(bench, *pins):
    return [bench.hardware["pin", pin].level for pin in pins]


def duties(bench, *pins):
    return [round(bench.hardware["pwm", pin].duty_u16() / 655.35) for pin in pins]


def test_a_motor_with_a_direction_pin():
    bench, m = motor({"dir": 26, "pwm": 27}, pwm_freq=20000)
    assert bench.hardware["pwm", 27].freq() == 20000
    assert levels(bench, 26) == [0] and duties(bench, 27) == [0]
    m.set_power(0.5)
    assert levels(bench, 26) == [1] and duties(bench, 27) == [50]
    assert bench.read(m, "IsPowered") == {"is_on": True, "power_pct": 0.5}
    m.set_power(-1)
    assert levels(bench, 26) == [0] and duties(bench, 27) == [100]
    m.set_power(0)
    assert bench.read(m, "IsPowered") == {"is_on": False, "power_pct": 0.0}
    assert duties(bench, 27) == [0]


def test_a_motor_with_two_direction_pins_and_one_turned_round():
    bench, m = motor({"a": 25, "b": 26, "pwm": 27})
    m.set_power(0.25)
    assert levels(bench, 25, 26) == [1, 0] and duties(bench, 27) == [25]
    m.set_power(-0.25)
    assert levels(bench, 25, 26) == [0, 1] and duties(bench, 27) == [25]
    m.set_power(0)
    assert levels(bench, 25, 26) == [0, 0]
    bench, m = motor({"a": 25, "b": 26, "pwm": 27}, dir_flip=True)
    m.set_power(0.25)
    assert levels(bench, 25, 26) == [0, 1]


def test_a_motor_with_two_pins_alone():
    bench, m = motor({"a": 25, "b": 26})
    m.set_power(0.75)
    assert duties(bench, 25, 26) == [75, 0]
    m.set_power(-0.75)
    assert duties(bench, 25, 26) == [0, 75]
    m.close()
    assert duties(bench, 25, 26) == [0, 0]
    assert not bench.hardware["pwm", 25].running and not bench.hardware["pwm", 26].running


def test_a_motors_power_has_bounds_and_its_pins_are_a_set():
    _, m = motor({"a": 25, "b": 26})
    assert "m: a power of 1.5 is not between -1 and 1" in error_of(m.set_power, 1.5)
    assert problems("motor", "gpio", pins={"a": 4}) == [
        "pins: give dir and pwm, or a, b and pwm, or a and b"
    ]
    assert problems("motor", "gpio", pins={"a": 4, "b": "4"}) == [
        "pins: each needs a pin of its own"
    ]
    (found,) = problems("motor", "gpio", pins={"dir": 34, "pwm": 4})
    assert found.startswith("pins.dir: GPIO 34 can only be an input")


def test_a_motors_position_is_its_encoders_even_when_that_is_made_later():
    bench, m = motor({"dir": 26, "pwm": 27}, encoder="e", ticks_per_rotation=400)
    told = error_of(m.source, "Position", {})
    assert told.startswith("m has no position: its attribute `encoder` must name a component")
    bench.build("e", "encoder", "incremental", pins={"a": 32, "b": 33})
    bench.hardware["encoder", 32, 33].count = 1000
    assert bench.read(m, "Position") == {"position": 2.5}
    ticks = bench.build("n", "motor", "gpio", pins={"a": 18, "b": 19}, encoder="e")
    assert bench.read(ticks, "Position") == {"position": 1000}


def test_a_servo_is_where_it_was_moved_to():
    bench = Bench()
    servo = bench.build("s", "servo", "gpio", pin=13)
    source = servo.source("Position", {})
    assert "s: the servo on GPIO 13 has no signal yet" in error_of(payload, source)
    for angle in (0, 1, 45, 90, 179, 180):
        servo.move(angle)
        width = bench.hardware["pwm", 13].duty_ns() / 1000
        assert near(width, 500 + angle * 2000 / 180, 1)
        assert payload(source) == {"position_deg": angle}
    servo.move(500)
    assert payload(source) == {"position_deg": 180}
    servo.move(-5)
    assert payload(source) == {"position_deg": 0}
    for width, angle in ((488, 0), (2512, 180)):  # a PWM whose steps go beyond its ends
        bench.hardware["pwm", 13].duty_ns(width * 1000)
        assert payload(source) == {"position_deg": angle}
    servo.close()
    assert not bench.hardware["pwm", 13].running


def test_a_servo_with_other_limits_starts_where_it_is_told_to():
    bench = Bench()
    limits = {"min_angle_deg": 30, "max_angle_deg": 270, "min_width_us": 1000}
    servo = bench.build(
        "s", "servo", "gpio", pin=13, max_width_us=2000, starting_position_deg=150, **limits
    )
    assert near(bench.hardware["pwm", 13].duty_ns(), 1500000, 1000)
    assert bench.read(servo, "Position") == {"position_deg": 150}
    assert problems("servo", "gpio", pin=13, min_angle_deg=180, starting_position_deg=200) == [
        "max_angle_deg: must be more than min_angle_deg",
        "starting_position_deg: must be from min_angle_deg to max_angle_deg",
    ]
    assert problems("servo", "gpio", pin=13, frequency_hz=450) == [
        "max_width_us: is longer than a period of frequency_hz"
    ]
