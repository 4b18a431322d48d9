"""Which serial port a board is at."""

import os

from serial.tools import list_ports

from cistern_tools.board import BoardError


def choose(port):
    """The port that was asked for, or the only one of USB that there is. Raises BoardError."""
    if port:
        if os.name == "posix" and "://" not in port and not os.path.exists(port):
            raise BoardError(
                f"{port} cannot be opened: there is no such port; is the board plugged in?"
            )
        return port
    found = sorted(p.device for p in list_ports.comports() if p.vid is not None)
    if len(found) == 1:
        return found[0]
    if found:
        raise BoardError(f"give --port: there are {', '.join(found)}")
    raise BoardError(
        "no USB serial port found: plug the board in with a cable that carries data, install the "
        "driver of its USB chip (CP210x or CH340), or give --port"
    )
