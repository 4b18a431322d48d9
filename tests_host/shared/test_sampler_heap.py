"""A thousand readings a second of an ADC take nothing from the heap, whatever the engine is at."""

WHY = "it measures MicroPython's heap"
MICROPYTHON_ONLY = {
    "test_a_timer_reads_an_adc_without_allocating": WHY,
    "test_nor_while_the_engine_has_the_ring": WHY,
    "test_nor_where_it_comes_late": WHY,
}

READINGS = 60


class Clock:
    """A port with timers that are called by hand, and an ADC that stands still."""

    def __init__(self):
        self.now = 1000

    def ticks_us(self):
        return self.now

    def ticks_diff(self, a, b):
        return ((a - b + (1 << 29)) & 0x3FFFFFFF) - (1 << 29)

    def uptime_us(self):
        return self.now

    def timer(self, period_us, callback):
        return self

    def restart(self):
        pass

    def read_u16(self):
        return 12345


def sampler():
    from cistern.capture.sampler import Sampler
    from cistern.record import Ring, Shape, Stream
    from cistern.resources.board import AnalogSource

    port = Clock()
    source = AnalogSource(port)
    stream = Stream("rdk:component:board", "b", "Analogs", {"reader_name": "a"})
    ring = Ring(stream, 2000, 1000, Shape(source.fields))
    return port, Sampler("b", source, ring, (1000, 0, 1), port)


def without_heap(port, call, step):
    """Call it so often with the heap locked; each time `step` µs later."""
    import micropython

    for _ in range(2):  # the first time, what is made once is made
        n = 0
        while n < READINGS:
            port.now += step
            micropython.heap_lock()
            try:
                call()
            finally:
                micropython.heap_unlock()
            n += 1


def test_a_timer_reads_an_adc_without_allocating():
    port, c = sampler()
    without_heap(port, c.sample, 1000)
    assert c.captured == 2 * READINGS and c.missed == 0


def test_nor_while_the_engine_has_the_ring():
    port, c = sampler()

    def held():
        c.lock()
        c.sample()
        c.unlock()

    without_heap(port, held, 1000)
    assert c.captured == c.ring.readings == 2 * READINGS


def test_nor_where_it_comes_late():
    port, c = sampler()
    without_heap(port, c.sample, 2700)
    assert c.captured == 2 * READINGS and c.late and c.missed > READINGS
