"""What mpu_fast.py does, in plain Python."""

const = int  # MicroPython's compiler knows const() by its name

_SLOTS = const(127)


def keep(burst, ring, first, n, size, at):
    """Copy n samples of `size` bytes into the ring's slots from number `first` on, at byte `at` of
    a slot of 12.
    """
    for i in range(n):
        to = (first + i & _SLOTS) * 12 + at
        ring[to : to + size] = burst[i * size : (i + 1) * size]


def take(ring_times, first, n, times):
    """Copy the times of n samples."""
    for i in range(n):
        times[i] = ring_times[first + i & _SLOTS]


def scale(ring, first, n, at, values, to, width, factor, shift):
    """Three 16-bit numbers at byte `at` of each of n samples, times factor / 2**shift, into
    `values` (array of f) at `to`; a sample has `width` values there.
    """
    unit = factor / (1 << shift)
    for i in range(n):
        p = (first + i & _SLOTS) * 12 + at
        for j in range(3):
            raw = ring[p] << 8 | ring[p + 1]
            p += 2
            values[i * width + to + j] = (raw - 0x10000 if raw > 0x7FFF else raw) * unit
