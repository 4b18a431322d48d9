"""Joining the Wi-Fi network and connecting over it; borrowed by esp32_net.py."""

import asyncio

from cistern.errors import LinkError
from cistern.port import stream_mpy

_POLL_MS = 100
_ATTEMPT_US = 10000000
# network.STAT_*: 201 to 211; some firmware lacks names for some.
_WHY = {200: "the signal was lost", 201: "not found", 202: "the password is wrong"}


async def connect(net, port, *asked):
    """As Net.connect(). asked: what dial_mpy.connect() takes first."""
    if not port.wlan or not port.wlan.isconnected():
        await net.wifi.release()
        await join(net, port)
    # What is loaded now must not take it.
    net.wifi.hold()
    if port.utc_us() is None or net.doubted:
        await net.learn_time()
    net.wake()
    port.tidy()
    stream = None
    try:
        stream = await stream_mpy.connect(*asked, net.look_up, net.make_room)
        return stream
    finally:
        if not stream:
            net.hold()


async def join(net, port):
    """Be on the network; raises LinkError. net: esp32_net.Net."""
    wlan = port.wlan
    if not wlan:
        raise LinkError("connect", "no Wi-Fi network is configured (docs/SPEC.md, NVS)", False)
    ssid = port.setting("ssid")
    why = None
    for _ in range(net.join_ms // _POLL_MS):
        if wlan.isconnected():
            if why:
                port.log("info", "Wi-Fi %s: %s" % (ssid, wlan.ifconfig()[0]))
            return
        try:
            _attempt(net, port, ssid)
            why = wlan.status()
        except OSError as e:
            why = e
        await asyncio.sleep_ms(_POLL_MS)
    raise LinkError("connect", "Wi-Fi %s: %s" % (ssid, _WHY.get(why) or "status %s" % why))


def _attempt(net, port, ssid):
    """Have the radio try, unless it may still be at it, also for a call that was given up."""
    now = port.uptime_us()
    if now < net.again:
        return
    net.again = now + _ATTEMPT_US
    wlan = port.wlan
    wlan.disconnect()
    # The driver would try again at once and for ever, which costs more than waiting.
    wlan.config(reconnects=1)
    fixed = port.setting("ifconfig")
    if fixed:
        wlan.ifconfig(tuple(fixed.split("/")))
    wlan.connect(ssid, port.setting("psk"))
