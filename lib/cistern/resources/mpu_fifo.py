"""Blocks of samples from the FIFO of an MPU-6050, with the times at which it took them.

The chip's clock is up to some percent off, so it is measured: samples are counted over windows of
the board's clock, up to half a minute long. The phase follows from a bound that every look gives:
the newest sample in the FIFO was taken before it, and less than a period before. So times are
right to within a sample period, grow steadily, and do not drift. All arithmetic is on small ints.
"""

from array import array

from cistern.resources import ResourceError

try:
    from cistern.resources.mpu_fast import keep, scale, take
except (ImportError, ValueError):  # CPython; a port without native code, or code of another one
    from cistern.resources.mpu_plain import keep, scale, take

const = int  # MicroPython's compiler knows const() by its name

_SMPLRT_DIV = const(0x19)
_FIFO_EN = const(0x23)
_ACCEL = const(0x08)
_GYRO = const(0x70)
_USER_CTRL = const(0x6A)
_RESET = const(0x04)
_ON = const(0x40)
_FIFO_COUNT = const(0x72)
_FIFO_R_W = const(0x74)

SLOTS = const(128)  # samples kept here for methods that have not taken them yet: 2 KB
_COUNT = const(0x3FFFFFFF)  # samples are counted in 30 bits, which are a small int
_BURST = const(16)  # samples in one transfer: 192 bytes are 4.4 ms at 400 kHz
_FIRST_WINDOW_US = const(0x10000)  # 65 ms tell the period to 1.5 % at 1 kHz
_LAST_WINDOW_US = const(0x2000000)  # 34 s; sixteenths of them are still a small int
_SILENCE_US = const(50000)


