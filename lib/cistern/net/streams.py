"""The streams of an HTTP/2 connection, and what is sent on them (RFC 9113); see h2.Connection."""

from struct import pack, pack_into

from cistern.net import const
from cistern.net.frames import Reader
from cistern.net.hpack import Decoder, encode

# Frame types and flags, section 6.
_DATA = const(0)
_HEADERS = const(1)
_RST_STREAM = const(3)
_SETTINGS = const(4)
_PING = const(6)
_GOAWAY = const(7)
_WINDOW_UPDATE = const(8)
_CONTINUATION = const(9)
_END_STREAM = const(1)
_END_HEADERS = const(4)

_CANCEL = const(8)  # error code, section 7
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

# The halves of a stream that are closed; section 5.1 without the reserved states, which need push:
# 0 open, 1 half-closed (local), 2 half-closed (remote), 3 closed (and then forgotten).
_LOCAL = const(1)
_REMOTE = const(2)
_CLOSED = const(3)

_DEFAULT_WINDOW = const(65535)  # section 6.9.2
_MAX_FRAME = const(16384)  # section 4.2: nobody may refuse less, and we do not send more
# One stream id above 2^30 would be a big integer on a 32-bit board: reconnect before that.
_MAX_ID = const(0x3FFFFFFF)
# Streams we reset whose frames may still be on their way (section 5.4.2).
_REMEMBERED = const(8)


class Stream:
    """One stream. id: its number. owner: what the driver finds with it."""

    def __init__(self, sid, send_window, window, owner):
        self.id = sid
        self.owner = owner
        self.closed = 0  # halves, see _LOCAL
        self.window = send_window  # may be negative, section 6.9.2
        self.room = window  # what the peer may still send
        self.eaten = 0  # of that, consumed and not yet given back
        self.opened = False  # the peer's first header block has come
        self.length = -1  # what content-length promises and has not come; -1 unknown


class Sender(Reader):
    """What both ways share, and what goes out.

    window: bytes that the peer may send on one stream before they are consumed().
    limit: the largest header list taken; a larger one ends its stream.
    table: bytes of HPACK table granted to the peer.
    """

    def __init__(self, window=16384, limit=4096, table=0):
        super().__init__()
        self.streams = {}
        self.error = None  # the ProtocolError that ended the connection
        self.closing = False  # no new streams: GOAWAY came or went, or the ids are used up
        self.window = _DEFAULT_WINDOW  # what we may send on the connection
        self.max_streams = _MAX_ID  # the peer's SETTINGS_MAX_CONCURRENT_STREAMS
        self._grant = window
        self._limit = limit
        self._peer_window = _DEFAULT_WINDOW  # the peer's SETTINGS_INITIAL_WINDOW_SIZE
        self._room = _DEFAULT_WINDOW  # what the peer may send on the connection
        self._eaten = 0  # of that, what has come and was not given back
        self._decoder = Decoder(table, limit)
        self._reset = []  # ids of streams that we reset lately
        self.idle = 0  # see _MAX_IDLE_FRAMES; the driver may set it to 0 as time passes
        self._answers = 0  # see _MAX_ANSWERS
        self._out = bytearray()
        self._prefix = b"\x20"  # of our first block: HPACK table size 0 (RFC 7541, 4.2)
        self._last = 0  # the highest stream id of the peer's
        self._start(table)

    def _start(self, table):
        """The client's preface, section 3.4, and its first stream id (section 5.1.1)."""
        self._next = 1
        self._out.extend(_PREFACE)
        # HEADER_TABLE_SIZE, ENABLE_PUSH 0, INITIAL_WINDOW_SIZE, MAX_HEADER_LIST_SIZE
        self._put(
            _SETTINGS, 0, 0, pack(">HIHIHIHI", 1, table, 2, 0, 4, self._grant, 6, self._limit)
        )

    def pending(self):
        """How many bytes wait for take()."""
        return len(self._out)

    def take(self):
        """The bytes to write now; they are forgotten here."""
        out = self._out
        self._out = bytearray()
        self._answers = 0
        return out

    def _put(self, kind, flags, sid, payload):
        """Queue a frame; payload is bytes or a 32-bit number."""
        if isinstance(payload, int):
            payload = pack(">I", payload)
        self._out.extend(pack(">BHBBI", 0, len(payload), kind, flags, sid))
        self._out.extend(payload)

    def open(self, fields, end=False, owner=None):
        """Start a stream with a header block; returns it. The caller minds max_streams."""
        sid = self._next
        self._next = sid + 2
        if sid >= _MAX_ID - 2:
            self.closing = True
        st = self.streams[sid] = Stream(sid, self._peer_window, self._grant, owner)
        self.headers(st, fields, end)
        return st

    def headers(self, st, fields, end=False):
        """Send a header block on a stream; with end, nothing follows it."""
        block = bytearray(self._prefix)
        self._prefix = b""
        encode(block, fields)
        kind = _HEADERS
        flags = _END_STREAM if end else 0
        while True:  # section 6.10: what does not fit one frame continues
            part = block[:_MAX_FRAME]
            block = block[_MAX_FRAME:]
            self._put(kind, flags if block else flags | _END_HEADERS, st.id, part)
            if not block:
                break
            kind = _CONTINUATION
            flags = 0
        if end:
            self._close(st, _LOCAL)

    def sendable(self, st):
        """How many bytes of DATA may go out on a stream now; 0 when none."""
        return max(0, min(self.window, st.window, _MAX_FRAME))

    def data_header(self, buf, at, st, n, end):
        """Write the 9 bytes of a DATA frame's header into buf[at:].

        Its payload follows them in the driver's buffer: n bytes, at most sendable(st).
        """
        pack_into(">BHBBI", buf, at, 0, n, _DATA, _END_STREAM if end else 0, st.id)
        self.window -= n
        st.window -= n
        self.idle = 0
        if end:
            self._close(st, _LOCAL)

    def consumed(self, st, n):
        """The driver is done with n bytes of DATA: the peer may send as many more (section 6.9).

        Given back in halves of the window, so that few frames are spent on it.
        """
        st.eaten += n
        if st.eaten * 2 >= self._grant and not st.closed & _REMOTE:
            self._put(_WINDOW_UPDATE, 0, st.id, st.eaten)
            st.room += st.eaten
            st.eaten = 0

    def reset(self, st, code=_CANCEL):
        """Give a stream up (section 6.4); what still comes for it is dropped."""
        if st.closed < _CLOSED:
            st.closed = _CLOSED
            del self.streams[st.id]
            self._put(_RST_STREAM, 0, st.id, code)
            self._reset.append(st.id)
            if len(self._reset) > _REMEMBERED:
                self._reset.pop(0)

    def ping(self):
        """Ask for a PONG event."""
        self._put(_PING, 0, 0, b"cistern\0")

    def goaway(self, code=0):
        """Announce the end of the connection (section 6.8)."""
        self.closing = True
        self._put(_GOAWAY, 0, 0, pack(">II", self._last, code))

    def _close(self, st, half):
        st.closed |= half
        if st.closed == _CLOSED:
            del self.streams[st.id]
