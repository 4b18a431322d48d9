"""Frame lengths of HTTP/2, checked before anything is collected."""

import h2.exceptions

from .limits import MAX_FRAME

FRAME_HEADER = 9  # bytes, RFC 9113 section 4.1
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


class FrameSizes:
    """Refuses a frame that is too long at its header; h2 would first collect all of it."""

    def __init__(self):
        self._skip = len(PREFACE)
        self._header = b""

    def feed(self, data):
        """Looks at what was received; raises FrameTooLargeError (RFC 9113 section 4.2)."""
        at = 0
        while at < len(data):
            if self._skip:
                step = min(self._skip, len(data) - at)
                self._skip -= step
                at += step
                continue
            more = data[at : at + FRAME_HEADER - len(self._header)]
            self._header += more
            at += len(more)
            length = int.from_bytes(self._header[:3], "big")
            if len(self._header) >= 3 and length > MAX_FRAME:
                raise h2.exceptions.FrameTooLargeError(f"a frame of {length} bytes")
            if len(self._header) == FRAME_HEADER:
                self._skip, self._header = length, b""
