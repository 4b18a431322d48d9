"""HTTP/2, RFC 9113, as a state machine: bytes in, events and bytes out.

`Connection` is the client; h2_server.Server, the other role, differs only in how streams begin.
The driver feeds what it received to `receive()` and writes what `take()` returns. DATA payload is
neither copied nor kept on its way in, and on its way out it is framed in the driver's own buffer
(`data_header`).

Events are tuples, their kinds as in events.py, in the order of the wire, the same however the
bytes were cut (but for the number of DATA events):

    (HEADERS, stream, fields)     (DATA, stream, memoryview, valid until the next receive())
    (END, stream)                 (RESET, stream, error code, by_peer)
    (WINDOW, stream or None)      (SETTINGS, None)      (PONG, None)
    (GOAWAY, None, last stream id, error code, debug bytes)
"""

from struct import unpack_from

from cistern.net import const
from cistern.net.fields import check
from cistern.net.frames import ProtocolError
from cistern.net.hpack import HpackError
from cistern.net.streams import Sender

# Error codes, section 7; why.error_name() has their names.
_PROTOCOL_ERROR = const(1)
_FLOW_CONTROL_ERROR = const(3)
_STREAM_CLOSED = const(5)
_REFUSED_STREAM = const(7)
_COMPRESSION_ERROR = const(9)
_ENHANCE_YOUR_CALM = const(11)

# Frame types, section 6; also the kinds of events.
_DATA = const(0)
_HEADERS = const(1)
_RST_STREAM = const(3)
_SETTINGS = const(4)
_PING = const(6)
_GOAWAY = const(7)
_WINDOW_UPDATE = const(8)
_CONTINUATION = const(9)
_END = const(10)  # only an event

# Flags.
_END_STREAM = const(1)  # of DATA and HEADERS; the same bit is ACK of SETTINGS and PING
_END_HEADERS = const(4)
_PADDED = const(8)

# Halves of a stream that are closed, see streams.
_REMOTE = const(2)
_CLOSED = const(3)

_DEFAULT_WINDOW = const(65535)  # section 6.9.2
_MAX_WINDOW = 0x7FFFFFFF
_MAX_FRAME = const(16384)  # section 4.2

# A block may have this many CONTINUATION frames. One frame of 16 KB is already far above any
# header limit of ours, but a peer may cut small.
_MAX_CONTINUATIONS = const(8)
# Frames in a row that bring nothing: all but DATA with payload and header blocks, until we send
# DATA or the driver sets `idle` back. Servers send two or three a DATA frame of ours; a flood of
# 1,000 costs the peer 9 KB and an ESP32 1 s of CPU.
_MAX_IDLE_FRAMES = const(1000)
# Bytes of answers (acks, resets, window updates) that receive() queued and nobody took: 60 PINGs.
# A peer that makes us answer and does not read is cut off here.
_MAX_ANSWERS = const(1024)
_MAX_DEBUG = const(64)  # bytes of a GOAWAY's text that are kept


