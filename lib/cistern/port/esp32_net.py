"""The chip's network: Wi-Fi, joined when it is needed, and streams over it."""

import gc

from cistern.borrow import borrow
from cistern.errors import LinkError
from cistern.port.esp32_reserve import Reserve

# Of 98 KB that the system has once Wi-Fi has started: what Wi-Fi sends, and TLS, which takes
# 27 KB and 14 KB more in a handshake, some of it Wi-Fi's. The pieces are mbedTLS's: a record of
# 16 KB in, one of 4 KB out, and what is smaller (MBEDTLS_SSL_IN_CONTENT_LEN, _OUT_CONTENT_LEN).
# The last piece is what Wi-Fi receives meanwhile.
WIFI_RESERVE = (14336,)
TLS_RESERVE = (17408, 5120, 5120, 5120, 5120)
# MicroPython's SSLSocket has 1504 bytes in Python's heap (v1.25). They are held there as well: an
# object for which there is no hole makes the heap grow, by what is let go for TLS.
SOCKET_HOLE = 1536
# So many connections in a row that failed for want of memory may end in a restart.
_HOPELESS = 6
NO_MEMORY = "not enough memory to connect"
_RESTART = "cistern.port.esp32_restart"
_DNS_PORT = 53


class Net:
    """The radio of `port` and what goes over it.

    join_ms: how long joining may take: a scan of all channels takes 2 to 3 s, the handshake of WPA
    and DHCP up to 5 s on a bad day, and a call, of which it is part, 20 s in all. again: uptime
    from which the radio may be told to join anew. wifi and tls: what is held for them. failed:
    connections in a row that failed for want of memory. doubted: whether the clock may be wrong.
    wrong: UTC - uptime, µs, of the last clock by which no certificate was valid.
    """

    join_ms = 12000
    again = failed = 0

    def __init__(self, port):
        self._port = port
        self._busy = False  # something was written since rest()
        self.wifi = self.tls = Reserve()
        self._stream = self._hole = None
        self._hole_size = 0
        self.doubted = False
        self.wrong = 0

    def reserve(self, tls):
        """Hold what Wi-Fi, and where `tls` is True TLS, need, while there is no connection."""
        self.wifi = Reserve(*WIFI_RESERVE)
        if tls:
            self.tls = Reserve(*TLS_RESERVE)
            self._hole_size = SOCKET_HOLE
            self._hole = bytearray(SOCKET_HOLE)

    def join(self):
        """Be on the network; raises LinkError. Who calls again paces the tries."""
        return borrow("cistern.port.esp32_connect").join(self, self._port)

    async def connect(self, *asked):
        """Join, learn the time if the board has none, and open the stream; see
        dial_mpy.connect().
        """
        self._stream = None
        try:
            if self._hole is None:
                gc.collect()  # the last connection's
                self._hole = bytearray(self._hole_size)
            stream = await borrow("cistern.port.esp32_connect").connect(self, self._port, *asked)
        except LinkError as e:
            if e.memory:
                self.lacked()
            raise
        except MemoryError:
            self.lacked()
            raise LinkError("connect", NO_MEMORY) from None
        self._stream = stream
        stream.on_write = self.wake
        stream.on_broken = lambda: self._free(stream)
        stream.on_close = lambda: self._over(stream)
        return stream

    async def make_room(self):
        """What follows takes what is held."""
        await self.wifi.release()
        await self.tls.release()
        self._hole = None
        gc.collect()

    def hold(self):
        """There is no connection any more, or it has given back what it had: Python's heap must
        not take it, when what is needed now is loaded.
        """
        self.tls.hold()
        self.wifi.hold()

    def learn_time(self):
        """Ask a time server; port.utc_us() then tells, or port.no_time why there is none."""
        return borrow("cistern.port.esp32_ntp").learn(self, self._port)

    def _free(self, stream):
        """Whether a stream that needs nothing any more was the newest. An older one may end while
        the next is being made, which needs what is held.
        """
        if stream is not self._stream:
            return False
        self.hold()
        return True

    def _over(self, stream):
        """A connection is over."""
        newest = self._free(stream)
        if stream.unproven or stream.error:
            try:
                borrow(_RESTART).failed(self, self._port, stream, newest)
            except MemoryError:
                pass  # the next one tells
        else:
            self.failed = self._port.in_vain = 0

    def lacked(self):
        """There was not enough memory to connect."""
        self.failed += 1
        if self.failed >= _HOPELESS:
            borrow(_RESTART).wear(self._port)

    def look_up(self, host):
        return None, (self._port.wlan.ifconfig()[3], _DNS_PORT)

    def wake(self):
        """The radio listens all the time from here on, so that answers come at once."""
        if not self._busy:
            self._busy = True
            self._save_power(self._port.wlan.PM_NONE)

    def rest(self):
        """Called once a second: when nothing is written the radio may sleep between beacons.

        Returns whether garbage may lie about: not where TLS wants large pieces again and again.
        """
        quiet = not self._busy
        if quiet and self._port.wlan:
            self._save_power(self._port.wlan.PM_PERFORMANCE)
        self._busy = False
        return quiet and not self._hole_size

    def _save_power(self, how):
        try:
            self._port.wlan.config(pm=how)
        except (OSError, RuntimeError):
            pass  # the driver is short of memory: it stays as it is
