"""The user's own models while a configuration is judged: loaded, and what they said, for people.

Needs lib/ on the path.
"""

import contextlib
import sys
import warnings
from pathlib import Path

from cistern.resources import own, own_models
from cistern_tools.forecast import NO_READING
from cistern_tools.watch import SAID, Watch

# What `import` finds on a board beside Cistern: the built-in and frozen modules of MicroPython's
# ESP32_GENERIC (help("modules") of v1.25), by their first names.
_ON_A_BOARD = """
_asyncio _boot _espnow _onewire _thread _webrepl aioespnow apa106 array asyncio binascii
bluetooth boot btree builtins cistern cmath collections cryptolib deflate dht ds18x20
errno esp esp32 espnow flashbdev framebuf gc hashlib heapq inisetup io json machine main
math micropython mip neopixel network ntptime onewire os platform random re requests
select socket ssl struct sys time tls uasyncio uctypes umqtt upysh urequests uwebsocket
vfs webrepl webrepl_setup websocket
"""
# Namespaces of models that are no file of the user's.
_OTHERS = ("viam", "rdk", "cistern")
BY_OPTION = "a model of your own is known where --models FOLDER gives the folder with its file"


@contextlib.contextmanager
def held(folder):
    """Models of this folder, or None, run in this context: none of them for ever, and what Python
    itself says of them is left to the messages that follow.
    """
    if not folder:
        yield
        return
    before = sys.unraisablehook
    with warnings.catch_warnings(), Watch(folder).watching():
        warnings.filterwarnings("ignore", "coroutine .* was never awaited", RuntimeWarning)
        sys.unraisablehook = lambda _: None  # of a coroutine that does not let itself be ended
        try:
            yield
        finally:
            sys.unraisablehook = before


def load(folder):
    """Make the models of a folder known; [(level, path, message)] of what is wrong with them."""
    said = []

    def log(level, text):
        path, _, message = text.partition(": ")
        said.append((level, path, message))

    known = {model.path for model in own_models.values()}
    files = sorted(str(p) for p in Path(folder).iterdir() if p.suffix == ".py")
    own.load([p for p in files if p not in known], log, _exists, _load_file)
    return said


def _exists(name):
    return name in _ON_A_BOARD.split() or "." in name


def _load_file(name, path):
    """As a board's import: also where CPython has a module of that name, which goes on."""
    if name in sys.stdlib_module_names or name in sys.modules:
        text = Path(path).read_text("utf-8-sig")
        exec(compile(text, path, "exec"), {"__name__": name})
    else:
        own.import_file(name, path)


def explain(problem, machine, hint):
    """Add `hint` to a problem that is an unknown model of the user's."""
    if problem["message"].startswith("unknown model"):
        at = int(problem["path"].partition("[")[2].partition("]")[0])
        namespace, colon, _ = machine["components"][at]["model"].partition(":")
        if colon and namespace not in _OTHERS:
            problem["message"] += f". {hint[0].upper()}{hint[1:]}"


def judged(plan, forecast, level, path, message):
    """(level, path, message) of what a board's program said: another where it is that a model of
    the user's had no reading.
    """
    files = [own_models[c.model].path for c in plan.components if _is_of(c, path)]
    if level != "error" or not files or not message.startswith(NO_READING):
        return level, path, message
    text = message.removeprefix(NO_READING)
    # Of the hardware that it talks to, and the simulated board has not: what the model says of it
    # in its own words, or the drivers of a bus.
    said = text.removeprefix("ResourceError: ")
    raised = said.removeprefix(files[0]).lstrip(":0123456789").lstrip()
    if raised.startswith(("ResourceError: ", "OSError: ", "no answer within ")):
        return (
            "warning",
            path,
            f"not tried, since the simulated board has not what it talks to: {text}",
        )
    if path in forecast.silent or SAID in text:
        return "error", path, f"on the simulated board it had no reading: {text}"
    return "warning", path, f"on the simulated board some of its readings failed: {text}"


def _is_of(component, path):
    return component.model in own_models and path.startswith(f"{component.path}.")