class Connection(Sender):
    """One connection; for its parameters see streams.Sender."""

    _push = 0  # the largest ENABLE_PUSH to take: a server must not enable it (section 6.5.2)

    def receive(self, data):
        """Take bytes from the peer; returns a list of events.

        When the peer broke the protocol, `error` is set afterwards, a GOAWAY waits in take(), and
        whatever follows is ignored: the driver writes and closes (section 5.4.1).
        """
        self._events = events = []
        before = len(self._out)
        if not self.error:
            try:
                self._run(memoryview(data))
                self._answers += len(self._out) - before
                if self._answers > _MAX_ANSWERS:
                    raise ProtocolError(_ENHANCE_YOUR_CALM)
            except ProtocolError as e:
                self.error = e
            except HpackError:
                self.error = ProtocolError(_COMPRESSION_ERROR)  # section 4.3
            if self.error:
                self.goaway(self.error.code)
        return events

    def _find(self, sid, new=False):
        """The stream of a frame; None for a closed one. An idle one is an error (section 5.1)."""
        st = self.streams.get(sid)
        if not st and (sid >= self._next or (sid ^ self._next) & 1):
            return self._accept(sid, new)
        return st

    def _accept(self, sid, new):
        """Not a stream that we opened. A server opens none without push (section 5.1.1)."""
        raise ProtocolError(_PROTOCOL_ERROR)

    def _fail(self, code):
        """Stream error (section 5.4.2): its stream is over, the rest of the frame is skipped."""
        st = self._stream
        self._stream = None
        if st:
            self.reset(st, code)
            self._events.append((_RST_STREAM, st, code, False))
        elif self._sid not in self._reset:
            self._put(_RST_STREAM, 0, self._sid, code)

    def _enter(self, kind, flags, sid, n):
        """A frame begins."""
        self.idle += 1
        if self.idle > _MAX_IDLE_FRAMES:
            raise ProtocolError(_ENHANCE_YOUR_CALM)
        if kind == _CONTINUATION:
            self._count += 1
            if self._count > _MAX_CONTINUATIONS:
                raise ProtocolError(_ENHANCE_YOUR_CALM)
        elif kind == _HEADERS:
            self._stream = self._find(sid, True)
            self._block = bytearray()
            self._ends = flags & _END_STREAM
            self._count = 0
        elif kind == _GOAWAY:
            self._block = bytearray()
        elif kind == _DATA:
            st = self._stream = self._find(sid)
            self._eaten += n  # padding counts, section 6.9.1
            self._room -= n
            if self._room < 0:
                raise ProtocolError(_FLOW_CONTROL_ERROR)
            if st:
                st.room -= n
            if not st or st.closed & _REMOTE:  # section 5.1
                self._fail(_STREAM_CLOSED)
            elif not st.opened:  # section 8.1
                self._fail(_PROTOCOL_ERROR)
            elif st.room < 0:
                self._fail(_FLOW_CONTROL_ERROR)

    def _piece(self, chunk):
        """Payload, as much of it as came."""
        kind = self._kind
        if kind == _DATA:
            st = self._stream
            if st:
                self.idle = 0
                self._events.append((_DATA, st, chunk))
                if st.length >= 0:
                    st.length -= len(chunk)
                    if st.length < 0:  # section 8.1.1
                        self._fail(_PROTOCOL_ERROR)
        elif kind == _GOAWAY:
            self._block.extend(chunk[: _MAX_DEBUG - len(self._block)])
        elif kind in (_HEADERS, _CONTINUATION) and self._block is not None:
            self._block.extend(chunk)
            if len(self._block) > self._limit:  # then its list is above the limit as well
                self._block = None
                self._decoder.skip()

    def _leave(self, kind):
        """A frame is over."""
        if kind <= _CONTINUATION and self._DONE[kind]:
            self._DONE[kind](self)

    def _data_done(self):
        if self._eaten * 2 >= _DEFAULT_WINDOW:
            self._put(_WINDOW_UPDATE, 0, 0, self._eaten)
            self._room += self._eaten
            self._eaten = 0
        if self._stream:
            if self._flags & _PADDED:
                self.consumed(self._stream, 1 + self._buf[0])
            if self._flags & _END_STREAM:
                self._end()

    def _headers_done(self):
        if not self._flags & _END_HEADERS:
            self._continue = self._sid
            return
        self._continue = 0
        # A block is decoded even if it is dropped then: it may carry state (section 4.3).
        fields = None if self._block is None else self._decoder.decode(self._block)
        self._block = None
        st = self._stream
        if not st or st.closed & _REMOTE:
            self._fail(_STREAM_CLOSED)
        elif fields is None:  # above the limit, section 10.5.1
            self._fail(_ENHANCE_YOUR_CALM)
        elif not st.opened:
            self._first(st, fields)
        elif not self._ends or check(fields, ()) is None:
            self._fail(_PROTOCOL_ERROR)  # trailers end the stream and have no pseudo (8.1)
        else:
            self._deliver(fields)

    def _first(self, st, fields):
        """The first header block of a response, section 8.3.2."""
        status = (check(fields, (b":status",)) or {}).get(b":status", b"")
        if len(status) != 3 or not status.isdigit() or (self._ends and status < b"200"):
            self._fail(_PROTOCOL_ERROR)
        elif status >= b"200":  # others are interim, section 8.1
            self._deliver(fields)

    def _deliver(self, fields):
        """A block is well-formed, but for its content-length (section 8.1.1)."""
        st = self._stream
        if not st.opened:
            st.opened = True
            for name, value in fields:
                if name == b"content-length":
                    if not value.isdigit() or len(value) > 10:
                        self._fail(_PROTOCOL_ERROR)
                        return
                    st.length = int(value)
        self.idle = 0
        self._events.append((_HEADERS, st, fields))
        if self._ends:
            self._end()

    def _end(self):
        """END_STREAM came."""
        st = self._stream
        if st.length > 0:
            self._fail(_PROTOCOL_ERROR)
        else:
            self._events.append((_END, st))
            self._close(st, _REMOTE)

    def _rst_done(self):
        st = self._find(self._sid)
        if st:
            self._gone(st, unpack_from(">I", self._buf)[0])

    def _gone(self, st, code):
        """The peer gave a stream up."""
        self._close(st, _CLOSED)
        self._events.append((_RST_STREAM, st, code, True))

    def _setting(self, key, value):
        """One parameter, section 6.5.2; unknown ones are ignored."""
        if key == 3:  # MAX_CONCURRENT_STREAMS
            self.max_streams = value
        elif key == 4:  # INITIAL_WINDOW_SIZE, section 6.9.2
            for st in self.streams.values():
                st.window += value - self._peer_window
                if st.window > _MAX_WINDOW:
                    raise ProtocolError(_FLOW_CONTROL_ERROR)
            self._peer_window = value
            if value > _MAX_WINDOW:
                raise ProtocolError(_FLOW_CONTROL_ERROR)
        elif (key == 2 and value > self._push) or (  # ENABLE_PUSH
            key == 5 and not _MAX_FRAME <= value < 1 << 24  # MAX_FRAME_SIZE
        ):
            raise ProtocolError(_PROTOCOL_ERROR)

    def _settings_done(self):
        if not self._flags & _END_STREAM:
            self.ready = True
            self._put(_SETTINGS, _END_STREAM, 0, b"")
            self._events.append((_SETTINGS, None))

    def _ping_done(self):
        if self._flags & _END_STREAM:
            self._events.append((_PING, None))
        else:
            self._put(_PING, _END_STREAM, 0, self._buf[:8])

    def _goaway_done(self):
        """Section 6.8: our streams above the last id were not and will not be seen."""
        last, code = unpack_from(">II", self._buf)
        last &= _MAX_WINDOW  # 31 bits
        self.closing = True
        for sid in sorted(self.streams):
            if sid > last and not (sid ^ self._next) & 1:
                self._gone(self.streams[sid], _REFUSED_STREAM)
        self._events.append((_GOAWAY, None, last, code, bytes(self._block)))

    def _window_done(self):
        n = unpack_from(">I", self._buf)[0] & _MAX_WINDOW
        where = self._stream = self._find(self._sid) if self._sid else None
        if self._sid:
            if not where:
                return  # closed
        else:
            where = self
        where.window += n
        if not n or where.window > _MAX_WINDOW:  # section 6.9 and 6.9.1
            code = _FLOW_CONTROL_ERROR if n else _PROTOCOL_ERROR
            if where is self:
                raise ProtocolError(code)
            self._fail(code)
        else:
            self._events.append((_WINDOW_UPDATE, self._stream))

    # What is done at the end of a frame, by type.
    _DONE = (
        _data_done,
        _headers_done,
        None,  # PRIORITY, section 5.3.2: deprecated
        _rst_done,
        _settings_done,
        None,  # PUSH_PROMISE does not get there
        _ping_done,
        _goaway_done,
        _window_done,
        _headers_done,
    )
