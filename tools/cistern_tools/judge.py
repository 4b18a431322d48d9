"""What a machine configuration will do on a board: judged here for every command that asks.

Needs nothing on the path.
"""

import contextlib
import json
import math
import os
import re
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

from cistern_tools import mpy, paths, simboard, texts
from cistern_tools.watch import SAID

# Of the heap, code that is loaded before the configuration is applied takes so much.
LOADED = 34_000
# What a plain ESP32 has for Python with Wi-Fi up.
HEAP = 147 * 1024
# Of a PC's heap, a machine with what syncs may take so much, for a plain ESP32 to have room for
# TLS beside it: see "Memory of a plain ESP32" in docs/DESIGN.md, where both are measured.
MOST_LIVE = 167_000
# The longest erase of a sector (W25Q64JV datasheet, "AC Electrical Characteristics", and what
# docs/TIMING.md models), and what a ring holds that bridges it: a quarter more, for the parcels
# that wait then.
ERASE_MOST_S = 0.4
SHORT_RING_S = 0.5
# What a byte of flash takes to be erased and programmed (docs/TIMING.md: 45 ms a sector, 0.7 ms a
# page), and the part of its time that a board may be at it: nothing else runs meanwhile.
FLASH_S_PER_BYTE = 0.045 / 4096 + 0.0007 / 256
FLASH_SHARE = 0.5
TRIAL_S = 60
TRIAL_FLASH = 64 * 1024
# So many of the collectors that there is no memory for are named.
_NAMED = 3
_COMPONENT = re.compile(r'((?:components|remotes)\[\d+\]) "([^"]*)"')


class Judgement(NamedTuple):
    """plan: of config.plan(); forecast: a Forecast; problems: dicts with path, component (its
    name, or None), message, level.
    """

    plan: object
    forecast: object
    problems: list

    @property
    def errors(self):
        """The problems for which a configuration is refused."""
        return [p for p in self.problems if p["level"] == "error"]


def where(problem):
    """The path of a problem for people, with the component's name in it."""
    path, name = problem["path"], problem["component"]
    if name is not None:
        path = re.sub(r"^(\w+\[\d+\])", lambda found: f'{found[1]} "{name}"', path)
    return path or "the configuration"


def judge(raw, name, heap=HEAP, models=None, https=False, hint=None):
    """The Judgement of a configuration, the bytes of the file `name`. Raises TextError where it is
    none, and OSError for a folder of models that cannot be read.

    heap: bytes that the board has for Python. models: folder with the user's own models. https:
    whether it is to sync over https, for which a plain ESP32 must have room. hint: what to do
    about a model of the user's own that is not known; None: give --models.
    """
    paths.use_library()
    from cistern import config
    from cistern.resources import catalog
    from cistern_tools import own_models
    from cistern_tools.forecast import Forecast

    with own_models.held(models):
        said = own_models.load(models) if models else []
        try:
            machine = config.load(texts.decode(raw, name))
        except config.ConfigError as e:
            raise texts.TextError(name, e.line, e.column, e.message) from None
        plan = config.plan(machine, catalog)
        forecast = Forecast(plan, max(heap - LOADED, 0))
    said += [(p.level, p.path, p.message) for p in plan.problems]
    for level, path, message in forecast.said:
        if level in ("error", "warning"):
            said.append(own_models.judged(plan, forecast, level, path, message))
    said += _hidden(machine)
    said += _nothing(plan, forecast, said)
    said += _short_rings(forecast)
    if not plan.service.capture_dir:
        said += _flash_rate(forecast)
    hung = any(SAID in message for _, _, message in said)
    text = _without_folder(machine) if plan.service.capture_dir else raw
    if not hung:  # a board would wait for it, too
        said += _memory(text, plan, forecast, heap, models)
    if https and heap <= HEAP and forecast.streams and not any(e == "error" for e, _, _ in said):
        said += _room_for_https(text, heap, models)
    problems = [_problem(*one) for one in dict.fromkeys(said)]
    for problem in problems:
        own_models.explain(problem, machine, hint or own_models.BY_OPTION)
    return Judgement(plan, forecast, problems)


