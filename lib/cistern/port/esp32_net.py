"""The chip's network: Wi-Fi, joined when it is needed, and streams over it."""

import asyncio

from cistern.borrow import borrow
from cistern.errors import LinkError
from cistern.port import stream_mpy
from cistern.port.esp32_reserve import Reserve

# A scan of all channels takes 2 to 3 s, the handshake of WPA and DHCP up to 5 s on a bad day. This
# is part of a call, which may take 20 s in all.
JOIN_MS = 12000
# Of 98 KB that the system has once Wi-Fi has started: what Wi-Fi sends, and TLS, which takes
# 27 KB and 14 KB more in a handshake, some of it Wi-Fi's. The pieces are mbedTLS's: a record of
# 16 KB in, one of 4 KB out, and what is smaller (MBEDTLS_SSL_IN_CONTENT_LEN, _OUT_CONTENT_LEN).
WIFI_RESERVE = (14336,)
TLS_RESERVE = (17408, 5120, 5120, 5120)
# With less, what is held included, no handshake comes to its end: packets are lost for it.
_ENOUGH = 40000
# So many connections in a row that failed for want of memory may end in a restart.
_HOPELESS = 6
NO_MEMORY = "not enough memory to connect"
_POLL_MS = 100
_ATTEMPT_US = 10000000
_DNS_PORT = 53
# network.STAT_*: 201 to 211; some firmware lacks names for some.
_WHY = {200: "the signal was lost", 201: "not found", 202: "the password is wrong"}


class Net:
    """The radio of `port` and what goes over it.

    doubted: whether the clock may be wrong. wrong: UTC - uptime, µs, of the last clock by which no
    certificate was valid.
    """

    def __init__(self, port):
        self._port = port
        self._busy = False  # something was written since rest()
        self._again = 0  # uptime from which the radio may be told to try anew
        self._wifi = self._tls = Reserve()
        self._stream = None
        self._failed = 0
        self.doubted = False
        self.wrong = 0

    def reserve(self, tls):
        """Hold what Wi-Fi, and where `tls` is True TLS, need, while there is no connection."""
        self._wifi = Reserve(*WIFI_RESERVE)
        if tls:
            self._tls = Reserve(*TLS_RESERVE)

    async def join(self):
        """Be on the network; raises LinkError. Who calls again paces the tries."""
        wlan = self._port.wlan
        if not wlan:
            raise LinkError("connect", "no Wi-Fi network is configured (docs/SPEC.md, NVS)", False)
        ssid = self._port.setting("ssid")
        why = None
        for _ in range(JOIN_MS // _POLL_MS):
            if wlan.isconnected():
                if why:
                    self._port.log("info", "Wi-Fi %s: %s" % (ssid, wlan.ifconfig()[0]))
                return
            try:
                self._attempt(wlan, ssid)
                why = wlan.status()
            except OSError as e:
                why = e
            await asyncio.sleep_ms(_POLL_MS)
        raise LinkError("connect", "Wi-Fi %s: %s" % (ssid, _WHY.get(why) or "status %s" % why))

    def _attempt(self, wlan, ssid):
        """Have the radio try, unless it may still be at it, also for a call that was given up."""
        now = self._port.uptime_us()
        if now < self._again:
            return
        self._again = now + _ATTEMPT_US
        wlan.disconnect()
        # The driver would try again at once and for ever, which costs more than waiting.
        wlan.config(reconnects=1)
        fixed = self._port.setting("ifconfig")
        if fixed:
            wlan.ifconfig(tuple(fixed.split("/")))
        wlan.connect(ssid, self._port.setting("psk"))

    async def connect(self, host, port, tls, timeout_ms):
        """Join, learn the time if the board has none, and open the stream."""
        try:
            return await self._connect(host, port, tls, timeout_ms)
        except LinkError as e:
            if e.memory:
                self._lacked()
            raise
        except MemoryError:
            self._lacked()
            raise LinkError("connect", NO_MEMORY) from None

    async def _connect(self, host, port, tls, timeout_ms):
        self._stream = None
        if not self._port.wlan or not self._port.wlan.isconnected():
            await self._wifi.release()
            await self.join()
        # What is loaded now must not take it.
        self._wifi.hold()
        if self._port.utc_us() is None or self.doubted:
            await self.learn_time()
        self.wake()
        self._port.tidy()
        stream = None
        try:
            stream = await stream_mpy.connect(
                host, port, tls, timeout_ms, self.look_up, self._make_room
            )
        finally:
            if not stream:
                self._hold()
        self._stream = stream
        stream.on_write = self.wake
        stream.on_broken = lambda: self._free(stream)
        stream.on_close = lambda: self._over(stream)
        return stream

    async def _make_room(self):
        await self._wifi.release()
        await self._tls.release()

    def _hold(self):
        """There is no connection any more, or it has given back what it had: Python's heap must
        not take it, when what is needed now is loaded.
        """
        self._tls.hold()
        self._wifi.hold()

    def learn_time(self):
        """Ask a time server; port.utc_us() then tells, or port.no_time why there is none."""
        return borrow("cistern.port.esp32_ntp").learn(self, self._port)

    def _free(self, stream):
        """Whether a stream that needs nothing any more was the newest. An older one may end while
        the next is being made, which needs what is held.
        """
        if stream is not self._stream:
            return False
        self._hold()
        return True

    def _over(self, stream):
        """A connection is over."""
        newest = self._free(stream)
        error = stream.error
        if error and "clock" in str(error):  # link_why.py: a certificate is not valid now
            self.doubted = True
        if not stream.unproven:
            self._failed = self._port.in_vain = 0
            return
        room = self._tls.held + self._wifi.held + self._port.system()[0]
        if (newest and room < _ENOUGH) or (error and error.memory):
            self._lacked()

    def _lacked(self):
        """There was not enough memory to connect."""
        self._failed += 1
        if self._failed >= _HOPELESS:
            borrow("cistern.port.esp32_restart").wear(self._port)

    def look_up(self, host):
        return None, (self._port.wlan.ifconfig()[3], _DNS_PORT)

    def wake(self):
        """The radio listens all the time from here on, so that answers come at once."""
        if not self._busy:
            self._busy = True
            self._save_power(self._port.wlan.PM_NONE)

    def rest(self):
        """Called once a second: when nothing is written the radio may sleep between beacons, which
        is returned.
        """
        quiet = not self._busy
        if quiet and self._port.wlan:
            self._save_power(self._port.wlan.PM_PERFORMANCE)
        self._busy = False
        return quiet

    def _save_power(self, how):
        try:
            self._port.wlan.config(pm=how)
        except (OSError, RuntimeError):
            pass  # the driver is short of memory: it stays as it is
