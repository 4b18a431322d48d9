"""What each pin of the ESP32 can do, in words; borrowed while components are checked and made.

ESP32 Series Datasheet, "Pin Overview" and "Strapping Pins".
"""

from cistern.resources.pins import ADC1, ADC2, MAX_PIN, address, number

const = int  # MicroPython's compiler knows const() by its name

_CHANNELS = const(8)  # of an MCP3008
_INPUT_ONLY = const(34)  # from here on: no output, no pull resistors
_ABSENT = b"\x14\x18\x1c\x1d\x1e\x1f"  # 20, 24, 28 to 31


def problem(value, use):
    """See pins.problem()."""
    if use == "i2c":
        if address(value) is None:
            return "%r is not an I2C address: a number, 8 to 119, or text such as 0x76" % value
        return None
    pin = number(value)
    if use == "channel":
        if pin is None or pin >= _CHANNELS:
            return "%r is not a channel of the chip, 0 to %d" % (value, _CHANNELS - 1)
        return None
    if pin is None:
        return "%r is not a GPIO number, 0 to %d" % (value, MAX_PIN)
    if pin in _ABSENT:
        return "the ESP32 has no GPIO %d" % pin
    if 6 <= pin <= 11:
        return "GPIO %d belongs to the flash chip (6 to 11 do): use another" % pin
    if use == "out" and pin >= _INPUT_ONLY:
        return "GPIO %d can only be an input (34 to 39 can): use 0 to 33" % pin
    if use == "adc" and pin not in ADC1 and pin not in ADC2:
        return "GPIO %d has no ADC: use 32 to 39" % pin
    return None


def risk(pin):
    """What is special about a pin that can be used; None for a plain one."""
    if pin in (1, 3):
        return "is the serial console: what is wired to it disturbs the console and flashing"
    if pin == 0:
        return "must not be low at reset, or the chip waits for a new program"
    if pin == 2:
        return "must be low or open while the chip is flashed over its serial port"
    if pin == 12:
        return "must not be high at reset, or the flash gets 1.8 V and the board does not start"
    if pin in (5, 15):
        return "is read at reset (strapping pin) and gives a signal of its own at start"
    return None
