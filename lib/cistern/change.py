"""A configuration that comes from the cloud while the board runs. Borrowed by the App."""

import json

from cistern.borrow import borrow

starts = borrow("cistern.starts")


def change(app, config, revision):
    """Have the board run `config`, a RobotConfig; where the revision is "", the cloud has none.

    What it cannot be is said, and the old one goes on.
    """
    before, app.revision = app.revision, revision
    log, name = app.port.log, revision[:12]
    try:
        if not name:
            log("info", "the cloud has no configuration for this part; the board's own runs")
            if before or (app.trial and app.trial.wait):
                _forget(app)
            return
        try:
            machine = borrow("cistern.cloud.machine").read_config(config)
        except MemoryError:
            if not app.trial or not app.trial.wait:
                _ask_first(app)
            raise
        _push(app, revision, machine)
    except Exception as e:  # such as no memory for it
        log("error", "the cloud's configuration %s is refused: %r" % (name, e))


def _push(app, revision, machine):
    port = app.port
    notes = starts.notes(port)
    good, slot = starts.slots(notes, "cloud")
    stage = starts.Trial.cloud_new
    notes["cloud_new"] = ""
    if revision == notes["cloud_name"]:
        slot = good
        stage = starts.Trial.cloud_good
    else:
        slot = _kept(port, slot, revision, machine)
        notes["cloud_new"] = revision
    if revision in notes["bad"]:
        notes["bad"].remove(revision)
    notes["n"], notes["of"] = 1, revision
    starts.put(port, notes)
    trial = app.trial = starts.Trial()
    trial.stage, trial.name, trial.slot = stage, revision, slot
    starts.due(app)
    app.problems.pop("configuration", None)
    app.problems.pop("memory", None)
    try:
        app.take(machine)
    except MemoryError:
        # TLS has what it takes; at the start there is more. Some of what ran may be gone.
        app.trial = None
        app.restarting = True
        if not slot:
            starts.add(notes, "bad", revision)
            starts.put(port, notes)
            raise
        text = "the board restarts to take the cloud's configuration %s"
        port.log("warning", text % revision[:12])
    except Exception as e:  # whatever it is, the board must be there for another
        app.load(app.path, None, e)
    else:
        port.log("info", "the cloud's configuration %s runs" % revision[:12])


def _kept(port, slot, revision, machine):
    """The slot, or "" where it could not be kept there."""
    try:
        return (starts.keep(port, slot, revision + "\n" + json.dumps(machine)) and slot) or ""
    except MemoryError:
        # Else what was kept there before would be taken for it.
        starts.keep(port, slot, revision + "\n")
        return ""


def _forget(app):
    notes = starts.notes(app.port)
    for slot in starts.SLOTS["cloud"]:
        if app.port.load_state(slot):
            starts.keep(app.port, slot, "")
    notes["cloud"] = notes["cloud_name"] = notes["cloud_new"] = ""
    starts.put(app.port, notes)
    app.trial = starts.Trial()
    app.problems.pop("configuration", None)
    app.load(app.path)


def _ask_first(app):
    """Restart and ask before anything else takes memory, so that this configuration finds room."""
    notes = starts.notes(app.port)
    notes["n"], notes["of"] = starts.Trial.patience, ""
    starts.put(app.port, notes)
    app.trial = None
    app.restarting = True
