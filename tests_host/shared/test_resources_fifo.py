"""Blocks from the FIFO of an MPU-6050: every sample once, with the time at which it was taken."""

from array import array

from cistern.capture.blocks import Blocks
from cistern.capture.collector import REASONS
from cistern.port.simulated.mpu6050 import Mpu6050
from cistern.record import Reader, Ring, Shape, Stream, read_definition
from cistern.resources import ResourceError
from devices import Bench, error_of, near

WHY = "it counts MicroPython's heap"
MICROPYTHON_ONLY = {
    "test_taking_blocks_allocates_nothing": WHY,
    "test_capturing_blocks_allocates_nothing": WHY,
}
G = 9.80665


class Imu:
    """A chip on a bench, whose acceleration on x tells the number of the sample, in mg."""

    def __init__(self, ppm=0, hz=1000, method="LinearAcceleration", who=0x68):
        self.bench = Bench(1000)
        self.chip = Mpu6050(self.bench.ticks_us, self.motion, ppm, who)
        self.bench.hardware["i2c", 22, 21] = [self.chip]
        self.component = self.bench.build(
            "imu", "movement_sensor", "mpu6050", i2c_bus="bus", accelerometer_range_g=16
        )
        self.bench.now += 200000
        self.source = self.component.source(method, {})
        self.times = array("i", [0] * self.source.block)
        self.values = array("f", [0.0] * self.source.block * len(self.source.fields))
        self.period = self.source.start_block(1000000 // hz)
        self.begun = self.bench.now
        self.origin = self.bench.now - self.chip.now()

    def motion(self, us):
        number = round((us - self.chip._started) / self.chip.period_us())
        return (number % 16000 - 8000) / 1000, 0.0, 1.0, 0.25, 0.0, 0.0

    def sample(self, g):
        """The number of a sample from its value."""
        return round(g / G * 1000) + 8000

    def take(self):
        """All that there is: [(number of the sample, its time on the bench)]."""
        got = []
        width = len(self.source.fields)
        while True:
            n = self.source.read_block(self.times, self.values)
            for i in range(n):
                # Ticks of the last 2**29 µs, as times of the bench.
                age = self.bench.ticks_diff(self.bench.ticks_us(), self.times[i])
                got.append((self.sample(self.values[i * width]), self.bench.now - age))
            if n < self.source.block:
                return got

    def wait(self, us):
        """Let time pass, and take what came."""
        self.bench.now += us
        return self.take()

    def balance(self, readings):
        """How many samples that the chip took since start_block() are neither among so many
        readings nor counted as lost, nor younger than a period.
        """
        return (self.bench.now - self.begun) // self.period - (readings + self.source.lost)

    def when(self, number):
        """When a sample was really taken, as a time of the bench."""
        return self.origin + self.chip.sample_time(number)


def test_every_sample_comes_once_and_in_order_whatever_the_rate_and_the_clock():
    for hz, ppm in ((1000, 0), (1000, 20000), (500, -20000), (200, 5000), (100, 0)):
        imu = Imu(ppm, hz)
        assert imu.period == 1000000 // hz
        got = []
        for turn in range(100):
            imu.bench.now += 17000 + 7001 * (turn % 5)
            got += imu.take()
        numbers = [number for number, _ in got]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers))), (hz, ppm)
        # The last look lasted 15 ms at most.
        since = (imu.bench.now - imu.when(numbers[-1])) / 1000
        assert numbers[0] <= 1 and since < 15 + 1000 / hz, (hz, ppm, since)
        assert imu.source.lost == 0


def test_times_are_those_of_the_sensors_clock():
    # The datasheet allows the clock 1 %; a resistor-capacitor clock would be 5 % off.
    for ppm in (0, 300, -9000, 10000, 50000):
        imu = Imu(ppm)
        worst = worst_late = before = 0
        for turn in range(300):
            for number, time in imu.wait(20000 + turn * 37 % 5000):
                error = abs(time - imu.when(number))
                worst = max(worst, error)
                if turn > 150:
                    worst_late = max(worst_late, error)
                assert time > before
                before = time
        # A sample period is 1 ms. The first blocks have only the nominal period to go by.
        assert worst <= 2600, (ppm, worst)
        assert worst_late <= 1100, (ppm, worst_late)


