"""Models of the user's own that never return, and so have the watchdog restart the board.

Borrowed in a start after the watchdog's. Such a start has a mark in the port's state while a model
is made and while it is read the first time. Where the next start finds it, the watchdog has come
again, and that component is left out until the board starts for another reason.
"""

from cistern.resources import ResourceError

STATE = "hung.txt"  # lines: names of components to leave out, and behind ? the one that is tried
_TRIED = "?"


class Hung:
    """Watches the first read of a component."""

    def __init__(self, port, path, component):
        self._port = port
        self._name = component
        if component in _hung(port):
            raise ResourceError(
                "%s: it did not return, and the watchdog restarted the board twice for it; it is "
                "left out until the board is reset or switched off" % path
            )

    def first(self, call, *args):
        """Call, marked as what is tried."""
        port = self._port
        text = port.load_state(STATE) or ""
        port.save_state(STATE, text + _TRIED + self._name + "\n")
        try:
            return call(*args)
        finally:
            port.save_state(STATE, text)

    def once(self, call):
        """A function that calls, and the first time is marked."""
        waits = [self]

        def read(*args):
            return waits.pop().first(call, *args) if waits else call(*args)

        return read


def _hung(port):
    """Names of the components that did not return."""
    text = port.load_state(STATE) or ""
    found = [line.replace(_TRIED, "") for line in text.split("\n") if line]
    if _TRIED in text:
        port.save_state(STATE, "".join([name + "\n" for name in found]))
    return found


def forget(port):
    """The board starts for another reason than the watchdog's."""
    if port.load_state(STATE):
        port.save_state(STATE, "")
