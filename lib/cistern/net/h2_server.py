"""The server's role of HTTP/2: how streams begin when the peer opens them (RFC 9113)."""

from struct import pack

from cistern.net import const
from cistern.net.fields import check
from cistern.net.frames import ProtocolError
from cistern.net.h2 import Connection
from cistern.net.streams import Stream

_PROTOCOL_ERROR = const(1)
_STREAM_CLOSED = const(5)
_REFUSED_STREAM = const(7)
_ENHANCE_YOUR_CALM = const(11)
_SETTINGS = const(4)
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_PSEUDO = (b":method", b":scheme", b":path", b":authority")
# Streams that clients reset, less those that were answered. A client that takes its requests back
# as fast as it makes them costs a handler each time (CVE-2023-44487).
_MAX_RESETS = const(100)


class Server(Connection):
    """As Connection; a request is a HEADERS event with a stream whose owner is None.

    It is answered with headers(), data_header() and headers(…, end=True).
    max_streams: how many requests may be open at once; more are refused.
    """

    _push = 1  # a client may allow push; it is not used

    def __init__(self, window=16384, limit=4096, table=0, max_streams=8):
        self._allowed = max_streams
        super().__init__(window, limit, table)

    def _start(self, table):
        self._next = 2
        self._hello = _PREFACE
        self._resets = 0
        # HEADER_TABLE_SIZE, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_HEADER_LIST_SIZE
        self._put(
            _SETTINGS,
            0,
            0,
            pack(">HIHIHIHI", 1, table, 3, self._allowed, 4, self._grant, 6, self._limit),
        )

    def _run(self, data):
        """The client's preface comes before its frames (section 3.4)."""
        n = min(len(self._hello), len(data))
        if bytes(data[:n]) != self._hello[:n]:
            raise ProtocolError(_PROTOCOL_ERROR)
        self._hello = self._hello[n:]
        super()._run(data[n:])

    def _accept(self, sid, new):
        """Section 5.1.1: clients use odd ids, and each is above all before."""
        if sid & 1 and sid <= self._last and (not new or sid in self._reset):
            return None  # closed
        if not sid & 1 or not new or sid <= self._last:
            raise ProtocolError(_STREAM_CLOSED if sid == self._last else _PROTOCOL_ERROR)
        self._last = sid
        st = self.streams[sid] = Stream(sid, self._peer_window, self._grant, None)
        return st

    def _first(self, st, fields):
        """The header block of a request, section 8.3.1."""
        seen = check(fields, _PSEUDO)
        if not seen or not (seen.get(b":method") and seen.get(b":scheme") and seen.get(b":path")):
            self._fail(_PROTOCOL_ERROR)
        elif self.closing or len(self.streams) > self._allowed:
            self._fail(_REFUSED_STREAM)
        else:
            self._deliver(fields)

    def headers(self, st, fields, end=False):
        """Send a header block on a stream; with end, nothing follows it."""
        if end:
            self._resets = max(0, self._resets - 1)
        super().headers(st, fields, end)

    def _gone(self, st, code):
        """The client gave a stream up."""
        self._resets += 1
        if self._resets > _MAX_RESETS:
            raise ProtocolError(_ENHANCE_YOUR_CALM)
        super()._gone(st, code)
