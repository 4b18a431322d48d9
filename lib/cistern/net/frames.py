"""HTTP/2 frames, RFC 9113 sections 4 and 6: cuts a stream of bytes into frames, at any byte.

Nothing is kept but the 9 bytes of a header or the fixed part of a payload; the rest of a payload
is passed on in the pieces in which it came. What a frame means is up to h2.Connection.
"""

from struct import unpack_from

from cistern.net import const

# Error codes, section 7.
_PROTOCOL_ERROR = const(1)
_FRAME_SIZE_ERROR = const(6)

# Frame types, section 6.
_HEADERS = const(1)
_SETTINGS = const(4)
_CONTINUATION = const(9)

# Flags.
_ACK = const(1)
_PADDED = const(8)
_PRIORITY = const(32)

# For each type two bytes: where it may be sent (1 on stream 0, 2 on others; 0 nowhere) plus 4 if
# the payload has exactly the length of its fixed part; and that length.
_FRAMES = (
    b"\2\0"  # DATA, section 6.1; see _begin() for padding
    b"\2\0"  # HEADERS, 6.2
    b"\6\5"  # PRIORITY, 6.3
    b"\6\4"  # RST_STREAM, 6.4
    b"\1\6"  # SETTINGS, 6.5: one parameter at a time
    b"\0\0"  # PUSH_PROMISE, 6.6: a client switches it off, a server never gets it
    b"\5\x08"  # PING, 6.7
    b"\1\x08"  # GOAWAY, 6.8
    b"\7\4"  # WINDOW_UPDATE, 6.9
    b"\2\0"  # CONTINUATION, 6.10
    b"\3\0"  # every other type is ignored, 5.5
)
# The smallest bound there may be (section 4.2); we announce no other.
_MAX_FRAME = const(16384)
_MAX_ID = 0x7FFFFFFF  # 31 bits; the reserved one above is ignored (section 4.1)


class ProtocolError(Exception):
    """The peer broke the protocol or a limit: a connection error with a code of section 7."""

    def __init__(self, code):
        super().__init__(code)
        self.code = code


class Reader:
    """Calls _enter(kind, flags, stream id, length), _piece(bytes) for what follows the fixed part,
    _setting(key, value) for each parameter, and _leave(kind) with the fixed part in _buf.
    """

    def __init__(self):
        self.ready = False  # the peer's SETTINGS came
        self._continue = 0  # the stream whose header block is not complete
        self._buf = bytearray(9)
        self._have = self._body = self._pad = 0
        self._need = 9
        self._kind = -1  # no frame yet: _buf gets a header

    def _run(self, data):
        """Read frames: collect _need bytes, once or more, pass _body on, skip _pad."""
        at = 0
        end = len(data)
        while True:
            if self._need:
                n = min(self._need - self._have, end - at)
                self._buf[self._have : self._have + n] = data[at : at + n]
                self._have += n
                at += n
                if self._have < self._need:
                    return
                self._have = self._need = 0
                if self._kind < 0:
                    self._begin(*unpack_from(">BHBBI", self._buf))
                else:
                    self._fixed()
            elif not self._body and not self._pad:
                kind = self._kind
                self._kind = -1
                self._need = 9
                self._leave(kind)
            elif at == end:
                return
            elif self._body:
                n = min(self._body, end - at)
                self._body -= n
                self._piece(data[at : at + n])
                at += n
            else:
                n = min(self._pad, end - at)
                self._pad -= n
                at += n

    def _begin(self, high, low, kind, flags, sid):
        """A header, section 4.1: is such a frame allowed here, and how is it read?"""
        n = high << 16 | low
        sid &= _MAX_ID
        self._kind = kind
        self._flags = flags
        self._sid = sid
        self._size = n
        at = min(kind, 10) * 2
        rule = _FRAMES[at]
        need = _FRAMES[at + 1]
        if (
            not rule & (2 if sid else 1)
            # Section 6.10: nothing comes between the parts of a header block.
            or (kind == _CONTINUATION and not self._continue)
            or (self._continue and (kind != _CONTINUATION or sid != self._continue))
            # Section 3.4: SETTINGS first.
            or (not self.ready and (kind != _SETTINGS or flags & _ACK))
        ):
            raise ProtocolError(_PROTOCOL_ERROR)
        if kind <= _HEADERS:
            need = (1 if flags & _PADDED else 0) + (5 if kind and flags & _PRIORITY else 0)
        elif kind == _SETTINGS:
            need = min(need, n)
            if n % 6 or (n and flags & _ACK):  # section 6.5
                raise ProtocolError(_FRAME_SIZE_ERROR)
        if n > _MAX_FRAME or n < need or (rule & 4 and n != need):  # section 4.2
            raise ProtocolError(_FRAME_SIZE_ERROR)
        self._need = need
        self._body = n - need
        self._enter(kind, flags, sid, n)

    def _fixed(self):
        """The fixed part is there."""
        if self._kind <= _HEADERS and self._flags & _PADDED:
            self._pad = self._buf[0]
            self._body -= self._pad
            if self._body < 0:  # section 6.1
                raise ProtocolError(_PROTOCOL_ERROR)
        elif self._kind == _SETTINGS:
            self._setting(*unpack_from(">HI", self._buf))
            if self._body:
                self._body -= 6
                self._need = 6
