"""A bus that fails in the middle, and wires that are held: what a device's readings are then, and
that all is well when the cause is gone.
"""

from cistern.port.simulated.bme280 import Bme280
from cistern.port.simulated.ina219 import Ina219
from cistern.port.simulated.mpu6050 import Mpu6050
from cistern.resources import ResourceError
from devices import Bench, error_of, payload

CHIPS = (
    (Bme280, "sensor", "bme280", "Readings"),
    (Ina219, "power_sensor", "ina219", "Readings"),
    (Ina219, "power_sensor", "ina219", "Current"),
    (Mpu6050, "movement_sensor", "mpu6050", "Readings"),
)
LONGEST = 70  # bytes that set-up and a reading move, at most


def a_chip(make, kind, model, method):
    """A bench, its chip, and a source of it that was not read yet."""
    bench = Bench()
    chip = make(bench.ticks_us)
    bench.hardware["i2c", 22, 21] = [chip]
    sensor = bench.build("x", kind, model, i2c_bus="bus")
    bench.now += 1000000
    return bench, chip, sensor.source(method, {})


def told(source):
    """What a reading is, or its error."""
    try:
        return payload(source)
    except ResourceError as e:
        return str(e)


def awake(bench, source):
    """A reading; an MPU-6050 may say first that it is waking up."""
    got = told(source)
    if "is waking up" in got:
        bench.now += 100000
        got = told(source)
    assert isinstance(got, dict), got


def test_an_error_of_the_bus_at_any_byte_costs_the_reading_that_it_hits():
    for row in CHIPS:
        for before in (False, True):
            hit = 0
            for at in range(LONGEST):
                bench, chip, source = a_chip(*row)
                if before:
                    awake(bench, source)
                chip.fails_in = at
                got = told(source)
                if chip.fails_in is not None:
                    assert isinstance(got, dict)  # the reading ended before that byte
                    continue
                hit += 1
                assert "no answer from address" in got, (row, at, got)
                awake(bench, source)
            assert hit > 2, (row, before)


def test_a_wire_that_is_held_is_told_and_the_chip_works_when_it_is_let_go():
    for row in CHIPS:
        for stuck, word in ((0, "zeros"), (0xFF, "ones")):
            for before in (False, True):
                bench, chip, source = a_chip(*row)
                if before:
                    awake(bench, source)
                chip.stuck = stuck
                error_of(payload, source)
                # The first may be taken for a chip that was reset; then it is looked at.
                for _ in range(3):
                    said = error_of(payload, source)
                    assert "sends only %s: check its power and wires" % word in said, (row, said)
                chip.stuck = None
                awake(bench, source)