def _problem(level, path, message):
    named = _COMPONENT.match(path)
    return {
        "path": _COMPONENT.sub(r"\1", path, count=1) if named else path,
        "component": named[2] if named else None,
        "message": message,
        "level": level,
    }


def _hidden(value, path=""):
    """A warning for each text in a configuration that has characters which do not show."""
    if isinstance(value, str):
        for at, words in texts.hidden(value):
            yield "warning", path, f"character {at} is {words}, which does not show: delete it"
    elif isinstance(value, dict):
        for key, below in value.items():
            for at, words in texts.hidden(key):
                text = f"character {at} of the key {_shown(key)} is {words}: delete it"
                yield "warning", path, text
            yield from _hidden(below, f"{path}.{_shown(key)}".lstrip("."))
    elif isinstance(value, list):
        for i, below in enumerate(value):
            name = below.get("name") if isinstance(below, dict) and path.count(".") == 0 else None
            named = f' "{_shown(name)}"' if path == "components" and isinstance(name, str) else ""
            yield from _hidden(below, f"{path}[{i}]{named}")


def _shown(text):
    from cistern.config import explain

    return explain.shown(text)


def _nothing(plan, forecast, said):
    """An error where a machine captures nothing that should not be asked for."""
    if plan.service.path is None and plan.collectors:
        return  # said already
    if plan.service.path is not None and plan.service.capture_disabled:
        return
    if forecast.streams:
        return
    wrong = [path for level, path, _ in said if level == "error"]
    if plan.collectors and not wrong:
        return  # what they talk to is not simulated
    why = "of what is said above" if wrong else "no component has a collector"
    # Those that run, and are not asked for anything yet.
    asked = {c.component for c in plan.collectors}
    idle = [
        f'"{c.name}"'
        for c in plan.components
        if c.name not in asked and not any(f"{path}.".startswith(f"{c.path}.") for path in wrong)
    ]
    text = f"nothing is captured, because {why}"
    if idle or not wrong:
        text += (
            ": give a component service_configs of type data_manager with capture_methods "
            f"(components that run: {', '.join(idle) or 'no component'}), or set "
            "capture_disabled if that is meant"
        )
    yield "error", "components", text


def _short_rings(forecast):
    """A warning for each ring that holds less than a flash that erases may keep waiting."""
    for s in forecast.streams:
        if s["ring_seconds"] < SHORT_RING_S:
            each = s["ring_bytes"] / max(s["ring_readings"], 1)
            kb = math.ceil(each * (s["frequency_hz"] * SHORT_RING_S + 1) / 1000)
            yield (
                "warning",
                s["path"],
                f"its ring holds {s['ring_readings']} readings, {s['ring_seconds']:.2g} s at "
                f"{s['frequency_hz']:g} Hz, and readings are lost while the flash is erased, "
                f"which may take {ERASE_MOST_S:g} s: a cache_size_kb of {kb} "
                f"holds {SHORT_RING_S:g} s",
            )


def _flash_rate(forecast):
    """An error where the flash cannot take what is captured."""
    share = forecast.bytes_per_s * FLASH_S_PER_BYTE
    if share > FLASH_SHARE:
        most = max(forecast.streams, key=lambda s: s["flash_bytes_per_day"])
        yield (
            "error",
            most["path"],
            f"writing {forecast.bytes_per_s / 1000:.0f} KB a second would keep the flash busy for "
            f"{share:.0%} of the time, in which nothing else runs, and {FLASH_SHARE:.0%} is the "
            f"most that leaves time to capture and sync: lower the rates ({most['stream']} takes "
            "the most)",
        )


def _without_folder(machine):
    """The text of a configuration whose log goes to flash: judging it makes no folder."""
    machine = json.loads(json.dumps(machine))
    for service in machine["services"]:
        with contextlib.suppress(AttributeError, KeyError, TypeError):
            service["attributes"].pop("capture_dir", None)
    return json.dumps(machine, ensure_ascii=False, separators=(",", ":")).encode()