class Fifo:
    """The FIFO of `chip`, an mpu6050.Mpu6050, for several readers at one rate."""

    def __init__(self, chip):
        self._chip = chip
        self._looked = False  # since the first reader began
        self._settled = False  # what is in the FIFO was sampled by a gyroscope that had started
        self._ticks_us = chip.port.ticks_us
        self._diff = chip.port.ticks_diff
        self._readers = []
        self._parts = {}  # reader → [(position in a sample, factor, shift, number of the field)]
        self._taken = {}
        self._period_us = 0
        self._p16 = 0  # measured period in sixteenths of a µs
        self._size = 0
        self._written = 0
        self._last = 0  # tick of the newest sample taken from the chip
        self._window = 0
        self._window_start = self._window_samples = 0
        self._ring = bytearray(12 * SLOTS)
        self._times = array("i", bytes(4 * SLOTS))
        self._count = bytearray(2)
        self._burst = bytearray(12 * _BURST)
        self._views = []

    def start(self, reader, period_us):
        """Add a reader; the period that the chip can do."""
        divider = min(max((period_us + 500) // 1000, 1), 256)
        if self._readers and divider * 1000 != self._period_us:
            raise ResourceError(
                "%s: its FIFO has one rate, %g Hz by now, not %g Hz: capture its methods at the "
                "same capture_frequency_hz"
                % (self._chip.name, 1000000 / self._period_us, 1000000 / period_us)
            )
        if not self._readers:
            self._looked = False
            self._last = self._ticks_us()
            self._p16 = divider * 16000
        if reader not in self._readers:
            self._readers.append(reader)
        parts = []
        for wanted, at, number in ((reader.accel, 0, 0), (reader.gyro, 6, 1)):
            if wanted:
                factor, shift = _fixed(self._chip.scales[number])
                parts.append((at, factor, shift, 3 * len(parts)))
        self._parts[reader] = parts
        self._period_us = divider * 1000
        self._changed()
        if self._chip.is_set_up:
            reader.lost = 0  # it began just now
        return self._period_us

    def stop(self, reader):
        """Remove a reader."""
        if reader in self._readers:
            self._readers.remove(reader)
            self._changed()

    def _changed(self):
        both = any(r.accel for r in self._readers) and any(r.gyro for r in self._readers)
        self._size = 12 if both else 6
        view = memoryview(self._burst)
        self._views = [(n, view[: n * self._size]) for n in (16, 8, 4, 2, 1)]
        for reader in self._readers:
            self._taken[reader] = self._written
        self._chip.is_set_up = False
        self._chip.wake()
        for reader in self._readers:
            reader.hold_us = self._chip.fifo_bytes // self._size * self._period_us

    def setup(self):
        """Configure the FIFO, empty; the chip calls it when it is set up. May raise OSError."""
        put = self._chip.put
        put(_FIFO_EN, 0)
        put(_USER_CTRL, _RESET)
        if self._readers:
            put(_SMPLRT_DIV, self._period_us // 1000 - 1)
            put(_USER_CTRL, _ON)
            accel = any(r.accel for r in self._readers)
            gyro = any(r.gyro for r in self._readers)
            put(_FIFO_EN, (_ACCEL if accel else 0) | (_GYRO if gyro else 0))
        self._settled = not self._chip.waking()
        self._lose(self._ticks_us())

    def _lose(self, now):
        """Count what was not kept since the newest sample, and begin anew at `now`."""
        lost = (self._diff(now, self._last) << 4) // self._p16
        for reader in self._readers:
            reader.lost += lost
        self._last = self._window_start = now
        self._window = _FIRST_WINDOW_US
        self._window_samples = 0

    def read(self, reader, times, values):
        """See mpu6050.Reader.read_block."""
        try:
            self._chip.ready()
            if not self._settled:
                if not self._looked:  # until now, no sample was due to anybody
                    self._last, self._looked = self._ticks_us(), True
                if self._chip.waking():
                    raise self._chip.wrong("is waking up")
                self.setup()
            self._looked = True
            self._look()
        except OSError as e:
            raise self._chip.lost(e) from None
        first = self._taken[reader]
        n = (self._written - first) & _COUNT
        if n > SLOTS:
            reader.lost += n - SLOTS
            first = (first + n - SLOTS) & _COUNT
            n = SLOTS
        if n > reader.block:
            n = reader.block
        take(self._times, first, n, times)
        width = 3 * len(self._parts[reader])
        for at, factor, shift, to in self._parts[reader]:
            scale(self._ring, first, n, at, values, to, width, factor, shift)
        self._taken[reader] = (first + n) & _COUNT
        return n

    def _look(self):
        """Take what the chip has."""
        i2c, address = self._chip.bus.i2c, self._chip.address
        before = self._ticks_us()
        i2c.readfrom_mem_into(address, _FIFO_COUNT, self._count)
        after = self._ticks_us()
        size = self._count[0] << 8 | self._count[1]
        if size >= self._chip.fifo_bytes:
            # The oldest were overwritten, in the middle of a sample: none can be told apart.
            self._chip.see_awake()
            self.setup()
            return
        n = size // self._size
        if n:
            newest = self._time_of_newest(n, before, after)
            self._transfer(i2c, address, n, newest)
        elif self._diff(after, self._last) > _SILENCE_US + 4 * self._period_us:
            self._chip.see_awake()
            self._chip.setup()

    def _time_of_newest(self, n, before, after):
        predicted = self._last + (n * self._p16 >> 4)
        late = self._diff(predicted, after)
        early = self._diff(before, predicted) - (self._p16 >> 4)
        if late > 0:
            predicted -= late
        elif early > 0:
            predicted += early
        return predicted & _COUNT

    def _transfer(self, i2c, address, n, newest):
        """Move n samples into the ring, their times spread evenly from the last to the newest."""
        last = self._last
        span = self._diff(newest, last)
        at = 6 if self._size == 6 and not self._readers[0].accel else 0
        left = n
        for k, view in self._views:
            while left >= k:
                i2c.readfrom_mem_into(address, _FIFO_R_W, view)
                keep(self._burst, self._ring, self._written, k, self._size, at)
                done = n - left
                for i in range(k):
                    slot = (self._written + i) & (SLOTS - 1)
                    self._times[slot] = self._last = (last + span * (done + i + 1) // n) & _COUNT
                self._written = (self._written + k) & _COUNT
                left -= k
        self._window_samples += n
        length = self._diff(newest, self._window_start)
        if length >= self._window:
            self._measure(length)
            self._window_start = newest
            self._window_samples = 0
            self._window = min(self._window * 2, _LAST_WINDOW_US)

    def _measure(self, length):
        """The period over the window that ends; the clock is at most 6 % off."""
        p16 = (length << 4) // self._window_samples
        least = self._period_us * 15
        self._p16 = min(max(p16, least), self._period_us * 17)


def _fixed(factor):
    """(k, s) with factor = k / 2**s to one part in 65536, k of 16 bits."""
    s = 0
    while factor < 32768:
        factor *= 2
        s += 1
    k = int(factor + 0.5)
    return (32768, s - 1) if k > 65535 else (k, s)
