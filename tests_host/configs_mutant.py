"""Machine configurations that a cloud may send: right ones, and wrong ones of every kind."""

import copy
import json

# What a value may be replaced by.
ODD = (
    *(None, True, False, 0, -1, 5, 2.5, 1e300, "", "x", "x" * 3000, "\u00fcml\u00e4ut \u20ac"),
    *([], [[]], [None], {}, {"": None}, {"a": {"b": [1]}}, "/", "\x00", "../..", "data_manager"),
)
MODELS = {
    "hang": "while True:\n            pass",
    "exit": "raise SystemExit",
    "interrupt": "raise KeyboardInterrupt",
    "memory": "raise MemoryError('no memory')",
    "deep": "Model(*more)",
    "none": "pass",
}
_MODEL = """
from cistern.resources.own import register


class Model:
    def __init__(self, *more):
        {}


register("sensor", "test:sensor:{}", Model)
"""
# What ends an import in one way or another.
IMPORTS = {
    "import_exit": "raise SystemExit",
    "import_syntax": "def (",
    "import_memory": "raise MemoryError('no memory')",
    "import_deep": "def f():\n    f()\n\n\nf()",
}


def write_models(folder):
    """Models whose factories do what MODELS says, and files that cannot be imported."""
    folder.mkdir()
    for name, body in MODELS.items():
        (folder / f"made_{name}.py").write_text(_MODEL.format(body, name))
    for name, text in IMPORTS.items():
        (folder / f"{name}.py").write_text(text + "\n")
    return folder


def sensor(name, model="fake", hz=20, **method):
    """A component that captures its readings."""
    method = {"method": "Readings", "capture_frequency_hz": hz, **method}
    attributes = {"capture_methods": [method]}
    return {
        "name": name,
        "type": "sensor",
        "model": model,
        "attributes": {"counter": True} if model == "fake" else {},
        "service_configs": [{"type": "data_manager", "attributes": attributes}],
    }


def machine(components, **service):
    """A machine that asks its cloud each second."""
    attributes = {"cloud_poll_secs": 1, "sync_interval_mins": 0.01, **service}
    manager = {"name": "dm", "type": "data_manager", "attributes": attributes}
    return {"components": components, "services": [manager]}


def _folder(dice, folder):
    file = folder / "a file"
    file.touch()
    path = dice.choice(
        (
            *("/proc/nothing/here", str(file), f"{file}/below", "/proc", "\x00", "x" * 5000),
            *(
                "/dev/null",
                str(folder / f"new-{dice.random()}" / "deep" / "er"),
                str(folder / "\u20ac"),
            ),
        )
    )
    return machine([sensor("a")], capture_dir=path)


def _many(dice, folder):
    count = dice.randrange(50, 140)
    return machine([sensor(f"s{i}", hz=dice.choice((0.2, 1, 10))) for i in range(count)])


def _huge(dice, folder):
    sizes = [dice.choice((1, 20, 500, 4000)) for _ in range(dice.randrange(1, 12))]
    made = machine([sensor(f"s{i}", cache_size_kb=kb) for i, kb in enumerate(sizes)])
    made["services"][0]["attributes"]["cache_size_kb"] = dice.choice((1, 4000))
    return made


def _models(dice, folder):
    names = [name for name in MODELS if name != "hang"]
    models = [dice.choice(names) for _ in range(dice.randrange(1, 4))]
    wrong = [sensor(f"m{i}", f"test:sensor:{model}") for i, model in enumerate(models)]
    return machine([*wrong, sensor("a"), sensor("u", "no:such:model")])


def _hang(dice, folder):
    return machine([sensor("a"), sensor("m", "test:sensor:hang")])


def _deep(dice, folder):
    made = machine([sensor("a"), sensor("b")])
    value = 1
    for _ in range(dice.randrange(5, 90)):
        value = dice.choice(([value], {"a": value}))
    made["components"][1]["attributes"]["deep"] = value
    return made


def _names(dice, folder):
    names = ["", " ", "\u20ac", "x" * 3000, "a/b", "a", "a", "\x00", '"', "-", "_x", "dm", "data"]
    return machine([sensor(dice.choice(names)) for _ in range(dice.randrange(2, 20))])


def _little(dice, folder):
    return dice.choice(({}, {"components": []}, {"services": []}, machine([]), {"odd": 1}))


def _text(dice, folder):
    text = json.dumps(machine([sensor("a")]))
    at = dice.randrange(len(text))
    return dice.choice((text[:at], text[:at] + "\x00" + text[at:], "", "null", '{"a": NaN}'))


def _slow(dice, folder):
    """Right, but the cloud is to be asked once a day: what comes next takes a restart."""
    return machine([sensor("a")], cloud_poll_secs=86400)


def places(value, path=()):
    """Paths of all values of a JSON value."""
    yield path
    if isinstance(value, (dict, list)):
        for key, child in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(child, (*path, key))


def _mutant(dice, folder):
    made = machine([sensor("a"), sensor("b"), sensor("c")])
    for _ in range(dice.randrange(1, 6)):
        path = dice.choice([p for p in places(made) if p])
        entry = made
        for key in path[:-1]:
            entry = entry[key]
        do = dice.randrange(4)
        if do == 0:
            del entry[path[-1]]
        elif do == 1 and isinstance(entry, list):
            entry.append(copy.deepcopy(entry[path[-1]]))
        else:
            entry[path[-1]] = copy.deepcopy(dice.choice(ODD))
    return made


KINDS = {
    "folder": _folder,
    "many": _many,
    "huge": _huge,
    "models": _models,
    "hang": _hang,
    "deep": _deep,
    "names": _names,
    "little": _little,
    "text": _text,
    "slow": _slow,
    "mutant": _mutant,
}
