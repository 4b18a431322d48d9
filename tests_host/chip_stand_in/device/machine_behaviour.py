"""machine: a chip whose pins rest, whose clock begins in 2000, and whose timers are asyncio's."""
# ruff: noqa: A002, PLW0603, RUF006, RUF012 - the chip's names, and
# MicroPython's ways

import sys

_freq = [160000000]
_watchdog = [None]  # (deadline in ms, timeout)
# Set by the harness: shifts the clock of `time`, which RTC sets.
_clock = None
# What lasts over a reset, and is gone with the power: the RTC's memory and its time.
_rtc = {"file": None, "kept": b"", "cause": 1}


def _begin(clock, file):
    global _clock
    _clock = clock
    _rtc["file"] = file
    kept = file.read()
    if kept and kept[0]:
        clock.resume(int.from_bytes(kept[1:9], "little"))
        _rtc["kept"] = kept[10 : 10 + kept[9]]
        _rtc["cause"] = 2
    elif kept:
        clock.shift(-int.from_bytes(kept[1:9], "little"))
        _rtc["kept"] = kept[10 : 10 + kept[9]]
    _note()


def _note():
    """For a soft reset, after which the RTC is as it was."""
    file, kept = _rtc["file"], _rtc["kept"]
    file.seek(0)
    file.write(b"\0" + (-_clock.shift()).to_bytes(8, "little") + bytes((len(kept),)) + kept)
    file.flush()


def freq(hz=None):
    """The CPU's frequency."""
    if hz is None:
        return _freq[0]
    if hz not in (20000000, 40000000, 80000000, 160000000, 240000000):
        raise ValueError("frequency must be 20MHz, 40MHz, 80Mhz, 160MHz or 240MHz")
    _freq[0] = hz
    return None


def reset_cause():
    """Power on, or hard reset."""
    return _rtc["cause"]


def reset():
    """The process ends; a harness may start it again."""
    file, kept = _rtc["file"], _rtc["kept"]
    file.seek(0)
    file.write(b"\1" + _clock.time_ns().to_bytes(8, "little") + bytes((len(kept),)) + kept)
    file.flush()
    sys.exit(3)


def unique_id():
    """The address of the chip's radio."""
    return b"\x24\x6f\x28\x00\x00\x01"


class WDT:
    """Ends the process when it is not fed, as soon as anything asks."""

    def __init__(self, id=0, timeout=5000):
        _watchdog[0] = (_clock.now_ms() + timeout, timeout)

    def feed(self):
        """Too late is a reset."""
        deadline, timeout = _watchdog[0]
        if _clock.now_ms() > deadline:
            print("stand-in: the watchdog would have reset the chip")
            sys.exit(4)
        _watchdog[0] = (_clock.now_ms() + timeout, timeout)


class RTC:
    """Time and 2 KB of memory that last until power goes."""

    def __init__(self, id=0):
        pass

    def memory(self, data=None):
        """The bytes that were kept."""
        if data is None:
            return _rtc["kept"]
        _rtc["kept"] = bytes(data)
        _note()
        return None

    def datetime(self, datetimetuple=None):
        """(year, month, day, weekday, hours, minutes, seconds, subseconds in µs)."""
        if datetimetuple is None:
            t = _clock.gmtime(_clock.time())
            return (t[0], t[1], t[2], t[6], t[3], t[4], t[5], 0)
        year, month, day, _, h, m, s, us = datetimetuple
        _clock.set(_clock.mktime((year, month, day, h, m, s, 0, 0)), us)
        _note()
        return None


class Pin:
    """A pin that holds what it is set to."""

    _levels = {}

    def __init__(self, id, mode=-1, pull=-1, value=None, drive=None, alt=None):
        if not 0 <= id < 40:
            raise ValueError("invalid pin")
        self._id = id
        if value is not None:
            self._levels[id] = value

    def value(self, x=None):
        """The level."""
        if x is None:
            return self._levels.get(self._id, 0)
        self._levels[self._id] = 1 if x else 0
        return None

    def init(self, mode=-1, pull=-1, value=None, drive=None, alt=None):
        """Nothing to do."""


class ADC:
    """Counts up, so that readings differ."""

    def __init__(self, id, sample_ns=0, atten=0):
        self._at = 0

    def read_u16(self):
        """0 to 65535."""
        self._at = (self._at + 257) & 0xFFFF
        return self._at

    def read_uv(self):
        """Microvolts: of a TMP36 from 0 to 52 °C."""
        return 500000 + self.read_u16() * 8


class SPI:
    """A bus whose chips answer with what they got, inverted, and the levels of all pins."""

    _controllers = 2

    def __init__(self, id, baudrate=1000000, polarity=0, phase=0, sck=None, mosi=None, miso=None):
        if not 1 <= id <= self._controllers:
            raise ValueError("SPI doesn't exist")
        self._made = id, baudrate, polarity, phase, sck._id, mosi._id, miso._id

    def write_readinto(self, write_buf, read_buf):
        """What a transfer was made of goes to the console."""
        print("spi", self._made, [n for n in sorted(Pin._levels) if not Pin._levels[n]])
        for i in range(len(write_buf)):
            read_buf[i] = write_buf[i] ^ 0xFF


class SoftSPI(SPI):
    """The same, played by software."""

    def __init__(self, baudrate=500000, *, polarity=0, phase=0, sck=None, mosi=None, miso=None):
        self._made = "soft", baudrate, polarity, phase, sck._id, mosi._id, miso._id


class Timer:
    """A hardware timer, played by a task."""

    def __init__(self, id, **more):
        if not 0 <= id < 4:
            raise ValueError("invalid Timer number")
        self._turn = 0  # of init(), whose task ends when another one began
        if more:
            self.init(**more)

    def init(self, mode=1, period=None, freq=None, tick_hz=1000, callback=None, hard=None):
        """Call back in each period of ticks."""
        import asyncio

        self._turn += 1
        period_us = period * 1000000 // tick_hz if freq is None else 1000000 // freq

        async def run(turn):
            due = _clock.now_us()
            while True:
                due += period_us
                left = due - _clock.now_us()
                await asyncio.sleep_ms(max(left // 1000, 0))
                if turn != self._turn:
                    return
                callback(self)

        asyncio.create_task(run(self._turn))

    def deinit(self):
        """No more callbacks."""
        self._turn += 1
