"""The device's log on its way to the cloud: what was said lately, in bounded memory."""

from cistern.borrow import lend

# Of all lines that wait; the oldest make room. One takes its text and about as much as LINE_BYTES
# of heap.
LOG_BYTES = 3000
LINE_BYTES = 100
MAX_LINE = 300  # characters


class Journal:
    """Hears what `port` logs. secret: is masked before anyone sees it. show(level, text): for the
    port alone.

    lines: what waits, [uptime in µs, level, text, how often it was said].
    """

    def __init__(self, port, secret):
        self.lines = []
        self._port = port
        self._secret = secret or "\0"
        self.show = port.log
        port.log = self.log

    def log(self, level, text):
        """One line, for the port and for the cloud. Said again it only counts."""
        text = _sound(text.replace(self._secret, "***"))
        self.show(level, text)
        text = text[:MAX_LINE]
        for line in self.lines:
            if line[2] == text:
                line[3] += 1
                return
        if level != "debug":
            self.lines.append([self._port.uptime_us(), level, text, 1])
            while sum([len(line[2]) + LINE_BYTES for line in self.lines]) > LOG_BYTES:
                self.lines.pop(0)


def _sound(text):
    """A text that protobuf takes; where it has half a character, there is a ? instead."""
    try:
        data = text.encode()
    except UnicodeError:  # CPython
        data = b"\xff"
    if data and max(data) > 127:
        text = lend("cistern.record.reading").mended(text)
    return text
