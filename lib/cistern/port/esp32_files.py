"""A chip's filesystem: models, what the port keeps, room for a log; borrowed by esp32.py."""

import os

const = int  # MicroPython's compiler knows const() by its name

# The largest partition that a board of ours has; each 4 KB take 7 bytes of RAM.
_MOST = const(4 << 20)


def model_files():
    """Paths of the user's own models (docs/MODELS.md)."""
    try:
        names = sorted(os.listdir("/models"))
    except OSError:
        return ()
    return ["/models/" + n for n in names if n.endswith((".py", ".mpy"))]


def room(folder, own):
    """Bytes that a log in `folder` may take which takes `own` bytes now: half of what would be
    free there without it, and 4 MiB at most.
    """
    found = os.statvfs(folder)
    return min((found[0] * found[3] + own) // 2, _MOST)


def load_state(name):
    """What save_state() kept under `name`, as text, or None."""
    try:
        with open("/last_" + name) as f:
            return f.read()
    except OSError:
        return None


def save_state(name, text):
    """Keep `text` under `name`: a power cut leaves the old or the new text, whole."""
    try:
        same = load_state(name) == text
    except (ValueError, MemoryError):  # whatever is there, it is no text of ours
        same = False
    if not same:
        with open("/last_new", "w") as f:
            f.write(text)
        # LittleFS replaces a file in one step.
        os.rename("/last_new", "/last_" + name)
