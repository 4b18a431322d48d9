"""How long a full MiB of log takes to mount on the chip, by the cost table.

micropython tests_host/bench/mount.py

MicroPython on a PC runs the same bytecode, so the time of a call of a bound method with one
argument there stands for the 8.5 µs that it takes on the chip (the table's 10.7 less 2.2 for the
loop around it).
"""

import sys
import time

sys.path.insert(0, "lib")

from cistern.store import Log
from cistern.store.ram import RamDevice

CALL_US = 8.5
# Partition.readblocks of 36 bytes: 30 µs for the driver to lock, wait and read, beside the call.
READ_US = 30
SECTORS = 256
BAR_MS = 300


class Called:
    def method(self, x):
        pass


def best(action, n, turns):
    """µs for each of n."""
    least = 1e9
    for _ in range(turns):
        start = time.ticks_us()
        action(n)
        least = min(least, time.ticks_diff(time.ticks_us(), start) / n)
    return least


def empty(n):
    for _ in range(n):
        pass


def calls(n):
    method = Called().method
    for _ in range(n):
        method(1)


class Counting(RamDevice):
    reads = 0

    def readblocks(self, n, buf, off=0):
        self.reads += 1
        RamDevice.readblocks(self, n, buf, off)


def main():
    unit = (best(calls, 3000, 60) - best(empty, 3000, 60)) / CALL_US
    device = Counting(SECTORS)
    log = Log.mount(device, bytes)
    for _ in range(3000):
        log.append(b"d" * 90, bytes(512), 100)
        log.maintain(60000, lambda: 0)
    device.reads = 0
    took = best(lambda n: Log.mount(device, bytes), 1, 9) / unit
    took = (took + device.reads // 9 * READ_US) / 1000
    print(f"mount of a full MiB by the cost table: {int(took)} ms (bar: {BAR_MS})")
    sys.exit(int(took > BAR_MS))


main()
