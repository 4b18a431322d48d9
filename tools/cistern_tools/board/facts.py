"""Run on a board by `cistern doctor`, after its program was interrupted: prints facts as JSON.

Every question stands alone: what cannot be answered is left out, or is told under its own name.
"""

import gc
import json
import sys
import time

WIFI_S = 20
HOPELESS = (202, 210, 211)  # wrong password, security that does not fit
CONNECT_S = 5
NTP_S = 3
EPOCH_2000 = 946684800  # the ESP32's MicroPython counts from 2000

facts = {
    "version": list(sys.implementation.version[:3]),
    "machine": getattr(sys.implementation, "_machine", ""),
    "mpy": sys.implementation._mpy & 0xFF,
    "mpy_sub": sys.implementation._mpy >> 8 & 3,
}


def text(nvs, key):
    """A value of the NVS, or ""."""
    buf = bytearray(512)
    try:
        return str(buf[: nvs.get_blob(key, buf)], "utf-8")
    except OSError:
        return ""


def chip():
    """Flash and partitions."""
    import esp
    import esp32

    facts["flash"] = esp.flash_size()
    kinds = (esp32.Partition.TYPE_APP, esp32.Partition.TYPE_DATA)
    facts["partitions"] = [p.info()[4] for kind in kinds for p in esp32.Partition.find(kind)]


def files():
    """Sizes of the files that the program needs."""
    import os

    found = {}
    for path in ("/boot.py", "/main.py", "/machine.json", "/ca.der", "/ca.pem"):
        try:  # noqa: SIM105 - no contextlib on the chip
            found[path] = os.stat(path)[6]
        except OSError:
            pass
    facts["files"] = found


def alpn():
    """Whether the firmware has ALPN."""
    try:
        import alpn

        facts["alpn"] = bool(alpn)
    except ImportError:
        facts["alpn"] = False


def clock():
    """Whether the clock was set since power came, and what the board remembers."""
    import esp32
    import machine

    facts["clock_set"] = machine.RTC().memory()[:3] == b"utc"
    try:
        facts["remembered"] = int(text(esp32.NVS("cistern"), "clock"))
    except ValueError:
        facts["remembered"] = 0


def time_server(host):
    """Whether a time server answers at all."""
    import socket

    host, _, port = host.partition(":")
    facts["ntp"] = host
    try:
        where = socket.getaddrinfo(host, int(port or 123), 0, socket.SOCK_DGRAM)[0][-1]
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            sock.settimeout(NTP_S)
            sock.connect(where)
            sock.send(b"\x23" + bytes(47))
            facts["ntp_answers"] = len(sock.recv(48)) == 48
        finally:
            sock.close()
    except (OSError, ValueError):
        facts["ntp_answers"] = False


def join(ssid, psk, ifconfig):
    """Join the network as the board would, and say how far that came."""
    import network

    wlan = network.WLAN(network.STA_IF)
    wlan.active(True)
    if not wlan.isconnected():
        if ifconfig:
            wlan.ifconfig(tuple(ifconfig.split("/")))
        try:  # noqa: SIM105
            wlan.disconnect()
        except OSError:
            pass
        wlan.connect(ssid, psk or None)
        end = time.time() + WIFI_S
        while not wlan.isconnected() and time.time() < end and wlan.status() not in HOPELESS:
            time.sleep_ms(100)
    wifi = {"ssid": ssid, "status": wlan.status(), "connected": wlan.isconnected()}
    if wifi["connected"]:
        wifi["address"] = wlan.ifconfig()[0]
        try:  # noqa: SIM105
            wifi["rssi"] = wlan.status("rssi")
        except (OSError, ValueError):
            pass
    facts["wifi"] = wifi


def cloud(url):
    """Whether a TCP connection to the cloud comes about."""
    import socket

    import esp32

    # What Wi-Fi has for packets. This program, too, makes Python's heap grow into it.
    facts["system"] = sum(region[1] for region in esp32.idf_heap_info(esp32.HEAP_DATA))
    rest = url.split("://")[-1].rstrip("/")
    host, _, port = rest.rpartition(":")
    if not host or not port.isdigit():
        host, port = rest, 443 if url.startswith("https") else 80
    try:
        address = socket.getaddrinfo(host.strip("[]"), int(port), 0, socket.SOCK_STREAM)[0][-1]
        sock = socket.socket()
        try:
            sock.settimeout(CONNECT_S)
            sock.connect(address)
        finally:
            sock.close()
        facts["cloud"] = ""
    except OSError as e:
        facts["cloud"] = str(e) or "no answer"


def configuration():
    """The values that are no secret, and with them the network and the cloud."""
    import esp32

    nvs = esp32.NVS("cistern")
    keys = ("ssid", "cloud_url", "part_id", "server_name", "ifconfig")
    values = {key: text(nvs, key) for key in keys}
    values["secret"] = bool(text(nvs, "secret"))
    facts["values"] = values
    if values["ssid"]:
        join(values["ssid"], text(nvs, "psk"), values["ifconfig"])
        if facts["wifi"]["connected"] and not facts.get("clock_set"):
            time_server(text(nvs, "ntp") or "pool.ntp.org")
        if values["cloud_url"] and facts["wifi"]["connected"]:
            cloud(values["cloud_url"])


gc.collect()
for question in (chip, files, alpn, clock, configuration):
    try:
        question()
    except Exception as e:
        facts[question.__name__ + "_failed"] = f"{type(e).__name__}: {e}"
epoch = 0 if time.gmtime(0)[0] == 1970 else EPOCH_2000
facts["utc"] = time.time() + epoch
print(json.dumps(facts))
