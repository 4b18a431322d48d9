"""MicroPython on a PC: the chip's runtime without the chip."""

import asyncio
import gc
import sys
import time

import uctypes

from cistern.port import stream_mpy
from cistern.port.esp32_spare import REGIONS, Spare
from cistern.port.pc import PcPort

# Where the heap is as small as a chip's, what stays is kept together as there (port/esp32.py).
_SMALL_HEAP = 1000000
_GARBAGE = 8192
_APART = 16  # bytes between memories that are not one
_WORDS = 2 if sys.maxsize > 1 << 32 else 1

__all__ = ("Port",)


class Port(PcPort):
    """The port's face under MicroPython for Linux.

    spare: as much memory beside the heap as a plain ESP32 has.
    """

    name = "unix"
    # Bytes that are to be free when a board has started, without a cloud and with one: for what is
    # borrowed, and for the link and TLS, which here is in the heap, too. These two take 40 KB.
    least_heap = (48000, 64000)
    channel = {}
    sleep_ms = staticmethod(asyncio.sleep_ms)

    def __init__(self, *flash):
        super().__init__(*flash)
        if gc.mem_free() < _SMALL_HEAP:
            gc.threshold(_GARBAGE)
        regions = []
        size = 0
        for at, end in REGIONS:
            regions.append((size, size + end - at))
            size += end - at + _APART
        # Nothing else refers to it that the garbage collector would see.
        self._ram = bytearray(size)
        base = uctypes.addressof(self._ram)
        self.spare = Spare([(base + at, base + end) for at, end in regions])

    @staticmethod
    def connect(host, port, tls=None, timeout_ms=20000):
        """As stream_mpy.connect, with this PC's names."""
        return stream_mpy.connect(host, port, tls, timeout_ms, _look_up)

    @staticmethod
    def _monotonic_us():
        return time.ticks_us()

    @staticmethod
    def mem_free():
        """Free bytes of the heap, in bytes of the chip, whose words are half as wide."""
        return gc.mem_free() // _WORDS


def _look_up(host):
    known = _hosts(host)
    return known, None if known else name_server()


def name_server():
    """(address, port) of the name server, or None."""
    for words in _words("/etc/resolv.conf"):
        if len(words) > 1 and words[0] == "nameserver":
            return words[1], 53
    return None


def _hosts(host):
    """The address of a name in /etc/hosts, or None."""
    for words in _words("/etc/hosts"):
        if host in words[1:]:
            return words[0]
    return None


def _words(path):
    """The words of each line of a file; nothing where there is none."""
    try:
        with open(path) as f:
            for line in f:
                yield line.split("#")[0].split()
    except OSError:
        pass
