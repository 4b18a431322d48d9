"""The cloud's last good configuration, kept on the board for a start without the cloud."""

import json

STATE = "cloud.json"  # its name in the port's state: the revision, a newline, the machine as JSON


def keep(port, revision, machine):
    """Have it at the next start; with machine None, none."""
    port.save_state(STATE, revision + "\n" + json.dumps(machine) if machine else "")


def kept(port):
    """(revision, machine), both None where there is none."""
    text = port.load_state(STATE)
    if text:
        revision, _, text = text.partition("\n")
        try:
            machine = json.loads(text)
            port.log("info", "the cloud's configuration %s of last time runs" % revision[:12])
            return revision, machine
        except ValueError:  # NaN came from the cloud
            pass
    return None, None
