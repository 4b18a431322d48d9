"""Which configuration a board runs when it starts: the newest, else what ran before it, else none,
so that it is online for another.

Borrowed by the App: what it makes stays, this code does not.
"""

import json
import os
from binascii import crc32

from cistern.borrow import borrow
from cistern.config import ConfigError, load

starts = borrow("cistern.starts")

# So long a board whose starts end again and again asks its cloud before it runs what it has.
ASK_S = 30
_MANY = 99


def begin(app):
    """A board starts; to be called when it is known whether it has a cloud."""
    trial = app.trial = starts.Trial()
    notes = starts.notes(app.port)
    notes["n"] = min(notes["n"] + 1, _MANY)
    _judge(app, notes)
    trial.name = notes["step"] = ""
    trial.starts = notes["n"]
    starts.put(app.port, notes)


def _judge(app, notes):
    """Decide what is left out in this start, where those before did not come to run."""
    trial = app.trial
    trial.name = notes["of"]
    new = starts.is_new(trial, notes)
    if notes["n"] <= (trial.tries if new or notes["step"] else trial.patience):
        return
    if notes["step"]:
        starts.add(notes, "skip", notes["step"])
        notes["n"] = 1
    elif new:
        starts.add(notes, "bad", trial.name)
        notes["n"] = 1
    elif app.cloud_at:
        trial.wait = True


def load_models(app):
    """Import the user's own models, but for one that starts did not come beyond."""
    port = app.port
    paths = port.model_files()
    if not paths:
        return
    from cistern.resources.own import load as load_model

    notes = starts.notes(port)
    for path in paths:
        try:
            found = os.stat(path)
        except OSError as e:  # a link to nowhere
            starts.say(app, path, "error", "%s cannot be read: %s" % (path, e))
            continue
        step = "%s %d %d" % (path, found[6], found[8])
        if step in notes["skip"]:
            text = "%s: left out, %d starts did not come beyond it; it is tried when it changes"
            starts.say(app, path, "error", text % (path, starts.Trial.tries))
            continue
        if app.trial.starts > 1:
            notes["step"] = step
            starts.put(port, notes)
        load_model((path,), port.log)
    if notes["step"]:
        notes["step"] = ""
        starts.put(port, notes)


def first(app, path, text):
    """[machine] to run, [] where there is none; see App.load()."""
    if not app.trial:
        begin(app)
    trial = app.trial
    app.path = path
    if not trial.wait:
        return _next(app, text, trial.stage)
    notes = starts.notes(app.port)
    new = _new(app.port, notes)
    if new and new[0] in notes["bad"]:
        app.revision = new[0]
    trial.asked_us = app.port.uptime_us()
    trial.due_us = trial.asked_us + ASK_S * 1000000
    text = "the last %d starts ended before they came to run: the cloud is asked, then it goes on"
    starts.say(app, "configuration", "warning", text % (trial.starts - 1))
    borrow("cistern.setup").open_early(app, {})
    return [{}]


def after(app, text, error):
    """As first(), when what was given before ended in `error`."""
    trial = app.trial
    if isinstance(error, MemoryError) and trial.count > 1:
        starts.less(trial)
        return _next(app, text, trial.stage)
    what = "the configuration %s does not start: %s: %s"
    name = trial.name[:12]
    starts.say(app, "configuration", "error", what % (name, type(error).__name__, error))
    if trial.stage in (starts.Trial.cloud_new, starts.Trial.own):
        notes = starts.notes(app.port)
        starts.add(notes, "bad", trial.name)
        starts.put(app.port, notes)
    trial.limit = None
    return _next(app, text, trial.stage + 1)


def _next(app, text, stage):
    """[machine] of the first stage from `stage` on that has one."""
    port, trial = app.port, app.trial
    notes = starts.notes(port)
    if trial.limit is None:
        trial.count = 0
        app.problems.pop("memory", None)
    while stage <= starts.Trial.nothing:
        trial.stage = stage
        machine = _of_stage(app, notes, text)
        if machine is not None:
            if notes["of"] != trial.name:
                notes["of"] = trial.name
                starts.put(port, notes)
            starts.due(app)
            borrow("cistern.setup").open_early(app, machine)
            return [machine]
        trial.limit = None
        stage += 1
    return []


