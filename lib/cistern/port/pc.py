"""What both ports on a PC share: a board whose flash is a file, and its hardware simulated."""

import os
import sys
import time

from cistern.port.nor import NorFile
from cistern.port.simulated import SimulatedBoard, pins

# For other boards whose time is virtual.
SimulatedADC = pins.ADC
SimulatedPin = pins.Pin

_TICKS = (1 << 30) - 1
_HALF = 1 << 29
_LEVELS = ("debug", "info", "warning", "error")


def ticks_diff(a, b):
    """a - b in microseconds for two ticks less than 2**29 µs (9 minutes) apart."""
    return ((a - b + _HALF) & _TICKS) - _HALF


class PcPort(SimulatedBoard):
    """The port's face (docs/DESIGN.md) but for what the two runtimes do differently.

    flash_path: the file that is the flash chip; state_path: where the board keeps its last good
    configuration; level: the least of debug, info, warning, error that is logged. models_folder:
    set it to the folder with the user's own models.
    """

    alpn = False
    ticks_diff = staticmethod(ticks_diff)

    def __init__(self, flash_path, flash_size, state_path, level="info"):
        self.flash = NorFile(flash_path, flash_size)
        self._flash_size = flash_size
        self.state_path = state_path
        self._level = _LEVELS.index(level)
        self._start = self._monotonic_us()

    def ticks_us(self):
        """Microseconds, wrapping at 2**30."""
        return self._monotonic_us() & _TICKS

    def uptime_us(self):
        """Microseconds since this boot."""
        return self._monotonic_us() - self._start

    def utc_us(self):
        """Microseconds since 1970, or None when the clock was never set."""
        return time.time_ns() // 1000

    def set_clock(self, utc_us):
        """A PC keeps its own time."""

    def keep_clock(self, utc_us):
        """Also while it is off."""

    def reset(self):
        """End this start of the board; the program begins anew."""
        raise SystemExit

    def urandom(self, n):
        """n random bytes."""
        return os.urandom(n)

    def log(self, level, text):
        """One line on stderr."""
        if _LEVELS.index(level) >= self._level:
            print("%10.3f %-7s %s" % (self.uptime_us() / 1e6, level, text), file=sys.stderr)

    def log_exception(self, error):
        """A programming error, with its traceback."""
        self.log("error", "%s: %s" % (type(error).__name__, error))
        if hasattr(sys, "print_exception"):
            sys.print_exception(error, sys.stderr)
        else:
            sys.excepthook(type(error), error, error.__traceback__)

    def model_files(self):
        """Paths of the user's own models (docs/MODELS.md), where models_folder names a folder."""
        folder = self.models_folder
        try:
            names = sorted(os.listdir(folder)) if folder else ()
        except OSError as e:
            self.log("error", "the folder of models, %s, cannot be read: %s" % (folder, e))
            return []
        return ["%s/%s" % (folder, n) for n in names if n.endswith((".py", ".mpy"))]

    def room(self, folder, own):
        """Bytes that a log in `folder` may take which takes `own` bytes now: half of what would be
        free there without it, as Viam allows, and not more than the flash has.
        """
        found = os.statvfs(folder)
        return min((found[0] * found[3] + own) // 2, self._flash_size)

    def load_state(self, name):
        """What save_state kept under `name`, as text, or None."""
        try:
            with open(self.state_path + "." + name) as f:
                return f.read()
        except OSError:
            return None

    def save_state(self, name, text):
        """Keep `text` under `name`: a power cut leaves the old or the new text, whole."""
        path = self.state_path + "." + name
        with open(path + ".new", "w") as f:
            f.write(text)
            f.flush()
        os.rename(path + ".new", path)
