"""What the machine code of the firmware costs: lines of it that run, as bench/expand.py counts.

On CPython the plain twins run instead; each call of one is charged what its fast twin would take
for the same work. That is counted once for each form of readings, by running the fast twin as the
Python that it also is.
"""

import array
import builtins
import collections
import contextlib
import importlib.util
import sys
import types

from bench.expand import CALL_US, NATIVE_US, Bytes
from support import LIB
from timing.clock import FAR

# What put() takes beside its lines: record/fast.py has the same sum in its docstring.
_PUT_US = CALL_US + 1.7 + 3.3
_VALUE_US = 1.0
_FLOAT_US = 10.0
_F32 = 5
_NUMBERS = (2, 5, 12)  # bool, f32, u16: what it writes itself
# Entering machine code with arguments that are unpacked for it.
_ENTER_US = 15.0
_READINGS = 16
# Calls that are remembered: the pieces of more than an upload of 32 KB.
_DONE = 64


def _words(buffer):
    return buffer if isinstance(buffer, array.array) else memoryview(buffer).cast("I")


@contextlib.contextmanager
def _viper():
    """viper's names, for as long as its source is read or run as Python."""
    module = types.ModuleType("micropython")
    module.viper = lambda function: function
    sys.modules["micropython"] = module
    builtins.ptr8, builtins.ptr32, builtins.uint = (lambda b: b), _words, int
    try:
        yield
    finally:
        del sys.modules["micropython"], builtins.ptr8, builtins.ptr32, builtins.uint


def _load(path):
    spec = importlib.util.spec_from_file_location("fast_" + path.parent.name, path)
    module = importlib.util.module_from_spec(spec)
    with _viper():
        spec.loader.exec_module(module)
    return module


def _lines(function, *args):
    """How many lines of it run."""
    code, count = function.__code__, 0

    def trace(frame, event, arg):
        nonlocal count
        count += event == "line" and frame.f_code is code
        return trace

    before = sys.gettrace()
    with _viper():
        sys.settrace(trace)
        try:
            function(*args)
        finally:
            sys.settrace(before)
    return count


class _Ring:
    """A ring of readings of one form, without the rest of a Ring."""

    def __init__(self, codes):
        self._codes = codes
        need = 8 + 4 * len(codes)
        self.buffer = Bytes(need * _READINGS * 2)
        size = len(self.buffer)
        self._s = array.array("i", [0, 0, size, 0, 0, 0, 0, 0, 0, 0, 0, size, len(codes), need, 0])
        self._values = [1.5 if c == _F32 else 1 for c in codes]

    def fill(self, put):
        with _viper():
            for i in range(_READINGS):
                put(self, i * 10000 + i % 7, 50 + i % 3, self._values)
        return self


class Native:
    """Charges a clock. twins: for instrument.Hook."""

    def __init__(self, clock):
        self._clock = clock
        self._t = clock.t
        self._record = _load(LIB / "cistern/record/fast.py")
        self._cloud = _load(LIB / "cistern/cloud/fast.py")
        self._known = {}
        self.twins = {
            "cistern.record.plain": self._wrap_record,
            "cistern.cloud.plain": self._wrap_cloud,
            "cistern.record.rows_plain": self._wrap_rows,
            "cistern.resources.mpu_plain": self._wrap_mpu,
        }

    @contextlib.contextmanager
    def _silent(self):
        """What a twin calls of the firmware's Python is machine code's own work on the chip."""
        t = self._t
        before = t[:]
        t[1] = FAR
        t[3] = collections.Counter()
        try:
            yield
        finally:
            t[:] = before

    def _charge(self, us):
        self._clock.charge(us, "machine code")

    def put_us(self, codes):
        """Ring.put() of a reading with values of these codes."""
        key = "put", codes
        if not all(c in _NUMBERS for c in codes):
            return _PUT_US  # it leaves them to Python, which is charged as such
        if key not in self._known:
            ring = _Ring(codes)
            lines = sum(
                _lines(self._record.put, ring, i * 10000, 50, ring._values)
                for i in range(_READINGS)
            )
            floats = sum(c == _F32 for c in codes)
            us = _PUT_US + _VALUE_US * len(codes) + _FLOAT_US * floats
            self._known[key] = us + lines / _READINGS * NATIVE_US
        return self._known[key]

    def run_us(self, size):
        """A reading of so many bytes of values that run() makes part of a parcel."""
        key = "run", size
        if key not in self._known:
            ring = _Ring(bytes([2]) * size).fill(self._record.put)
            out = Bytes(4096)
            lines = _lines(self._record.run, ring._s, ring.buffer, out, 0, 10000)
            self._known[key] = lines / _READINGS * NATIVE_US
        return self._known[key]

    def _wrap_record(self, module):
        known = {}
        put, run = module.put, module.run

        def charged_put(ring, tick, latency, values):
            codes = ring._codes
            if codes not in known:
                known[codes] = self.put_us(codes)
            self._charge(known[codes])
            put(ring, tick, latency, values)

        def charged_run(state, ring, out, pos, period):
            with self._silent():
                end = run(state, ring, out, pos, period)
            count = state[6]
            size = max((end - pos) // count - 2, 0) if count else 0
            self._charge(_ENTER_US + count * self.run_us(size))
            return end

        module.put, module.run = charged_put, charged_run
        module.is_short = lambda x: True  # on the chip every float is, and nobody asks

    def _wrap_cloud(self, module):
        known, done = {}, {}
        expand = module.expand

        def charged(out, p, state, payload, form, items):
            key = bytes(form), bytes(items)
            if key not in known:
                known[key] = self._expand_us(state, payload, form, items)
            # An upload expands twice, to count and to send; here once is enough.
            call = p, bytes(state), bytes(payload), key
            if call in done:
                end, made, after = done.pop(call)
                out[p:end] = made
                state[:] = after
            else:
                with self._silent():
                    end = expand(out, p, state, payload, form, items)
                done[call] = end, bytes(out[p:end]), state[:]
                if len(done) > _DONE:
                    del done[next(iter(done))]
            self._charge(_ENTER_US + (end - p) * known[key])
            return end

        module.expand = charged

    def _expand_us(self, state, payload, form, items):
        """For each byte that comes out."""
        out = Bytes(1024 + 2 * len(form))
        args = out, 0, array.array("I", state), bytes(payload), bytes(form), bytes(items)
        lines = _lines(self._cloud.expand, *args)
        end = self._cloud_end(args, len(out))
        return lines * NATIVE_US / end if end else 0

    def _cloud_end(self, args, size):
        state = array.array("I", args[2])
        # Where it stopped: run it once more from the state that it was given.
        with _viper():
            return self._cloud.expand(Bytes(size), 0, state, *args[3:]) or size

    def _wrap_rows(self, module):
        """Readings of floats from a block: a dozen lines, and three for each value."""
        put_rows = module.put_rows

        def charged(ring, times, values, n):
            with self._silent():
                put_rows(ring, times, values, n)
            lines = n * (12 + 3 * len(ring.shape.codes))
            self._charge(_ENTER_US + lines * NATIVE_US)

        module.put_rows = charged

    def _wrap_mpu(self, module):
        """Samples from a FIFO: so many lines for each."""

        def charged(function, at, lines):
            def call(*args):
                self._charge(_ENTER_US + args[at] * lines * NATIVE_US)
                return function(*args)

            return call

        module.keep = charged(module.keep, 3, 40)
        module.take = charged(module.take, 2, 3)
        module.scale = charged(module.scale, 2, 90)
