"""An ESP32 with stock MicroPython, v1.25 and later.

What every machine needs is here; the radio (esp32_net.py) is loaded when there is a cloud to sync
to, and hardware (esp32_pins.py and others) when a model asks for it.
"""

import asyncio
import gc
import os
import sys
import time

import esp32
import machine

from cistern.borrow import borrow, keep

# On the REPL; a board that is left there starts again. The watchdog counts up to 2**32 / 4 ms.
IDLE_MS = 86400000
# Seconds from 1970 to the runtime's epoch, 2000 on this port so far.
_EPOCH = 946684800 if time.gmtime(0)[0] == 2000 else 0
# At start, while a connection is made and first used, and always beside TLS, garbage is collected
# whenever so much is allocated. Else what stays is scattered among it all over the heap, and
# something that then finds no hole makes Python take memory of TLS and Wi-Fi. Else such a heap is
# collected when it is full, as a collection takes 7 ms. In PSRAM there is no need, and one takes
# 100 ms.
_GARBAGE = 4096
_MARK = b"utc"  # see esp32_clock.py
# The uptime gains or loses one µs of what it owes in so many: 50 ppm, more than crystals are off
# by. Two parcels are sealed one ring of readings apart at most. Where that is less than 20000 (160
# KB), the uptime loses less than one period in between, and readings stay in order.
_PACE_US = 20000
_MAX_SETTING = 512
_ROOMS = {
    "model_files": "files",
    "look_back": "restart",
    "note_restart": "restart",
    "count_restart": "restart",
    "load_state": "files",
    "save_state": "files",
    "room": "files",
    "begin_clock": "clock",
    "floor_s": "clock",
    "at_least_us": "clock",
    "set_clock": "clock",
    "forget_clock": "clock",
    "keep_clock": "clock",
    "raise_clock": "clock",
    "timer": "timer",
    "nap_us": "timer",
    "i2c": "bus",
    "spi": "bus",
    "uart": "bus",
    "end_uart": "bus",
    "onewire": "bus",
    "dht": "bus",
    "encoder": "motion",
    "end_encoder": "motion",
    "pwm": "motion",
    "pulse_us": "motion",
}


def log_partition():
    """The partition that the log is on, an esp32.Partition, or None."""
    found = esp32.Partition.find(esp32.Partition.TYPE_DATA, label="capture")
    return found[0] if found else None


class Port:
    """The port's face (docs/DESIGN.md) on the chip.

    reset_cause: why the chip started. wlan: network.WLAN, or None where no network is configured.
    spare: memory beside the heap (esp32_spare.Spare), or None. owed: µs that uptime_us() has yet
    to gain. no_time: why a time server gave no time, or None. worn: a restart is needed, for want
    of memory (esp32_restart.py). restarts: how many of these there were since power came, in_vain:
    how many of the last ones did not help; away_us: how long the board was away for this one.
    """

    name = "esp32"
    wifi = True
    # More than the longest time that nothing but one call runs: a start from a slow filesystem.
    watchdog_ms = 60000
    worn = False
    owed = restarts = in_vain = away_us = 0
    no_time = None
    health = None
    channel = {}
    ticks_us = staticmethod(time.ticks_us)
    ticks_diff = staticmethod(time.ticks_diff)
    sleep_ms = staticmethod(asyncio.sleep_ms)
    urandom = staticmethod(os.urandom)

    def __init__(self):
        self._tick = time.ticks_us()
        self._uptime = self._rest = 0
        self._net = self.wlan = None
        self.flash = log_partition()
        borrow("cistern.port.esp32_start").start(self)

    def uptime_us(self):
        """Microseconds since this boot. Has to be called every nine minutes."""
        tick = time.ticks_us()
        step = time.ticks_diff(tick, self._tick)
        self._tick = tick
        rest = self._rest + step
        self._rest = rest % _PACE_US
        if self.owed:
            most = rest // _PACE_US
            gain = max(-most, min(most, self.owed))
            self.owed -= gain
            step += gain
        self._uptime += step
        return self._uptime

    def utc_us(self):
        """Microseconds since 1970, or None when the clock was not set since power came."""
        if machine.RTC().memory()[:3] != _MARK:
            return None
        return time.time_ns() // 1000 + _EPOCH * 1000000

    def learn_time(self):
        """Ask a time server again; utc_us() then tells."""
        return self.network().learn_time()

    def feed(self):
        """Capture is alive: the watchdog may wait again. To be called once a second."""
        self.watchdog.feed()
        self.uptime_us()
        if not self._net or self._net.rest():
            gc.threshold(-1)

    def tidy(self):
        """What is allocated from here on will stay, until the network has been quiet."""
        if self.small:
            gc.threshold(_GARBAGE)

    def reset(self):
        """Start the chip anew."""
        if self.worn:
            try:
                self.note_restart(self)
            except MemoryError:
                pass  # it will not be counted
        machine.reset()

    def leave(self):
        """Nothing runs any more, somebody may be at the REPL: the watchdog waits for a day."""
        machine.WDT(timeout=IDLE_MS).feed()

    @staticmethod
    def system():
        """(bytes of RAM that are free for the system, how many of them in one piece)."""
        regions = esp32.idf_heap_info(esp32.HEAP_DATA)
        return sum([r[1] for r in regions]), max([r[2] for r in regions])

    def mem_free(self):
        """Bytes free in Python's heap. MicroPython's own figure also counts what that may take of
        the system.
        """
        return gc.mem_free() - self.system()[1]

    def log(self, level, text):
        """One line on the console."""
        print("%10.3f %-7s %s" % (self.uptime_us() / 1e6, level, text))

    def log_exception(self, error):
        """A programming error, with its traceback."""
        self.log("error", repr(error))
        sys.print_exception(error)

    def setting(self, key):
        """A value of the namespace "cistern" in NVS (docs/SPEC.md) as text; "" without one."""
        buf = bytearray(_MAX_SETTING)
        try:
            return str(buf[: self.nvs.get_blob(key, buf)], "utf-8")
        except OSError:
            return ""

    def network(self):
        """The radio, loaded when it is first wanted."""
        if not self._net:
            from cistern.port.esp32_net import Net

            self._net = Net(self)
        return self._net

    def connect(self, host, port, tls=None, timeout_ms=20000):
        """As stream_mpy.connect, over Wi-Fi, which is joined first."""
        return self.network().connect(host, port, tls, timeout_ms)

    def __getattr__(self, name):
        # What only some machines have is loaded when it is asked for.
        room = _ROOMS.get(name, "pins")
        load = borrow if room in ("files", "clock", "restart") else keep
        return getattr(load("cistern.port.esp32_" + room), name)
