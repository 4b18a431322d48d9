"""One program at a time has a simulated flash: two boards on one would destroy its log.

flock(2) is on the open file, so a board's lock ends with its process, however that ends.
"""

import fcntl
import os


class FlashInUseError(Exception):
    """Another board runs on the flash; the message says so and what to do."""


def hold(path):
    """Lock the flash file, made if absent; the open descriptor, which programs that this one
    becomes by exec keep. Raises FlashInUseError, and OSError for a file that cannot be opened.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise FlashInUseError(
            f"a simulated board runs on {path}: end it first, or give another flash file"
        ) from None
    os.set_inheritable(descriptor, True)
    return descriptor
