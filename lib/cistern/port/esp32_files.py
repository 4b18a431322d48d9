"""What is asked of a chip's filesystem when it starts; borrowed by esp32.py."""

import os


def model_files():
    """Paths of the user's own models (docs/MODELS.md)."""
    try:
        names = sorted(os.listdir("/models"))
    except OSError:
        return ()
    return ["/models/" + n for n in names if n.endswith((".py", ".mpy"))]


def room(folder):
    """Bytes that a log in `folder` may take: half of what is free there."""
    found = os.statvfs(folder)
    return found[0] * found[3] // 2
