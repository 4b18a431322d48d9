"""What an ESP32's port does first; borrowed by esp32.py."""

import gc
import sys

import machine
from esp32 import NVS

from cistern.port.esp32_spare import REGIONS, Spare

# One in PSRAM is larger.
_SMALL_HEAP = 400000
# machine.PWRON_RESET to SOFT_RESET are 1 to 5.
_RESETS = ("unknown", "power on", "hard reset", "watchdog", "deep sleep", "soft reset")


def start(port):
    """Give an esp32.Port its watchdog, memory beside the heap, radio and clock."""
    machine.freq(240000000)
    port.small = gc.mem_free() < _SMALL_HEAP
    port.tidy()
    port.watchdog = machine.WDT(timeout=port.watchdog_ms)
    port.nvs = NVS("cistern")
    port.reset_cause = _RESETS[machine.reset_cause()]
    port.spare = _spare()
    if b"m" in machine.RTC().memory():
        port.look_back(port)
    if port.setting("ssid"):
        import network

        # First of all: Wi-Fi takes 46 KB, which Python's heap must not have taken.
        port.wlan = network.WLAN(network.STA_IF)
        port.wlan.active(True)
        url = port.setting("cloud_url")
        if url:
            # Loaded while there still are large pieces of heap.
            port.network().reserve(url[:5] == "https")
    port.begin_clock()


def _spare():
    """The Spare of this chip; None where there is no such RAM, or Bluetooth uses it."""
    if not sys.implementation._machine.endswith("with ESP32"):
        return None  # later chips have nothing of the kind
    try:
        import bluetooth
    except ImportError:
        return None  # built without: the heap has this RAM
    return None if bluetooth.BLE().active() else Spare(REGIONS)
