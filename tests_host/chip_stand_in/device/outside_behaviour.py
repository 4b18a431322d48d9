"""What is outside of a chip: sockets, and what waits for them.

As lwIP has them: an error of a socket is told only who asks for it, to others it is ready. On a
clock that jumps (clock_behaviour) the network also plays outages, one after the other: nothing of
the PC's network is touched in them.

    up            as it is
    refused       nobody listens; a connection that there was is reset
    hung          connections come about, and nobody reads them or answers
    silent        no packet comes back
    resetting     connections come about and are reset
    certificate   the server has one that the board's CA has not signed
    no_dns        the name server does not answer; connections go on
    no_network    the access point is gone
"""
# ruff: noqa: A002 - the chip's names, and
# MicroPython's ways

import errno as _errno
import select as _select
import socket as _socket
import time as _time

import clock_behaviour as _clock
import memory_behaviour as _memory
import tls as _tls

POLLIN, POLLOUT, POLLERR, POLLHUP = 1, 4, 8, 16
_STEP_MS = 50  # that the clock jumps at most, while somebody waits for a socket
# Real time that an answer of a server on this PC may take before the clock goes on.
_ANSWER_MS = 1000
_SEND_BUFFER = 5744  # CONFIG_LWIP_TCP_SND_BUF_DEFAULT
_SOCKET_BYTES = 600
_DATAGRAM = 60  # of a datagram: its heads
_DNS, _DEAD = 53, ("refused", "resetting", "certificate")
# mbedTLS: records in and out, and what a handshake takes and what is kept of it.
_RECORDS = (16717, 4429, 1500)
_HANDSHAKE = (3200, 2100, 2100, 2100, 2100, 1000, 1000)
_KEPT = (1500, 1000)
_UNTRUSTED = "The certificate is not correctly signed by the trusted CA\n"

_plan = []  # [second, mode] that are to come
_mode = ["up"]
_bound = {}


def _begin(plan):
    _plan.extend(plan)


def mode():
    """What the network is like now."""
    while _plan and _clock.now_us() >= _plan[0][0] * 1000000:
        _mode[0] = _plan.pop(0)[1]
        print(f"{_clock.now_us() / 1e6:10.3f} outside {_mode[0]}")
    return _mode[0]


def _take(sizes, error):
    """Addresses of pieces, or the error."""
    got = []
    for size in sizes:
        at = _memory.pool.take(size)
        if at is None:
            _give(got)
            raise error
        got.append(at)
    return got


def _give(pieces):
    while pieces:
        _memory.pool.give(pieces.pop())


