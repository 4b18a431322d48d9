"""What a machine configuration will do on a board: judged here for every command that asks.

Needs nothing on the path.
"""

import contextlib
import json
import os
import re
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

from cistern_tools import mpy, paths, simboard, texts

# Of the heap, code that is loaded before the configuration is applied takes so much.
LOADED = 34_000
# What a plain ESP32 has for Python with Wi-Fi up.
HEAP = 147 * 1024
# Of a PC's heap, a machine with what syncs may take so much, for a plain ESP32 to have room for
# TLS beside it: see "Memory of a plain ESP32" in docs/DESIGN.md, where both are measured.
MOST_LIVE = 167_000
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


def judge(raw, name, heap=HEAP, models=None, https=False):
    """The Judgement of a configuration, the bytes of the file `name`. Raises TextError where it is
    none, and OSError for a folder of models that cannot be read.

    heap: bytes that the board has for Python. models: folder with the user's own models. https:
    whether it is to sync over https, for which a plain ESP32 must have room.
    """
    paths.use_library()
    from cistern import config
    from cistern.resources import catalog
    from cistern_tools.forecast import Forecast

    said = _load(models) if models else []
    try:
        machine = config.load(texts.decode(raw, name))
    except config.ConfigError as e:
        raise texts.TextError(name, e.line, e.column, e.message) from None
    plan = config.plan(machine, catalog)
    forecast = Forecast(plan, max(heap - LOADED, 0))
    said += [(p.level, p.path, p.message) for p in plan.problems]
    said += _of_the_board(plan, forecast)
    said += _hidden(machine)
    if any(level == "error" for level, _, _ in said):
        said += _nothing(plan, forecast, "of what is said above")
    else:
        said += _nothing(plan, forecast, "no component has a collector")
    text = _without_folder(machine) if plan.service.capture_dir else raw
    said += _memory(text, plan, forecast, heap, models)
    if https and heap <= HEAP and forecast.streams and not any(e == "error" for e, _, _ in said):
        said += _room_for_https(text, heap, models)
    return Judgement(plan, forecast, [_problem(*one) for one in dict.fromkeys(said)])


def _problem(level, path, message):
    named = _COMPONENT.match(path)
    return {
        "path": _COMPONENT.sub(r"\1", path, count=1) if named else path,
        "component": named[2] if named else None,
        "message": message,
        "level": level,
    }


def _load(folder):
    """Make the user's own models known; what is wrong with them."""
    from cistern.resources import own, own_models

    said = []

    def log(level, text):
        path, _, message = text.partition(": ")
        said.append((level, path, message))

    known = {model.path for model in own_models.values()}
    files = sorted(str(p) for p in Path(folder).iterdir() if p.suffix == ".py")
    own.load([p for p in files if p not in known], log)
    return said


def _of_the_board(plan, forecast):
    """What the board's program said besides when it was built and ran."""
    from cistern.resources import own_models

    own = tuple(f"{c.path}." for c in plan.components if c.model in own_models)
    for level, path, message in forecast.said:
        if level == "error" and path.startswith(own) and "no reading" in message:
            # What it talks to is not simulated.
            yield "warning", path, f"not tried on the simulated board, where it had {message}"
        elif level in ("error", "warning"):
            yield level, path, message


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


def _nothing(plan, forecast, why):
    """An error where a machine captures nothing that should not be asked for."""
    if plan.service.path is None and plan.collectors:
        return  # said already
    if plan.service.path is not None and plan.service.capture_disabled:
        return
    if not forecast.streams:
        idle = ", ".join(f'"{c.name}"' for c in plan.components if c.path) or "no component"
        yield (
            "error",
            "components",
            f"nothing is captured, because {why}: give a component service_configs of type "
            f"data_manager with capture_methods (components that run: {idle}), or set "
            "capture_disabled if that is meant",
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
