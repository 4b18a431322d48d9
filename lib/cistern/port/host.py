"""CPython on a PC: the same board, for development and for tests."""

import asyncio
import time

from cistern.port.pc import PcPort
from cistern.port.stream_host import connect, within

__all__ = ("Port",)


class Port(PcPort):
    """The port's face under CPython."""

    name = "host"
    alpn = True
    # What the channel may use where memory is plenty.
    channel = {"rx_size": 65536, "tx_size": 65536, "window": 65535, "within": within}
    connect = staticmethod(connect)

    @staticmethod
    def _monotonic_us():
        return time.monotonic_ns() // 1000

    @staticmethod
    async def sleep_ms(ms):
        """Suspend the task for `ms` milliseconds."""
        await asyncio.sleep(ms / 1000)

    @staticmethod
    def mem_free():
        """CPython has no bounded heap: -1."""
        return -1
