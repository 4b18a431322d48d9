"""A limit for the user's own models while a configuration is judged: each call must return."""

import contextlib
import os
import signal
import sys
import threading
import time
from pathlib import Path

from cistern_tools import INTERRUPTED

# A reading takes milliseconds on a PC; what takes longer than this does not end.
RETURN_S = 5
# How often it is looked at.
LOOK_S = 0.25
# So long a model has for what interrupts it to come out; then the command ends without it.
GRACE_S = 1
SAID = f"did not return within {RETURN_S} s"


class HangError(BaseException):
    """Raised in a model that does not return. No Exception, which models may catch."""


class Watch:
    """Interrupts code of a folder of models that runs too long, and has Ctrl-C end it, too."""

    def __init__(self, folder):
        self._folder = str(Path(folder).resolve()) + os.sep
        self._call = None  # the outermost frame of the folder that was seen last
        self._since = 0.0
        self._struck = False
        self._interrupted = False

    @contextlib.contextmanager
    def watching(self):
        """Watch what runs in this context; only the main thread can."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {
            signal.SIGALRM: signal.signal(signal.SIGALRM, self._look),
            signal.SIGINT: signal.signal(signal.SIGINT, self._interrupt),
        }
        signal.setitimer(signal.ITIMER_REAL, LOOK_S, LOOK_S)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            for number, handler in before.items():
                signal.signal(number, handler)
            self._call = None

    def _outermost(self, frame):
        found = None
        while frame:
            if os.path.realpath(frame.f_code.co_filename).startswith(self._folder):
                found = frame
            frame = frame.f_back
        return found

    def _look(self, _number, frame):
        call = self._outermost(frame)
        now = time.monotonic()
        if self._interrupted:
            if now - self._since >= GRACE_S:
                os._exit(INTERRUPTED)
        elif call is None or call is not self._call:
            self._call, self._since, self._struck = call, now, False
        elif self._struck and now - self._since >= GRACE_S:
            sys.stdout.flush()
            text = f"cistern: {_component(call)}{call.f_code.co_filename}: it {SAID}, and does not"
            print(text, "let itself be stopped", file=sys.stderr, flush=True)
            os._exit(1)
        elif not self._struck and now - self._since >= RETURN_S:
            self._since, self._struck = now, True
            raise HangError(SAID)

    def _interrupt(self, number, frame):
        self._interrupted = True
        self._since = time.monotonic()
        signal.default_int_handler(number, frame)


def _component(frame):
    """The name of what a model is called for, with a colon: of a collector or a component."""
    while frame:
        for key in ("self", "component"):
            name = getattr(frame.f_locals.get(key), "name", None)
            if isinstance(name, str):
                return f"{name}: "
        frame = frame.f_back
    return ""
