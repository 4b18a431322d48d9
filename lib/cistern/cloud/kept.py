"""Configurations of the cloud, kept on the board: the last good one for a start without the cloud,
and one that there was no room to take while the board ran, for the next start.
"""

import json

STATE = "cloud.json"  # its name in the port's state: the revision, a newline, the machine as JSON
# The same of the other, after one of these: to be tried, being tried, tried in vain.
NEXT = "cloud_next.json"
_NEW, _TRIED, _FAILED = "?!x"


def keep(port, revision, machine):
    """Have it at the next start; with machine None, none."""
    port.save_state(STATE, _text(revision, machine) if machine else "")
    if port.load_state(NEXT):
        port.save_state(NEXT, "")


def keep_for_restart(port, revision, machine):
    """Have it tried at the next start, once. MemoryError: the one before runs until it changes."""
    try:
        port.save_state(NEXT, _NEW + _text(revision, machine))
    except MemoryError:
        port.save_state(NEXT, _FAILED + revision + "\n")
        raise


def _text(revision, machine):
    return revision + "\n" + json.dumps(machine)


def started(port):
    """The board runs: what it was to try is good."""
    text = port.load_state(NEXT)
    if text and text[0] == _TRIED:
        port.save_state(STATE, text[1:])
        port.save_state(NEXT, "")


def kept(port):
    """(revision, machine), both None where there is none. Where one was tried in vain, its
    revision comes with the machine of before, so that it is not taken again.
    """
    text = port.load_state(NEXT)
    if text and text[0] == _NEW:
        port.save_state(NEXT, _TRIED + text[1:])
        return _read(port, text[1:])
    revision, machine = _read(port, port.load_state(STATE))
    if text:
        revision = text[1:].partition("\n")[0]
        if text[0] == _TRIED:
            port.save_state(NEXT, _FAILED + text[1:])
            what = (
                "the cloud's configuration %s did not start; the one before runs until it changes"
            )
            port.log("error", what % revision[:12])
    return revision, machine


def _read(port, text):
    if text:
        revision, _, text = text.partition("\n")
        try:
            machine = json.loads(text)
            port.log("info", "the cloud's configuration %s of last time runs" % revision[:12])
            return revision, machine
        except ValueError:  # NaN came from the cloud
            pass
    return None, None
