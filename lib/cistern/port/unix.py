"""MicroPython on a PC: the chip's runtime without the chip."""

import asyncio
import gc
import time

from cistern.port.pc import PcPort
from cistern.port.stream_mpy import connect

__all__ = ("Port",)


class Port(PcPort):
    """The port's face under MicroPython for Linux."""

    name = "unix"
    sleep_ms = staticmethod(asyncio.sleep_ms)
    connect = staticmethod(connect)

    @staticmethod
    def _monotonic_us():
        return time.ticks_us()

    @staticmethod
    def mem_free():
        """Free bytes of the MicroPython heap."""
        return gc.mem_free()
