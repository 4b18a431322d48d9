"""What a pin or the chip itself is asked for directly; the face is that of port/simulated."""

from machine import ADC, Pin

_INPUT_ONLY = 34  # from here on the ESP32's pins have no pull resistors


def adc(pin):
    """machine.ADC of a GPIO number, over its whole range, 0.15 to 2.45 V by the datasheet."""
    return ADC(Pin(pin), atten=ADC.ATTN_11DB)


def pin(pin, mode="in", pull=None):
    """machine.Pin of a GPIO number. mode: "in", "out", or None to leave it as it is; pull: None,
    "up" or "down", without effect on pins that have no such resistor (34 to 39).
    """
    if not mode:
        return Pin(pin)
    if mode == "out":
        return Pin(pin, Pin.OUT)
    if not pull or pin >= _INPUT_ONLY:
        return Pin(pin, Pin.IN)
    return Pin(pin, Pin.IN, Pin.PULL_UP if pull == "up" else Pin.PULL_DOWN)


def chip_celsius():
    """The chip's own temperature."""
    import esp32

    if hasattr(esp32, "mcu_temperature"):  # the newer chips
        return esp32.mcu_temperature()
    return (esp32.raw_temperature() - 32) / 1.8


def wifi_rssi():
    """Signal strength in dBm; OSError without a connection."""
    import network

    wlan = network.WLAN(network.STA_IF)
    if not wlan.isconnected():
        raise OSError("no connection")
    return wlan.status("rssi")