def test_times_do_not_drift_in_twenty_minutes():
    imu = Imu(7000, 100)
    for _ in range(1200):
        imu.bench.now += 1000000
        got = imu.take()
    number, time = got[-1]
    # By then the sample's number on x has wrapped many times.
    behind = (imu.bench.now - imu.when(0)) % (16000 * imu.chip.period_us())
    assert near(behind / imu.chip.period_us() % 16000, number, 2)
    assert 0 <= imu.bench.now - time <= 11000


def test_what_the_fifo_had_no_room_for_is_counted():
    for method, hold in (("LinearAcceleration", 170), ("Readings", 85)):
        imu = Imu(0, 1000, method)
        imu.bench.now += 30000
        readings = len(imu.take())
        assert imu.source.hold_us == hold * 1000 and imu.source.lost == 0
        imu.bench.now += 400000  # an erase of the flash at its slowest
        assert imu.take() == []
        assert near(imu.source.lost, 410, 10) and near(imu.balance(readings), 0, 3)
        imu.bench.now += 50000
        after = imu.take()
        assert len(after) >= 50 and near(imu.balance(readings + len(after)), 0, 25)
        lost = imu.source.lost
        for number, time in after:
            assert near(time, imu.when(number), 2000)
        for _ in range(10):
            imu.bench.now += 50000
            imu.take()
        assert imu.source.lost == lost


def test_two_methods_share_the_fifo_and_each_gets_every_sample():
    imu = Imu(0, 500)
    other = imu.component.source("AngularVelocity", {})
    assert other.start_block(2000) == 2000
    imu.take()
    times, values = array("i", [0] * 32), array("f", [0.0] * 96)
    counts = [0, 0]
    for turn in range(50):
        imu.bench.now += 21000
        counts[0] += len(imu.take())
        if turn % 3 == 2:
            n = 32
            while n == 32:
                n = other.read_block(times, values)
                counts[1] += n
                for i in range(n):
                    assert near(values[3 * i], 0.25, 0.01) and values[3 * i + 1] == 0
    assert counts[0] > 500 and near(counts[1], counts[0], 30), counts
    assert other.lost == imu.source.lost == 0 and near(imu.balance(counts[0]), 0, 5)
    # One that is not asked for long loses what the other's reading pushed out, and knows it.
    taken = sum(1 for _ in range(50) for _ in imu.wait(21000))
    n = other.read_block(times, values)
    assert n == 32 and near(other.lost, taken + counts[0] - counts[1] - 128, 5), other.lost


def test_both_methods_in_one_reading():
    imu = Imu(0, 1000, "Readings")
    imu.bench.now += 20000
    n = imu.source.read_block(imu.times, imu.values)
    assert near(n, 20, 2)
    for i in range(n):
        assert near(imu.values[6 * i + 2], G, 0.01)
        assert near(imu.values[6 * i + 3], 0.25, 0.01)


def test_rotation_alone():
    bench = Bench(1000)
    motion = (0.0, 0.0, 1.0, 12.0, -34.0, 56.0)
    bench.hardware["i2c", 22, 21] = [Mpu6050(bench.ticks_us, lambda us: motion)]
    imu = bench.build("imu", "movement_sensor", "mpu6050", i2c_bus="bus")
    source = imu.source("AngularVelocity", {})
    bench.now += 200000
    source.start_block(1000)
    bench.now += 40000
    times, values = array("i", [0] * 32), array("f", [0.0] * 96)
    assert source.read_block(times, values) == 32
    for i in range(96):
        assert near(values[i], motion[3 + i % 3], 0.01)


def test_a_second_method_at_another_rate_is_refused():
    imu = Imu(0, 500)
    other = imu.component.source("AngularVelocity", {})
    told = error_of(other.start_block, 1000)
    assert "imu: its FIFO has one rate, 500 Hz by now, not 1000 Hz" in told
    imu.source.stop_block()
    assert other.start_block(1000) == 1000
    assert other.read_block(imu.times, imu.values) == 0


