"""Hardware for tests: a board whose time is set by hand, and whose devices are those that the
simulator has, register by register (cistern.port.simulated), with their faults.

    bench = Bench()
    bench.hardware["i2c", 22, 21] = [Bme280(bench.ticks_us)]
    sensor = bench.build("room", "sensor", "bme280", i2c_bus="bus")
    bench.read(sensor)                    # the payload; bench.now has passed by what it took
    bench.hardware["i2c", 22, 21][0].unplug()

Runs on both interpreters.
"""

from cistern import resources
from cistern.config.entries import Component
from cistern.port.pc import ticks_diff
from cistern.port.simulated import SimulatedBoard
from cistern.record import Shape
from cistern.resources import catalog

TICKS = (1 << 30) - 1


class Bench(SimulatedBoard):
    """A port in virtual time: a transfer takes what it takes on a bus, a sleep what is asked for.

    now: µs; add to it to let time pass. lines: (level, text) of what was logged. made: components
    by name; a board with an I2C bus named "bus" (SDA 21, SCL 22) is there from the start.
    """

    ticks_diff = staticmethod(ticks_diff)

    def __init__(self, now=0):
        self.now = now
        self.lines = []
        self.made = {}
        bus = {"name": "bus", "data_pin": 21, "clock_pin": "22"}
        self.build("board", "board", "esp32", i2cs=[bus])

    def charge(self, us):
        """Time that the hardware takes."""
        self.now += us

    def ticks_us(self):
        """Wraps at 2**30, as on every port."""
        return self.now & TICKS

    def uptime_us(self):
        """Does not wrap."""
        return self.now

    async def sleep_ms(self, ms):
        """Let the time pass."""
        self.now += ms * 1000

    def mem_free(self):
        """A plausible number."""
        return 100000

    def urandom(self, n):
        """Always the same."""
        return bytes(range(n))

    def log(self, level, text):
        """Keep it."""
        self.lines.append((level, text))

    def build(self, name, kind, model, **attributes):
        """Check the attributes and make a component beside those there are."""
        problems = catalog.check("rdk:component:" + kind, model, attributes)
        assert not problems, problems
        path = f"components[{len(self.made)}]"
        component = Component(name, "rdk:component:" + kind, model, attributes, (), path)
        self.made[name] = catalog.build(component, self, self.made)
        return self.made[name]

    def read(self, component, method="Readings", params=None):
        """One reading, as it is sent: the dict that becomes SensorData.struct."""
        return payload(component.source(method, params or {}))


def payload(source):
    """Read a source once."""
    if not source.fields:
        return run(source.read()) if source.waits else source.read()
    values = [None] * len(source.fields)
    done = source.read_into(values)
    if source.waits:
        run(done)
    return Shape(source.fields).payload(values)


def run(coroutine):
    """What a coroutine returns that never waits for anything but virtual time."""
    try:
        coroutine.send(None)
    except StopIteration as e:
        return e.value
    raise AssertionError("it waits for something else")


def error_of(call, *args):
    """The sentence of the ResourceError that a call raises."""
    try:
        call(*args)
    except resources.ResourceError as e:
        return str(e)
    raise AssertionError("no ResourceError")


def near(a, b, tolerance):
    """Whether two numbers are within `tolerance`."""
    return abs(a - b) <= tolerance