def _parsed(app, text, parse):
    """What parse(text) gives, with as many of its components as there is memory for."""
    trial = app.trial
    while True:
        part = text
        try:
            if trial.limit is not None:
                part = _cut(app, text.encode() if isinstance(text, str) else text)
            machine = parse(part)
            components = machine.get("components") if isinstance(machine, dict) else None
            trial.count = len(components) if isinstance(components, list) else 0
            return machine
        except MemoryError:
            if trial.limit is None:
                cut = borrow("cistern.config.cut")
                trial.count = cut.count(text.encode() if isinstance(text, str) else text)
            if trial.count < 2 or trial.limit == 0:
                raise
            starts.less(trial)


def _cut(app, text):
    trial = app.trial
    part, names = borrow("cistern.config.cut").cut(text, trial.limit)
    for i, name in enumerate(names):
        if trial.limit + i < trial.count:  # else it was said before
            text = 'components[%d] "%s": left out: this board has no memory for so many'
            app.port.log("error", text % (trial.limit + i, name))
    text = "no memory for all components: those from components[%d] on are left out"
    app.problems["memory"] = text % trial.limit
    trial.count = trial.limit
    return part


def _of_stage(app, notes, text):
    """The machine, a dict, of the stage that is tried, or None."""
    port, trial = app.port, app.trial
    try:
        if trial.stage == starts.Trial.nothing:
            return _nothing(app)
        if trial.stage == starts.Trial.own:
            return _own(app, notes, text)
        if starts.KINDS[trial.stage] == "cloud":
            return _of_cloud(app, notes)
        slot = starts.slots(notes, "own")[0]
        text = port.load_state(slot)
        if not text or _name(text) == trial.name:
            return None  # it was tried this moment
        machine = _parsed(app, text, load)
        trial.name, trial.slot = _name(text), slot
        port.log("warning", "running the last good configuration")
        return machine
    except Exception as e:  # files of a board may hold anything
        port.log("warning", "a configuration on this board cannot be read: %r" % e)
        return None


def _nothing(app):
    app.trial.name = app.trial.slot = ""
    if app.cloud_at:
        app.port.log("warning", "waiting for the cloud's configuration; nothing is captured")
        return {}
    app.port.log("error", "there is no earlier configuration to run; mend this one")
    return None


def _of_cloud(app, notes):
    port, trial = app.port, app.trial
    if not app.cloud_at:
        return None
    if trial.stage == starts.Trial.cloud_new:
        found = _new(port, notes)
        if found and found[0] in notes["bad"]:
            # It is known, so that the cloud does not give it again.
            app.revision = found[0]
            text = "the cloud's configuration %s did not start; without it until it changes"
            starts.say(app, "configuration", "error", text % found[0][:12])
            return None
    else:
        slot = starts.slots(notes, "cloud")[0]
        found = _parts(port.load_state(slot), slot)
    machine = found and _parsed(app, found[1], json.loads)
    if not isinstance(machine, dict):
        return None
    if app.revision is None or trial.stage == starts.Trial.cloud_new:
        app.revision = found[0]
    trial.name, trial.slot = found[0], found[2]
    port.log("info", "the cloud's configuration %s of last time runs" % found[0][:12])
    return machine


def _new(port, notes):
    """(revision, machine as JSON, where it is kept) of the cloud's that is to be tried."""
    slot = starts.slots(notes, "cloud")[1]
    found = _parts(port.load_state(slot), slot)
    return found if found and found[0] == notes["cloud_new"] else None


def _parts(text, slot):
    revision, line, rest = (text or "").partition("\n")
    return (revision, rest, slot) if line else None


def _own(app, notes, text):
    port, trial, path = app.port, app.trial, app.path
    try:
        if text is None:
            with open(path, "rb") as f:
                text = f.read()
        machine = _parsed(app, text, load)
    except OSError as e:
        starts.say(app, "configuration", "error", "%s: %s" % (path, e))
        return None
    except ConfigError as e:
        text = "%s:%d:%d: %s" % (path, e.line, e.column, e.message)
        starts.say(app, "configuration", "error", text)
        return None
    name = _name(text)
    if name in notes["bad"] and notes["own_name"]:
        text = "%s did not start; the one before runs until it changes" % path
        starts.say(app, "configuration", "error", text)
        return None
    trial.name = name
    good, other = starts.slots(notes, "own")
    trial.slot = good
    if name != notes["own_name"]:
        trial.slot = other if notes["own_name"] else good
        if not isinstance(text, str):
            text = str(text, "utf-8")
        if not starts.keep(port, trial.slot, text):
            trial.slot = ""
    return machine


def _name(text):
    return "own %08x" % crc32(text.encode() if isinstance(text, str) else text)
