"""Pins and what is wired to single ones."""

_ADC_US = 15  # a conversion, esp32-costs
_REACH_M = 6.5
_NO_ECHO_US = 38000


def wave(ticks, shift):
    """A triangle wave from 0 to 1023 and back in 2048 * 2**shift µs."""
    phase = (ticks >> shift) & 2047
    return phase if phase < 1024 else 2047 - phase


class ADC:
    """machine.ADC: near 0.75 V of 3.3 V (a TMP36 at 25 °C), moving by some hundred counts.

    raw: None, or a number that it reads instead, 0..65535.
    """

    def __init__(self, pin, ticks_us, charge=None):
        self.raw = None
        self._offset = 14700 + 37 * pin
        self._ticks_us = ticks_us
        self._charge = charge

    def read_u16(self):
        """The value, 0..65535."""
        if self._charge:
            self._charge(_ADC_US)
        if self.raw is not None:
            return self.raw
        return self._offset + (wave(self._ticks_us(), 14) >> 1)

    def read_uv(self):
        """The voltage in µV."""
        return self.read_u16() * 3300000 // 65535


class Pin:
    """machine.Pin: an output, or an input that changes about once a second unless it is pulled.

    level: None, or what an input reads instead.
    """

    def __init__(self, number, ticks_us):
        self.number = number
        self.level = None
        self.mode = None
        self._ticks_us = ticks_us

    def init(self, mode, pull=None):
        """Set the mode, unless it is None."""
        if self.level is None and (mode == "out" or pull):
            self.level = 1 if pull == "up" else 0
        self.mode = mode or self.mode

    def value(self, level=None):
        """0 or 1; or set it."""
        if level is not None:
            self.level = level
            return None
        if self.level is not None:
            return self.level
        return ((self._ticks_us() >> 20) + self.number) & 1


class PWM:
    """machine.PWM."""

    def __init__(self):
        self.init(0)

    def init(self, freq):
        """Begin anew, without a pulse."""
        self._freq = freq
        self._duty_ns = 0
        self.running = freq > 0

    def freq(self):
        """In Hz."""
        return self._freq

    def duty_ns(self, ns=None):
        """The width of the pulse, or set it."""
        if ns is None:
            return self._duty_ns
        self._duty_ns = ns
        return None

    def duty_u16(self, duty=None):
        """The share of the period, 0..65535, or set it."""
        period = 1000000000 // self._freq
        if duty is None:
            return self._duty_ns * 65535 // period
        self._duty_ns = duty * period // 65535
        return None

    def deinit(self):
        """Give the channel back."""
        self.running = False


class Encoder:
    """machine.Encoder: a shaft that turns to and fro. count: None, or what it has counted."""

    def __init__(self, ticks_us):
        self.count = None
        self.running = True
        self._ticks_us = ticks_us

    def value(self):
        """Counts since start."""
        return 4 * wave(self._ticks_us(), 13) if self.count is None else self.count

    def deinit(self):
        """Give the counter back."""
        self.running = False


class Echo:
    """HC-SR04: something that comes and goes, 0.5 to 2.5 m away.

    metres: None, or how far it is instead; inf: nothing is in reach, and echo is high for 38 ms.
    wired: without, echo stays low.
    """

    def __init__(self, ticks_us, charge=None):
        self.metres = None
        self.wired = True
        self._ticks_us = ticks_us
        self._charge = charge

    def measure(self, timeout_us):
        """As SimulatedBoard.pulse_us."""
        metres = self.metres
        if metres is None:
            metres = 0.5 + wave(self._ticks_us(), 12) / 512
        us = int(metres * 2 / 0.00034321 + 0.5) if metres < _REACH_M else _NO_ECHO_US
        if self._charge:
            # The burst of eight cycles and its delay take about half a millisecond.
            self._charge(500 + min(us, timeout_us) if self.wired else timeout_us)
        if not self.wired:
            return -2
        return us if us < timeout_us else -1
