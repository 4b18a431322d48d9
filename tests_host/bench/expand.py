"""What it costs to make protobuf of a reading: counted, with the chip's cost table; and measured.

    python tests_host/bench/expand.py

Counted: the lines of Python that run for a parcel. Machine code (cloud/fast.py is run here as the
Python that it also is) takes 0.06 µs a line: the table has 0.18 µs for a turn of a loop of three,
a test, a store into a bytearray and an increment. Bytecode takes 4.9 µs a line, as such a turn
there; a call of a function of ours 7.0 more, a piece 7.8 for its memoryview. An upload expands
twice, once to count.
Measured: MicroPython on this machine, for how much faster the fast way is than the generic one.
"""

import sys

SHAPES = (
    ("Analogs", [("value",)], "u16", [100 * 331]),
    ("Gpios", [("high",)], "bool", [True]),
    ("Readings, a float", [("readings", "celsius")], "f32", [21.5]),
    ("TicksCount", [("ticks",)], "int", [123456]),
    ("vector of 3 floats", [("angular_velocity", k) for k in "xyz"], "f32", [0.5, -9.75, 0.0]),
    ("Readings, 20 floats", [("readings", f"field_{k}") for k in range(20)], "f32", [1.5] * 20),
)
READINGS = 100
BAR_US = 120
LINE_US = 4.9
CALL_US = 9.2 - 2.2
SLICE_US = 7.8
NATIVE_US = 0.18 / 3
UTC = 1795365111000000


def parcel(paths, kind, values):
    """(definition, payload) of READINGS readings at 100 Hz, times as uneven as they are."""
    from cistern.record import Ring, Shape, Stream

    shape = Shape([(path, kind) for path in paths])
    ring = Ring(Stream("rdk:component:sensor", "s", "Readings"), 16000, 10000, shape)
    for i in range(READINGS):
        ring.put(i * 10000 + i * 7919 % 40, 30 + i * 31 % 60, values)
    sealed = ring.seal(bytearray(16000), READINGS * 10000, READINGS * 10000)
    assert sealed.readings == READINGS
    return sealed.definition, bytes(sealed.payload)


def generic(payload, shape, buf):
    """What a reading takes that the fast way does not."""
    from cistern.cloud.rare import sensor_data
    from cistern.record import Reader

    for requested, received, values in Reader(shape, payload):
        sensor_data(UTC + requested, UTC + received, shape.payload(values), buf)


def measured():
    """Print µs a reading of both ways, on MicroPython."""
    import gc
    import time

    from cistern.cloud.expand import PIECE, Expander
    from cistern.record import read_definition

    for name, paths, kind, values in SHAPES:
        definition, payload = parcel(paths, kind, values)
        shape = read_definition(definition)[1]
        buf = bytearray(PIECE)
        expander = Expander(definition, buf)
        best = [1e9, 1e9]
        for _ in range(30):
            gc.collect()
            start = time.ticks_us()
            for _ in expander.pieces(payload, UTC):
                pass
            middle = time.ticks_us()
            generic(payload, shape, buf)
            end = time.ticks_us()
            best[0] = min(best[0], time.ticks_diff(middle, start))
            best[1] = min(best[1], time.ticks_diff(end, middle))
        print(f"{name}\t{best[0] / READINGS}\t{best[1] / READINGS}")


class Counts:
    """Lines and calls of the device's code, while it is traced."""

    def __init__(self):
        self.native = self.lines = self.calls = 0

    def __call__(self, frame, event, arg):
        path = frame.f_code.co_filename
        if "cistern" not in path:
            return None
        self.calls += event == "call" and not path.endswith("fast.py")
        return self._native if path.endswith("fast.py") else self._line

    def _native(self, frame, event, arg):
        self.native += event == "line"
        return self._native

    def _line(self, frame, event, arg):
        self.lines += event == "line"
        return self._line


class Bytes(bytearray):
    """A buffer into which a store cuts off what is above 8 bits, as the processor's does."""

    def __setitem__(self, i, x):
        super().__setitem__(i, x & 255 if isinstance(x, int) else x)


def machine_code():
    """expand() of fast.py, as Python."""
    import builtins
    import types

    viper = types.ModuleType("micropython")
    viper.viper = lambda function: function
    sys.modules["micropython"] = viper
    builtins.ptr8 = builtins.ptr32 = builtins.uint = int
    from cistern.cloud.fast import expand

    return expand


def counted():
    """Print µs a reading, by the table; False if one is above the bar."""
    import cistern.cloud.expand as module

    module.expand = machine_code()
    print("a reading            native lines  calls  once us  twice us")
    fine = True
    for name, paths, kind, values in SHAPES:
        definition, payload = parcel(paths, kind, values)
        expander = module.Expander(definition, Bytes(module.PIECE))
        counts = Counts()
        sys.settrace(counts)
        pieces = sum(1 for _ in expander.pieces(payload, UTC))
        sys.settrace(None)
        n = counts.native, counts.lines, counts.calls, pieces
        native, lines, calls, pieces = [x / READINGS for x in n]
        us = native * NATIVE_US + lines * LINE_US + calls * CALL_US + pieces * SLICE_US
        print(f"{name:20} {native:6.0f} {lines:5.2f} {calls:6.2f} {us:8.1f} {2 * us:9.1f}")
        fine = fine and (2 * us <= BAR_US or len(paths) > 3)
    print(f"bar: {BAR_US} us a reading of one field or a vector")
    return fine


def main():
    """On CPython: both parts; the exit status is 1 above the bar."""
    import os
    import subprocess
    from pathlib import Path

    sys.path.insert(0, str(Path(__file__).parents[1]))
    from support import LIB, micropython_command

    sys.path.insert(0, str(LIB))
    fine = counted()
    command = micropython_command()
    if command:
        env = dict(os.environ, MICROPYPATH=f".frozen:{LIB}")
        done = subprocess.run(
            command + ["-X", "heapsize=8M", __file__],  # noqa: RUF005 - MicroPython reads this too
            env=env,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            print(done.stdout, done.stderr)
            return 1
        print("MicroPython here       fast us  generic us")
        for line in done.stdout.splitlines():
            name, fast, slow = line.split("\t")
            fast, slow = float(fast), float(slow)
            print(f"{name:20} {fast:9.2f} {slow:11.2f}   1 : {slow / fast:.0f}")
    return 0 if fine else 1


if sys.implementation.name == "micropython":
    measured()
elif __name__ == "__main__":
    sys.exit(main())
