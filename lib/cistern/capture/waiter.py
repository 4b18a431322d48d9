"""A collector whose source is waited for: a conversion that takes long, a serial line."""

import asyncio

from cistern.capture.collector import Collector

const = int  # MicroPython's compiler knows const() by its name

# How long one reading may take: its period, but at least what a slow conversion needs (DS18B20:
# 0.75 s by its datasheet) and at most so long that a dead device is noticed.
_LEAST_S = const(1)
_MOST_S = const(30)
_SOURCE_SLOW = const(8)  # see collector.py


class Waiter(Collector):
    """A Collector of a source that waits: its reads are coroutines and run beside the others.

    A reading that is still awaited when the next is due costs that one: missed, as source_slow.
    """

    waits = True

    def __init__(self, name, source, ring, period, port):
        super().__init__(name, source, ring, period, port)
        self._limit_s = min(max(period[0] / 1000000, _LEAST_S), _MOST_S)
        self._task = None
        self._since_us = 0
        self._stopped = False

    def _read(self, start):
        now_us = self._port.uptime_us()
        if self._task:
            self.lose(_SOURCE_SLOW, start)
            if now_us - self._since_us > (self._limit_s + _LEAST_S) * 1000000:
                self._log(
                    "no answer within %d s, and it does not let itself be given up" % self._limit_s
                )
        else:
            self._since_us = now_us
            self._task = asyncio.create_task(self._wait(start))

    async def _wait(self, start):
        try:
            values = self._values
            if values is None:
                payload = await asyncio.wait_for(self.source.read(), self._limit_s)
                self.ring.put_payload(start, self._diff(self._ticks_us(), start), payload)
            else:
                await asyncio.wait_for(self.source.read_into(values), self._limit_s)
                self.ring.put(start, self._diff(self._ticks_us(), start), values)
            self.captured += 1
        except asyncio.TimeoutError:
            self.lose(_SOURCE_SLOW, start)
            self._log("no answer within %d s" % self._limit_s)
        except asyncio.CancelledError as e:
            if self._stopped:
                raise
            self._fail(start, e)  # the model's own doing
        except Exception as e:  # a driver may raise anything
            self._fail(start, e)
        finally:
            self._task = None

    def stop(self):
        """No reading is taken from here on; one that is awaited is given up."""
        self._stopped = True
        if self._task:
            self._task.cancel()