class Socket:
    """A socket of the chip."""

    def __init__(self, af=_socket.AF_INET, type=_socket.SOCK_STREAM, proto=0):
        _memory.look()
        self._memory = _take((_SOCKET_BYTES,), OSError(23))
        self._datagram = type == _socket.SOCK_DGRAM
        self._real = _socket.socket(af, type)
        self._lost = None  # the outage that ended it
        self._waits = 0  # real time until which an answer may come
        self._sent = 0
        self._answer = None
        self.where = None

    def setblocking(self, flag):
        """Blocking ones are not played."""
        self._real.setblocking(flag)

    def setsockopt(self, level, optname, value):
        """As it is."""
        self._real.setsockopt(level, optname, value)

    def connect(self, address):
        """Begins to."""
        self.where = address
        now = mode()
        if now not in ("up", "no_dns"):
            self._lost = now
        if self._datagram:
            return
        if not self._lost:
            self._expect()
            try:
                self._real.connect(_socket.getaddrinfo(*address)[0][-1])
            except OSError as e:
                if e.errno != _errno.EINPROGRESS:
                    raise
        raise OSError(_errno.EINPROGRESS)

    def bind(self, address):
        """To receive datagrams on the loopback."""
        _bound[address] = self

    def sendto(self, data, address):
        """A datagram on the loopback takes memory until it is read, or nobody can any more."""
        if _bound[address]:
            _bound[address]._memory += _take((len(data) + _DATAGRAM,), OSError(12))
        return len(data)

    def _expect(self):
        self._waits = _time.ticks_add(_time.ticks_ms(), _ANSWER_MS)

    def lost(self):
        """The outage that this connection is in, or None."""
        if not self._lost and mode() not in ("up", "no_dns"):
            self._lost = "resetting" if _mode[0] in _DEAD else _mode[0]
        return self._lost

    def ready(self, mask):
        """What of `mask` is so, as poll tells it; None: the PC knows."""
        lost = self.lost()
        if self._datagram:
            return mask & POLLOUT | (mask & POLLIN if self._answer else 0)
        if not lost:
            return None
        if lost in ("refused", "resetting"):
            return mask
        if lost == "certificate":
            return mask & POLLOUT
        return mask & POLLOUT if lost == "hung" and self._sent < _SEND_BUFFER else 0

    def real_ms(self):
        """Real time for which it is worth to wait."""
        left = _time.ticks_diff(self._waits, _time.ticks_ms()) if self._waits else 0
        if left <= 0:
            self._waits = 0
        return max(left, 0)

    def check(self):
        """Raises what ended it."""
        if self.lost() == "refused":
            raise OSError(_errno.ECONNREFUSED)
        if self._lost == "resetting":
            raise OSError(_errno.ECONNRESET)

    def send(self, data):
        """Of a datagram: a query of a name has its answer at once, all else none."""
        now = mode()
        if self.where[1] == _DNS and now not in ("no_dns", "no_network"):
            data = bytes(data)
            record = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\x7f\x00\x00\x01"
            self._answer = data[:2] + b"\x81\x80\x00\x01\x00\x01" + data[8:] + record
        return len(data)

    def recv(self, size):
        """What came."""
        if self._datagram:
            found, self._answer = self._answer, None
            return found
        self.check()
        return self._real.recv(size)

    def write(self, data):
        """How many bytes were taken, or None."""
        self.check()
        if self._lost:
            room = _SEND_BUFFER - self._sent
            if self._lost != "hung" or room <= 0:
                return None
            self._sent += min(room, len(data))
            return min(room, len(data))
        n = self._real.write(data)
        self._expect()
        return n

    def readinto(self, buf):
        """How many bytes came, or None."""
        self.check()
        if self._lost:
            return None
        n = self._real.readinto(buf)
        self._waits = 0
        return n

    def close(self):
        """For good."""
        _give(self._memory)
        self._real.close()

    inner = property(lambda self: self._real)


class Secured:
    """TLS over a Socket."""

    def __init__(self, context, sock, hostname):
        _memory.look()
        self._memory = _take(_RECORDS, MemoryError())
        self._sock = sock
        self._done = False
        self._context = context
        self._hostname = hostname
        self._tls = None

    @property
    def inner(self):
        """What the PC polls."""
        return self._tls or self._sock.inner

    def ready(self, mask):
        """As Socket's; until the handshake is over a write waits for what the other side says."""
        lost = self._sock.lost()
        if lost == "hung" and self._tls is None and self._handshaking:
            return 0
        return self._sock.ready(mask)

    _handshaking = False

    def real_ms(self):
        """As Socket's."""
        return self._sock.real_ms()

    def write(self, data):
        """How many bytes were taken, or None."""
        try:
            if not self._done:
                return self._shake(data)
            self._sock.check()
            if self._sock.lost():
                return self._sock.write(data)
            n = self._tls.write(data)
            self._sock._expect()
            return n
        except (OSError, ValueError):
            self._free()
            raise

    def _shake(self, data):
        if not self._handshaking:
            self._handshaking = _take(_HANDSHAKE, OSError(12))
            self._memory += self._handshaking
        self._sock.check()
        if self._sock.lost() == "certificate":
            raise ValueError(_UNTRUSTED)
        if self._sock.lost():
            return None
        if not self._tls:
            self._tls = self._context.wrap_socket(
                self._sock.inner, server_hostname=self._hostname, do_handshake_on_connect=False
            )
        n = self._tls.write(data)
        self._sock._expect()
        if n is not None:
            self._done = True
            self._free()
            self._memory = _take(_RECORDS + _KEPT, OSError(12))
        return n

    def readinto(self, buf):
        """How many bytes came, or None."""
        self._sock.check()
        if self._sock.lost():
            return None
        try:
            n = self._tls.readinto(buf) if self._tls else None
        except (OSError, ValueError):
            self._free()
            raise
        self._sock._waits = 0
        return n

    def _free(self):
        _give(self._memory)

    def close(self):
        """And what is under it."""
        self._free()
        if self._tls:
            self._tls.close()
        self._sock.close()