def _memory(text, plan, forecast, heap, models):
    """An error where the board has no memory for all collectors that it could make."""
    wanted = [s["stream"] for s in forecast.streams]
    tried = trial(text, heap, models) if wanted else None
    if tried is None:
        return
    refused = [s for s in forecast.streams if s["stream"] not in tried.collectors]
    if refused:
        named = ", ".join(s["stream"] for s in refused[:_NAMED])
        more = f" and {len(refused) - _NAMED} more" if len(refused) > _NAMED else ""
        instead = (
            f"the other {len(wanted) - len(refused)} are captured"
            if len(refused) < len(wanted)
            else "nothing is captured until the board has a smaller configuration"
        )
        yield (
            "error",
            refused[0]["path"],
            f"there is no memory for {len(refused)} of {len(wanted)} collectors in a heap of "
            f"{heap} bytes: {named}{more}; {instead}. Leave some out, or give --heap if the board "
            "has more",
        )


def _room_for_https(text, heap, models):
    """An error where a plain ESP32 has no room for TLS beside the machine."""
    if _fits(text, heap, models):
        return
    machine = json.loads(text)
    components = machine["components"]
    # The last components go first, as lib/cistern/config/cut.py has it.
    fits, too_many = 0, len(components)
    while too_many - fits > 1:
        tried = (fits + too_many) // 2
        some = {**machine, "components": components[:tried]}
        if _fits(json.dumps(some).encode(), heap, models):
            fits = tried
        else:
            too_many = tried
    rest = [c.get("name") for c in components[fits:] if isinstance(c, dict)]
    yield (
        "error",
        f"components[{fits}]",
        "over https there is no memory for TLS beside this machine on a plain ESP32 with stock "
        f"firmware, which has room for the first {fits} of {len(components)} components. Leave "
        f"out {', '.join(map(repr, rest))}, sync over http in a network that you trust (cistern "
        "cloud --plaintext), or give --heap for a board with PSRAM or firmware of your own "
        "(docs/FIRMWARE.md)",
    )


def _fits(text, heap, models):
    tried = trial(text, heap, models, https=True)
    return tried is None or (tried.online and tried.live <= MOST_LIVE)


class Trial(NamedTuple):
    """What a simulated board made of a configuration. collectors: their names. online: whether it
    had memory for what syncs. live: bytes of its heap, a PC's, that were in use then.
    """

    collectors: list
    online: bool
    live: int


def trial(text, heap, models=None, https=False):
    """The Trial of a configuration, bytes, on a board with a heap of so many bytes; None where no
    MicroPython can run here.

    The board starts and ends at once, on a flash of its own. https: load what syncs, too.
    """
    if mpy.host_architecture() is None or paths.micropython() is None or paths.is_chosen():
        return None
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "machine.json"
        path.write_bytes(text)
        settings = {
            "machine": str(path),
            "flash": str(Path(scratch) / "flash"),
            "flash_size": TRIAL_FLASH,
            "seconds": None,
            "json": True,
            "log_level": "error",
            "models": str(models) if models else None,
        }
        if https:
            secret = Path(scratch) / "secret"
            secret.write_text("secret")
            cloud = {"url": "https://cloud", "ca": None, "server_name": None, "part_id": "part"}
            settings["cloud"] = {**cloud, "secret_file": str(secret)}
        command, environment = simboard.board("micropython", heap, settings)
        try:
            done = subprocess.run(
                command,
                env=environment,
                capture_output=True,
                stdin=subprocess.DEVNULL,
                timeout=TRIAL_S,
                cwd=os.getcwd(),
            )
        except subprocess.TimeoutExpired:
            return None
    try:
        return Trial(**json.loads(done.stdout.splitlines()[-1]))
    except (ValueError, IndexError, TypeError):
        return Trial([], False, 0)
