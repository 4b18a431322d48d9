"""Sensors without hardware: plausible values, or a counter by which loss can be counted."""

from cistern.resources import Sensor
from cistern.resources.attributes import check as check_table

_TABLE = {"counter": (bool, False, None, None)}

_counts = {}
_boot = None


def check(kind, model, attributes):
    """Problems of the attributes."""
    return check_table(_TABLE, attributes)


def build(component, port, others):
    """Make a fake sensor."""
    global _boot
    if _boot is None:
        # 30 bits: the largest that is a small int on the chip.
        _boot = int.from_bytes(port.urandom(4), "little") & 0x3FFFFFFF
    if component.attributes.get("counter"):
        return Counter(component.name)
    return Fake(port)


class Counter(Sensor):
    """Readings {"n": 0, 1, 2, …, "boot": a number that differs at each start}.

    n goes on where it was when a configuration is applied live, so that it never repeats within a
    boot.
    """

    def __init__(self, name):
        self._name = name

    def readings(self):
        """The next number."""
        n = _counts.get(self._name, 0)
        _counts[self._name] = n + 1
        return {"n": n, "boot": _boot}


class Fake(Sensor):
    """A room: temperature in °C and relative humidity in % that move slowly."""

    def __init__(self, port):
        self._ticks_us = port.ticks_us

    def readings(self):
        """A triangle wave of about four minutes."""
        phase = (self._ticks_us() >> 17) & 2047
        phase = phase if phase < 1024 else 2047 - phase
        return {"temperature": 18 + phase / 128, "humidity": 60 - phase / 64}