def test_the_period_is_the_nearest_that_the_chip_can_do():
    imu = Imu()
    imu.source.stop_block()
    for wanted, done in ((500, 1000), (1000, 1000), (1400, 1000), (3333, 3000), (999999, 256000)):
        assert imu.source.start_block(wanted) == done
        imu.source.stop_block()


def test_a_chip_that_is_unplugged_counts_what_is_missing_and_goes_on():
    imu = Imu()
    imu.wait(20000)
    before = imu.bench.now
    imu.chip.unplug()
    for _ in range(3):
        assert "no answer from address 0x68" in error_of(imu.wait, 20000)
    imu.chip.plug()
    assert "is waking up" in error_of(imu.wait, 0)
    assert imu.wait(100000) == []
    assert near(imu.source.lost, (imu.bench.now - before) // 1000, 7) and imu.source.lost >= 60
    lost = imu.source.lost
    assert len(imu.wait(20000)) >= 20 and imu.source.lost == lost


def test_a_chip_whose_power_was_away_is_set_up_again():
    imu = Imu()
    imu.wait(20000)
    imu.chip.reset()
    assert "fell asleep: its power was away" in error_of(imu.wait, 100000)
    # What it samples while its gyroscope starts is no rotation.
    assert "is waking up" in error_of(imu.wait, 20000)
    assert imu.wait(100000) == []
    assert len(imu.wait(20000)) >= 20
    assert near(imu.source.lost, 225, 6)


def test_the_kin_of_the_chip_has_half_the_fifo_and_its_ranges_are_set_again():
    for who in (0x70, 0x71, 0x98):
        imu = Imu(who=who)
        assert imu.source.hold_us == 85000
        first = imu.wait(60000)
        assert [number for number, _ in first] == list(range(1, len(first) + 1))
        assert imu.wait(90000) == []  # it had room for 85
        assert near(imu.source.lost, 90, 2)
        # After a failure of its power it is awake, and would measure up to 2 g and 250 °/s.
        imu.chip.reset()
        assert "fell asleep: its power was away" in error_of(imu.wait, 100000)
        assert "is waking up" in error_of(imu.wait, 20000)
        imu.wait(100000)
        got = imu.wait(20000)
        assert len(got) >= 20 and near(imu.balance(len(first) + len(got)), 0, 6)
        for number, time in got:
            assert near(time, imu.when(number), 2000)


def test_what_the_gyroscopes_start_costs_is_counted_from_the_first_look_on():
    for before, lost in ((90000, 0), (60000, 40)):
        bench = Bench(1000)
        bench.hardware["i2c", 22, 21] = [Mpu6050(bench.ticks_us)]
        imu = bench.build("imu", "movement_sensor", "mpu6050", i2c_bus="bus")
        source = imu.source("AngularVelocity", {})
        source.start_block(1000)
        times, values = array("i", [0] * 32), array("f", [0.0] * 96)
        bench.now += before
        if lost:
            assert "is waking up" in error_of(source.read_block, times, values)
        bench.now += 100000 - before + lost * 10
        assert source.read_block(times, values) == 0 and near(source.lost, lost, 2), before
        bench.now += 20000
        assert near(source.read_block(times, values), 20, 2)


def test_an_error_of_the_bus_within_a_block_loses_and_repeats_none():
    for at in range(1, 200, 7):
        imu = Imu()
        got = [time for _, time in imu.wait(20000)]
        source, times = imu.source, imu.times
        imu.bench.now += 30000
        imu.chip.fails_in = at
        assert "no answer from address" in error_of(source.read_block, times, imu.values)
        for _ in range(3):
            got += [time for _, time in imu.wait(20000)]
        assert sorted(set(got)) == got, at
        assert near(imu.balance(len(got)), 0, 6), (at, imu.balance(len(got)))


def test_single_readings_go_on_beside_blocks():
    imu = Imu()
    other = imu.component.source("AngularVelocity", {})
    values = [0, 0, 0]
    for _ in range(20):
        imu.bench.now += 20000
        other.read_into(values)
        assert near(values[0], 0.25, 0.01)
        assert len(imu.take()) >= 20


def test_numbers_from_the_chip_become_floats_to_the_last_bit_that_matters():
    try:
        from cistern.resources import mpu_fast as code
    except (ImportError, ValueError):
        from cistern.resources import mpu_plain as code
    raws = [0, 1, -1, 2, 3, 255, 256, -256, 12345, -12345, 32767, -32767, -32768]
    for unit in (16 * G / 32768, 2 * G / 32768, 250 / 32768, 2000 / 32768):
        factor, shift = unit, 0
        while factor < 32768:
            factor, shift = factor * 2, shift + 1
        ring = bytearray(12 * 128)
        for i, raw in enumerate(raws):
            ring[12 * i + 6], ring[12 * i + 7] = raw >> 8 & 255, raw & 255
        values = array("f", [9.0] * 6 * len(raws))
        code.scale(ring, 0, len(raws), 6, values, 3, 6, int(factor + 0.5), shift)
        for i, raw in enumerate(raws):
            assert near(values[6 * i + 3], raw * unit, abs(raw * unit) / 50000), (raw, unit)
            assert values[6 * i + 4] == values[6 * i + 5] == 0 and values[6 * i] == 9


class StillI2C:
    """A bus that gives 20 samples at each look, and allocates nothing."""

    def readfrom_mem_into(self, address, register, buf):
        if register == 0x72:
            buf[0] = 0
            buf[1] = 20 * 6


def test_taking_blocks_allocates_nothing():
    import micropython

    imu = Imu()
    imu.bench.now += 20000
    imu.take()
    now = imu.bench.now
    imu.component.bus.i2c = StillI2C()
    read, times, values = imu.source.read_block, imu.times, imu.values
    count = failed = 0
    micropython.heap_lock()
    try:
        for _ in range(200):
            now += 20000
            imu.bench.now = now
            count += read(times, values)
    except MemoryError:
        failed = 1
    micropython.heap_unlock()
    assert not failed and count == 4000
    assert isinstance(ResourceError("x"), Exception)


class Captured:
    """The acceleration of an Imu, captured by blocks, and what comes out of the ring."""

    def __init__(self, hz=1000, size=16000, method="LinearAcceleration"):
        self.imu = Imu(0, hz, method)
        self.bench, source = self.imu.bench, self.imu.source
        source.stop_block()
        period = source.start_block(1000000 // hz)
        self.stream = Stream("rdk:component:movement_sensor", "imu", "LinearAcceleration", {})
        self.ring = Ring(self.stream, size, period, Shape(source.fields))
        self.c = Blocks("imu/x", source, self.ring, (period, 0, 1), self.bench)
        self.got = []

    def run(self, us):
        """Serve for so long, as the engine does."""
        end = self.bench.now + us
        while self.bench.now < end:
            wait = self.bench.ticks_diff(self.c.tick, self.bench.ticks_us())
            self.bench.now = min(self.bench.now + max(wait, 0), end)
            self.c.serve()
            self.take()

    def take(self):
        """Empty the ring: [(number of the sample, its time)]."""
        buf = bytearray(2048)
        while True:
            sealed = self.ring.seal(buf, self.bench.ticks_us(), self.bench.now)
            if not sealed:
                return
            shape = read_definition(sealed.definition)[1]
            for requested, received, values in Reader(shape, sealed.payload):
                assert received == requested
                self.got.append((self.imu.sample(values[0]), requested))
            self.ring.release()

    def lost(self):
        """{reason: readings}."""
        lost = self.c.lost
        return {r: lost[4 * i + 3] for i, r in enumerate(REASONS) if lost[4 * i + 3]}


def test_a_collector_of_blocks_keeps_every_sample_with_its_time():
    for hz in (1000, 200):
        made = Captured(hz)
        made.run(3000000)
        numbers = [number for number, _ in made.got]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        assert near(len(numbers), 3 * hz, 0.03 * hz) and made.c.captured == len(numbers)
        assert (made.c.late, made.c.missed, made.lost()) == (0, 0, {})
        for number, time in made.got[len(made.got) // 2 :]:
            assert near(time, made.imu.when(number), 1100), (hz, number)


def test_a_block_is_fetched_before_the_sensor_has_to_drop_one():
    for hz in (1000, 250, 125):
        for method in ("LinearAcceleration", "Readings"):
            made = Captured(hz, method=method)
            wait = made.bench.ticks_diff(made.c.tick, made.bench.ticks_us())
            assert 5000 < wait <= 0.75 * made.imu.source.block * 1000000 / hz
            assert wait <= made.imu.source.hold_us // 4


def test_what_a_stall_cost_is_counted_as_stalled():
    made = Captured()
    made.run(500000)
    made.bench.now += 400000  # an erase of the flash at its slowest
    made.run(500000)
    assert list(made.lost()) == ["stalled"] and made.lost()["stalled"] == made.c.missed
    assert near(made.c.missed, 400, 40)
    assert near(made.c.captured + made.c.missed, 1400, 40)
    before = made.c.missed
    made.run(300000)
    assert made.c.missed == before


def test_a_chip_that_is_away_misses_readings_as_time_goes_by_and_once_each():
    made = Captured()
    made.run(500000)
    made.imu.chip.unplug()
    made.run(1000000)
    assert near(made.c.missed, 1000, 30) and "no answer from address" in made.bench.lines[-1][1]
    made.run(1000000)
    assert near(made.c.missed, 2000, 30) and len(made.bench.lines) == 1
    made.imu.chip.plug()
    made.run(500000)
    assert list(made.lost()) == ["source_error"]
    # 100 ms are those in which its gyroscope starts.
    assert near(made.c.missed, 2120, 30)
    assert near(made.c.captured + made.c.missed, 3000, 30)


def test_a_short_failure_costs_nothing_that_the_sensor_kept():
    made = Captured()
    made.run(500000)
    read, failures = made.imu.source.read_block, [2]

    def failing(times, values):
        if failures[0]:
            failures[0] -= 1
            raise OSError(5, "EIO")
        return read(times, values)

    made.imu.source.read_block = failing
    made.run(500000)
    assert not failures[0] and made.c.missed == 0 and near(made.c.captured, 1000, 30)


def test_stopping_gives_the_sensor_back():
    made = Captured()
    made.run(100000)
    made.c.stop()
    made.c.stop()
    values = [0, 0, 0]
    made.imu.source.read_into(values)
    assert near(values[2], G, 0.01)
    # Nobody is there any more whose rate it must have.
    assert made.imu.component.source("AngularVelocity", {}).start_block(5000) == 5000


def test_rows_are_kept_as_single_readings_are():
    try:
        from cistern.record.rows_fast import put_rows
    except (ImportError, ValueError):
        from cistern.record.rows_plain import put_rows
    made = Captured(size=1000)
    source = made.imu.source
    mask = (1 << 30) - 1
    start = mask - 100000
    parcels = []
    for whole in (True, False):
        ring = Ring(made.stream, 1000, 1000, Shape(source.fields))
        times = array("i", [0] * 20)
        values = array("f", [0.0] * 60)
        for block in range(6):  # more than there is room for, and across the wrap
            for i in range(20):
                times[i] = start + 1000 * (20 * block + i) & mask
                for k in range(3):
                    values[3 * i + k] = (block - 3) * 1.25 + i * 0.5 + k
            if whole:
                put_rows(ring, times, values, 20)
            else:
                for i in range(20):
                    ring.put(times[i], 0, list(values[3 * i : 3 * i + 3]))
        parcel = ring.seal(bytearray(2048), start + 120000 & mask, 120000 + (1 << 31))
        assert ring.overwritten + ring.readings == 120 and 40 < ring.readings < 55
        shape = read_definition(parcel.definition)[1]
        parcels.append([row[:2] + tuple(row[2]) for row in Reader(shape, parcel.payload)])
    # put() keeps a word more free where it looks at each value.
    rows, single = parcels
    assert rows[-40:] == single[-40:] and abs(len(rows) - len(single)) <= 1


def test_capturing_blocks_allocates_nothing():
    import micropython

    made = Captured()
    made.run(100000)
    made.imu.component.bus.i2c = StillI2C()
    c, bench, now = made.c, made.bench, made.bench.now
    before = c.captured
    failed = 0
    micropython.heap_lock()
    try:
        for _ in range(200):
            now += 20000
            bench.now = now
            c.serve()
    except MemoryError:
        failed = 1
    micropython.heap_unlock()
    assert not failed and c.captured - before == 4000 and made.ring.overwritten > 0
