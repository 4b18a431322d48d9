"""gRPC over HTTP/2 (gRPC's doc/PROTOCOL-HTTP2.md) as a state machine: what a call says and hears.

Names, values and messages are bytes on the wire; metadata is given to the user as str.
"""

from struct import unpack

from cistern.borrow import borrow
from cistern.errors import GrpcError, LinkError
from cistern.net import const

# Statuses, doc/statuscodes.md.
_UNKNOWN = const(2)
_RESOURCE_EXHAUSTED = const(8)
_INTERNAL = const(13)

# Bit s: after status s the same request can succeed. 1 CANCELLED, 2 UNKNOWN, 4 DEADLINE_EXCEEDED,
# 8 RESOURCE_EXHAUSTED, 10 ABORTED, 13 INTERNAL, 14 UNAVAILABLE.
_RETRY = const(1 << 1 | 1 << 2 | 1 << 4 | 1 << 8 | 1 << 10 | 1 << 13 | 1 << 14)
# Those that also a proxy or a failing server gives when the request may have been served.
_UNSURE = const(1 << 1 | 1 << 2 | 1 << 4 | 1 << 13 | 1 << 14)

WHY = "cistern.net.why"
_MAX_TIMEOUT = const(99999999)  # grpc-timeout has at most 8 digits
_PREFIX = const(5)  # bytes before each message: compressed flag, length


def error(status, message):
    """The GrpcError of a status (int) with what it says about a retry."""
    s = status if status < 17 else _UNKNOWN
    return GrpcError(status, message, bool(_RETRY >> s & 1), bool(_UNSURE >> s & 1))


def text(value):
    """A header's value as str."""
    try:
        return str(value, "utf-8")
    except UnicodeError:  # header values are octets (RFC 9110, section 5.5)
        return "".join(map(chr, value))


def _bytes(value):
    return value.encode() if isinstance(value, str) else value


def metadata(fields):
    """Received fields as a dict of str; a repeated name's values are joined with a comma.

    The value of a name in -bin is bytes (of repeated ones, the last).
    """
    out = {}
    for name, value in fields:
        key = text(name)
        value = text(value)
        if key.endswith("-bin"):
            value = borrow(WHY).binary(value)
        elif key in out:
            value = f"{out[key]},{value}"
        out[key] = value
    return out


def request(path, authority, scheme, extra, timeout_ms):
    """The header fields of a call.

    extra: pairs of name and value, each str or bytes; of a name in -bin the value is any bytes.
    """
    fields = [
        (b":method", b"POST"),
        (b":scheme", scheme.encode()),
        (b":path", path.encode()),
        (b":authority", authority.encode()),
        (b"te", b"trailers"),
        (b"content-type", b"application/grpc"),
        (b"user-agent", b"cistern"),
    ]
    if timeout_ms:
        fields.append((b"grpc-timeout", b"%dm" % min(timeout_ms, _MAX_TIMEOUT)))
    for name, value in extra:
        name = _bytes(name)
        value = _bytes(value)
        if name.endswith(b"-bin"):
            value = borrow(WHY).base64(value)
        elif b"\n" in value or b"\r" in value or b"\0" in value:
            raise ValueError("newline in metadata")
        fields.append((name.lower(), value))
    return fields