class Context:
    """ssl.SSLContext."""

    def __init__(self, protocol):
        self._real = _tls.SSLContext(protocol)

    def _set(self, value):
        self._real.verify_mode = value

    verify_mode = property(lambda self: self._real.verify_mode, _set)

    def load_verify_locations(self, cadata):
        """One certificate."""
        self._real.load_verify_locations(cadata)

    def wrap_socket(self, sock, *, server_hostname=None, do_handshake_on_connect=True):
        """The handshake comes with the first write."""
        return Secured(self._real, sock, server_hostname)


def getaddrinfo(host, port, af=0, type=_socket.SOCK_STREAM, proto=0, flags=0):
    """Of addresses only: names are looked up by the program itself."""
    if host.strip("0123456789."):
        raise OSError(-202)
    return [(_socket.AF_INET, type, 0, "", (host, port))]


class Poll:
    """select.poll() as lwIP has it."""

    def __init__(self):
        self._masks = {}

    def register(self, obj, eventmask=POLLIN | POLLOUT):
        """Look at this, too."""
        self._masks[id(obj)] = [obj, eventmask]

    def modify(self, obj, eventmask):
        """Look for something else."""
        self._masks[id(obj)][1] = eventmask

    def unregister(self, obj):
        """No longer look at it."""
        self._masks.pop(id(obj), None)

    def _look(self, wait_ms):
        """[(object, flags)] of what is ready; the PC may take so long."""
        ready = []
        real = _select.poll()
        asked = []
        for obj, mask in list(self._masks.values()):
            found = obj.ready(mask) if hasattr(obj, "ready") else None
            if found is None:
                real.register(getattr(obj, "inner", obj), mask)
                asked.append((obj, mask))
            elif found:
                ready.append((obj, found))
        if asked:
            found = {id(o): f for o, f in real.poll(0 if ready else wait_ms)}
            for obj, mask in asked:
                flags = found.get(id(getattr(obj, "inner", obj)), 0)
                if flags & (POLLERR | POLLHUP):
                    flags |= POLLIN | POLLOUT
                if flags & mask:
                    ready.append((obj, flags & mask))
        elif not ready and wait_ms > 0 and not _clock.jumps():
            _time.sleep_ms(wait_ms)
        return ready

    def poll(self, timeout=-1):
        """[(object, flags)]."""
        if not _clock.jumps():
            while True:
                ready = self._look(timeout)
                if ready or timeout >= 0:
                    return ready
        left = timeout
        while True:
            wait_ms = 0
            if timeout and self._masks:
                reals = [o for o, m in self._masks.values() if o.ready(m) is None]
                wait_ms = max([o.real_ms() for o in reals] or [0])
            ready = self._look(wait_ms) if self._masks else ()
            if ready or not left:
                return ready
            step = min(left, _STEP_MS) if left > 0 else _STEP_MS
            _clock.jump(step * 1000)
            left = max(left - step, 0) if left > 0 else left

    def ipoll(self, timeout=-1, flags=0):
        """The same."""
        return iter(self.poll(timeout))


SELECT_INSTEAD = {"poll": Poll}
SOCKET_INSTEAD = {"socket": Socket, "getaddrinfo": getaddrinfo}
TLS_INSTEAD = {"SSLContext": Context}
