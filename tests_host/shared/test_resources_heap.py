"""What a reading takes from the heap: nothing, or a box for each float (MicroPython's floats are
objects). The hardware here is still, so that only the models are measured.
"""

from devices import Bench

WHY = "it measures MicroPython's heap"
MICROPYTHON_ONLY = {
    "test_readings_of_whole_numbers_and_levels_allocate_nothing": WHY,
    "test_readings_of_floats_allocate_their_boxes_only": WHY,
}


class Still:
    """Any pin, converter or counter."""

    number = 1

    def init(self, *_):
        pass

    def value(self):
        return 1

    def read_u16(self):
        return 12345

    def read_uv(self):
        return 750000


class StillI2C:
    """Any chip."""

    def readfrom_mem_into(self, address, register, buf):
        for i in range(len(buf)):
            buf[i] = 0x12


def bench_of_still_things():
    bench = Bench()
    for key in (("adc", 34), ("pin", 27), ("encoder", 32, 33)):
        bench.hardware[key] = Still()
    bench.wifi_rssi = lambda: -60
    board = bench.build("b", "board", "esp32", analogs=[{"name": "a", "pin": 34}])
    return bench, board


def test_readings_of_whole_numbers_and_levels_allocate_nothing():
    import micropython

    bench, board = bench_of_still_things()
    encoder = bench.build("e", "encoder", "incremental", pins={"a": 32, "b": 33})
    servo = bench.build("s", "servo", "gpio", pin=13, starting_position_deg=90)
    motor = bench.build("m", "motor", "gpio", pins={"a": 25, "b": 26}, encoder="e")
    rssi = bench.build("w", "sensor", "wifi-rssi")
    for source in (
        board.source("Analogs", {"reader_name": "a"}),
        board.source("Gpios", {"pin_name": "27"}),
        encoder.source("TicksCount", {}),
        servo.source("Position", {}),
        motor.source("Position", {}),
        motor.source("IsPowered", {}),
        rssi.source("Readings", {}),
    ):
        values = [0] * len(source.fields)
        read = source.read_into
        failed = False
        micropython.heap_lock()
        try:
            for _ in range(10):
                read(values)
        except MemoryError:
            failed = True
        micropython.heap_unlock()
        assert not failed, source.fields


def test_readings_of_floats_allocate_their_boxes_only():
    import gc

    bench, _ = bench_of_still_things()
    imu = bench.build("i", "movement_sensor", "mpu6050", i2c_bus="bus")
    power = bench.build("p", "power_sensor", "ina219", i2c_bus="bus")
    bench.read(power)
    bench.now += 200000  # the gyroscope has started
    bench.made["board"].i2cs["bus"].i2c = StillI2C()
    tmp36 = bench.build("t", "sensor", "tmp36", analog_reader="a", num_readings=15)
    # A box is one block of the heap, 32 bytes where words have 64 bits; a result may need one
    # or two on its way.
    for source, boxes in (
        (imu.source("LinearAcceleration", {}), 3),
        (imu.source("Readings", {}), 6),
        (power.source("Voltage", {}), 1),
        (power.source("Current", {}), 2),
        (power.source("Readings", {}), 4),
        (tmp36.source("Readings", {}), 3),
    ):
        values = [0] * len(source.fields)
        read = source.read_into
        read(values)
        gc.collect()
        gc.disable()
        before = gc.mem_alloc()
        for _ in range(100):
            read(values)
        used = gc.mem_alloc() - before
        gc.enable()
        assert used <= 100 * 32 * boxes + 320, (source.fields, used / 3200)
