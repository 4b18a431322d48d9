"""What a board knows of its earlier starts, and when a configuration is good.

It is when the board ran with it for GOOD_S and, where it has a cloud, has asked it since its
start. Until then the last good one stays beside it. Borrowed: what it makes stays, this code does
not.
"""

import gc
import json

GOOD_S = 15
# After so long a start counts as one that came to run, although the cloud could not be asked. It
# is longer than the watchdog, which ends what hangs.
RUN_S = 90
_PIECE = 20000  # TLS has a buffer of 17 KB; a heap in small pieces has no room for it
_FEW = 4  # of what did not start, that are remembered
_STARTS = "starts.json"  # the name in the port's state of what notes() gives
# Where each kind of configuration is kept, the good one in one of them and what is tried in the
# other. Of the cloud: its revision, a newline and the machine as JSON; the board's own: its text.
SLOTS = {"cloud": ("cloud.json", "cloud_2.json"), "own": ("machine.json", "machine_2.json")}
KINDS = ("cloud", "cloud", "own", "own", "")  # of each stage


class Trial:
    """What is being tried. stage: one of those below, which are tried one after the other. name:
    how it is known again; slot: where it is kept, "" where it could not be.

    starts: in a row that did not come to run, this one included. wait: the cloud is asked first.
    count: its components; limit: how many of them may run, None for all. asked_us, due_us: when
    judge() is to be called, by uptime, if the cloud was asked and if not; good_us: when it has run
    for long enough. tries: so many starts in a row may end without having come to run, and of what
    is good, or all that there is, patience: power cuts look like crashes.
    """

    cloud_new, cloud_good, own, own_good, nothing = range(5)
    tries = 3
    patience = 8
    stage = count = asked_us = due_us = good_us = 0
    starts = 1
    name = slot = ""
    limit = None
    wait = False


def due(app):
    """From now on the time counts in which a configuration becomes good."""
    trial = app.trial
    now = app.port.uptime_us()
    trial.good_us = trial.asked_us = now + GOOD_S * 1000000
    trial.due_us = now + RUN_S * 1000000
    if not app.cloud_at:
        trial.due_us = trial.good_us
    elif not is_new(trial, notes(app.port)):
        trial.asked_us = now  # if it ends now, there still was a chance to mend it


def look(app):
    """Raises MemoryError where what was made at a start left no room for what comes later, on a
    port that knows how much that is.
    """
    least = getattr(app.port, "least_heap", None)
    if least and not app.cloud:
        gc.collect()
        if app.port.mem_free() < least[bool(app.cloud_at)]:
            raise MemoryError
        bytearray(_PIECE)


def is_new(trial, found):
    """Whether it was never good, and another one was."""
    good = found["cloud_name"], found["own_name"]
    return bool(trial.name) and trial.name not in good and good != ("", "")


def less(trial):
    """Have an eighth of the components left out, where there is no memory for all."""
    # Where there was no memory to leave out so many, count is still that of before.
    n = trial.count if trial.limit is None else min(trial.limit, trial.count)
    trial.limit = n - max(n // 8, 1)


def judge(app, ended):
    """Say whether what is tried is good: the time for it has come, or the board ended in order."""
    trial = app.trial
    if not ended and trial.wait:
        trial.wait = False
        app.problems.pop("configuration", None)
        app.load(app.path)
    elif (app.asked or not app.cloud_at) and (ended or app.port.uptime_us() > trial.good_us):
        _good(app)
    elif app.asked:
        _came_to_run(app)
        trial.asked_us = trial.good_us
    elif not ended:
        _came_to_run(app)
        trial.due_us += RUN_S * 1000000
        said = app.unsynced or (app.uploader and app.uploader.error) or ""
        # What is at the board is captured whole, and may be mended there.
        from_cloud = trial.stage == trial.cloud_new
        if from_cloud and trial.count > 1 and "memory" in said:
            less(trial)
            app.load(app.path)
    elif not app.restarting:
        _came_to_run(app)


def _good(app):
    trial = app.trial
    app.trial = None
    if trial.wait:
        return
    found = notes(app.port)
    kind = KINDS[trial.stage]
    if kind and trial.slot and trial.limit is None:
        found[kind], found[kind + "_name"] = trial.slot, trial.name
        if trial.stage == trial.cloud_new:
            found["cloud_new"] = ""
    found["n"] = 0
    put(app.port, found)


def _came_to_run(app):
    found = notes(app.port)
    if found["n"] and not app.trial.wait:
        found["n"] = 0
        put(app.port, found)


def notes(port):
    """What is known of earlier starts, a dict.

    n: how many in a row did not come to run. of: the name of what they tried; step: a file that
    they did not come beyond. cloud, own: where the good one is kept; cloud_name, own_name: its
    name; cloud_new: the revision of the one that is kept beside it to be tried. bad: names of what
    does not start. skip: files that are left out.
    """
    made = {"n": 0, "bad": [], "skip": []}
    for key in ("of", "step", "cloud", "cloud_name", "cloud_new", "own", "own_name"):
        made[key] = ""
    try:
        found = json.loads(port.load_state(_STARTS) or "{}")
        for key in made:
            value = found.get(key)
            if isinstance(value, type(made[key])):
                made[key] = value
        for kind in SLOTS:
            if made[kind] not in SLOTS[kind]:
                made[kind] = made[kind + "_name"] = ""
    except Exception as e:  # it may be cut short, or anything
        port.log("warning", "what was kept of earlier starts cannot be read: %r" % e)
    return made


def put(port, found):
    """Keep what is known."""
    keep(port, _STARTS, json.dumps(found))


def add(found, key, name):
    """One more that is remembered of `bad` or `skip`."""
    found[key] = found[key][1 - _FEW :] + [name]


def keep(port, name, text):
    """Keep a text; False where it could not be."""
    try:
        port.save_state(name, text)
        return True
    except Exception as e:  # such as a filesystem that is full
        port.log("warning", "%s cannot be kept: %r" % (name, e))
        return False


def slots(found, kind):
    """Where the good one of a kind is kept, and where another one may be."""
    first, second = SLOTS[kind]
    return (second, first) if found[kind] == second else (first, second)


def say(app, what, level, text):
    """Log it, and have the status show it as long as it is so."""
    app.problems[what] = text
    app.port.log(level, text)