class Answer:
    """What comes back for one call. Fed with HTTP/2 events; see the attributes.

    headers, trailers: dicts, see metadata(); None before they came.
    messages: received and not yet taken, bytearrays.
    done: the status came and is OK.  error: a LinkError, the call failed.
    """

    def __init__(self, limit):
        self.headers = self.trailers = self.error = None
        self.messages = []
        self.done = False
        self._limit = limit  # of a message, bytes
        self._message = None  # the one that is coming
        self._prefix = bytearray(_PREFIX)
        self._have = 0  # bytes of it, or of the prefix

    def on_headers(self, fields):
        """The first block; the second is the trailers."""
        got = metadata(fields)
        if self.headers is not None:
            self.trailers = got
            return
        self.headers = got
        status = got[":status"]
        kind = got.get("content-type", "")
        if "grpc-status" not in got and (
            status != "200" or not kind.startswith("application/grpc")
        ):
            said = f"HTTP status {status}, content-type {kind}"
            self.error = error(borrow(WHY).grpc_status(status), said)

    def on_data(self, chunk):
        """A piece of the body: messages cut at any byte."""
        at = 0
        while at < len(chunk) and not self.error:
            part = self._prefix if self._message is None else self._message
            n = min(len(part) - self._have, len(chunk) - at)
            part[self._have : self._have + n] = chunk[at : at + n]
            at += n
            self._have += n
            if self._have == len(part):
                self._have = 0
                if self._message is None:
                    self._begin(*unpack(">BI", part))
                if self._message is not None and (part is self._message or not self._message):
                    self.messages.append(self._message)
                    self._message = None

    def _begin(self, flag, size):
        """A prefix is there."""
        if flag:
            # doc/compression.md: we accept no encoding, so a server has none to use.
            self.error = error(_INTERNAL, "compressed message")
        elif size > self._limit:
            self.error = error(
                _RESOURCE_EXHAUSTED, f"a message of {size} bytes, limit {self._limit}"
            )
        else:
            self._message = bytearray(size)

    def on_end(self):
        """The end of the stream: find the status."""
        got = self.headers if self.trailers is None else self.trailers  # Trailers-Only
        status = got.get("grpc-status", "missing")
        if self.error:
            return
        if not status.isdigit():
            self.error = error(_UNKNOWN, f"grpc-status is {status}")
        elif int(status):
            said = got.get("grpc-message", "")
            if "%" in said:
                said = borrow(WHY).unpercent(said)
            self.error = error(int(status), said)
        elif self._have or self._message is not None:
            self.error = error(_INTERNAL, "the answer ends inside a message")
        else:
            self.done = True


class Call(Answer):
    """One call on a link of channel.py, and the reply to a unary one: message, headers, trailers.

    seen: the server may have acted on what was written.
    """

    def __init__(self, limit, event):
        super().__init__(limit)
        self.link = self.stream = self.timer = self.message = None
        self.seen = False
        self.event = event  # something changed; an asyncio.Event
        self._owed = 0

    def fail(self, layer, text, retry=True, seen=True):
        """End the call with an error, unless it has ended."""
        if not self.error and not self.done:
            self.error = LinkError(layer, text, retry, seen and self.seen)
        self.event.set()

    def on_data(self, chunk):
        """As Answer's; gives the window back, for queued messages only when they are taken."""
        super().on_data(chunk)
        self._owed += len(chunk)
        self._pay()

    def _pay(self):
        if not self.messages:
            self.link.conn.consumed(self.stream, self._owed)
            self._owed = 0

    async def receive(self):
        """The next message, or None at the end with status OK; raises LinkError or GrpcError."""
        while True:
            if self.messages:
                message = self.messages.pop(0)
                self._pay()
                self.link.kick()
                return message
            if self.error:
                raise self.error
            if self.done:
                return None
            self.event.clear()
            await self.event.wait()

    async def send(self, message, size=None, end=False):
        """Send one message: bytes-like, or with size= an iterable of bytes-like pieces.

        end: it is the last one, which saves a frame.
        """
        if size is None:
            size = len(message)
            message = (message,)
        await self.link.send(self, _framed(message, size), _PREFIX + size, end)

    def release(self):
        """The caller is done with the call; one that still runs is cancelled."""
        if self.timer:
            self.timer.cancel()
        self.fail("call", "cancelled", False)
        if self.link:
            self.link.conn.reset(self.stream)
            self.link.freed.set()
            self.link.kick()


def _framed(pieces, size):
    """The pieces of a message behind its prefix: not compressed, length."""
    yield size.to_bytes(_PREFIX, "big")
    yield from pieces
    raise ValueError("message below its size")
