"""MicroPython on a PC: the chip's runtime without the chip."""

import asyncio
import gc
import sys
import time

from cistern.port.pc import PcPort
from cistern.port.stream_mpy import connect

_WORDS = 2 if sys.maxsize > 1 << 32 else 1

__all__ = ("Port",)


class Port(PcPort):
    """The port's face under MicroPython for Linux."""

    name = "unix"
    channel = {}
    sleep_ms = staticmethod(asyncio.sleep_ms)
    connect = staticmethod(connect)

    @staticmethod
    def _monotonic_us():
        return time.ticks_us()

    @staticmethod
    def mem_free():
        """Free bytes of the heap, in bytes of the chip, whose words are half as wide."""
        return gc.mem_free() // _WORDS
