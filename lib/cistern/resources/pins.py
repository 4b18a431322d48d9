"""The ESP32's pins: what each can do, and which component has it.

ESP32 Series Datasheet, "Pin Overview" and "Strapping Pins"; ESP32 Technical Reference Manual,
"IO_MUX and GPIO Matrix" and "On-Chip Sensors and Analog Signal Processing".
"""

from cistern.borrow import borrow
from cistern.resources import ResourceError

const = int  # MicroPython's compiler knows const() by its name

MAX_PIN = const(39)
ADC1 = b"\x20\x21\x22\x23\x24\x25\x26\x27"  # 32 to 39
ADC2 = b"\x00\x02\x04\x0c\x0d\x0e\x0f\x19\x1a\x1b"  # 0, 2, 4, 12 to 15, 25 to 27
ONE_WIRE = "1-Wire"  # several sensors may share such a pin
# I2C reserves the addresses below and above (NXP UM10204, table 4).
_MIN_ADDRESS = const(0x08)
_MAX_ADDRESS = const(0x77)


def number(pin):
    """The GPIO number that a JSON value means, 34 or "34"; None where it means none."""
    return _whole(pin, 10, 0, MAX_PIN)


def address(value):
    """The I2C address that a JSON value means, 118 or "0x76"; None where it means none."""
    return _whole(value, 0, _MIN_ADDRESS, _MAX_ADDRESS)


def _whole(value, base, low, high):
    try:
        n = int(value, base) if isinstance(value, str) else int(value)
    except (TypeError, ValueError, OverflowError):
        return None
    if (
        isinstance(value, bool)
        or not low <= n <= high
        or not (isinstance(value, str) or n == value)
    ):
        return None
    return n


def problem(value, use):
    """Why a pin cannot be used as "in", "out" or "adc", an address as "i2c", or the input of an
    external ADC as "channel"; None if it can.
    """
    return borrow("cistern.resources.pin_rules").problem(value, use)


def claim(component, port, others, uses):
    """Take pins and addresses for a component, {"GPIO 4": "pin"}; returns `uses`.

    Raises ResourceError when another component has one; logs a warning for pins that have a part
    in starting the chip.
    """
    for key in uses:
        for name in others:
            as_what = getattr(others[name], "uses", {}).get(key)
            if as_what is not None and not as_what == uses[key] == ONE_WIRE:
                raise ResourceError(
                    "%s cannot be %s of %s: %s has it as %s"
                    % (key, uses[key], component.name, name, as_what)
                )
        risk = key[:5] == "GPIO " and borrow("cistern.resources.pin_rules").risk(int(key[5:]))
        if risk:
            path = getattr(component, "path", component.name)
            name = "pin" if uses[key] == ONE_WIRE else uses[key]
            port.log("warning", "%s.attributes.%s: %s %s" % (path, name, key, risk))
    return uses


def take(component, port, others, *names):
    """Claim the pins that the attributes of these names give: ([number, …], uses)."""
    given = component.attributes
    pins = [number(given[name]) for name in names]
    uses = {}
    for i, pin in enumerate(pins):
        key = "GPIO %d" % pin
        if key in uses:
            raise ResourceError(
                "%s is given as %s and as %s of %s: each needs a pin of its own"
                % (key, uses[key], names[i], component.name)
            )
        uses[key] = names[i]
    return pins, claim(component, port, others, uses)
