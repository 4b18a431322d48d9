"""What the attributes of the board `esp32` may be; borrowed by board.py."""

from cistern.resources.attributes import check as check_table
from cistern.resources.pins import problem

_TABLE = {
    "pins": (list, False, 0, 40),
    "analogs": (list, False, 0, 18),  # as many pins have an ADC
    "i2cs": (list, False, 0, 2),  # controllers on the chip
    "digital_interrupts": (list, False, 0, 40),  # Viam's; they need no preparation here
}
_ANALOG = {"name": (str, True, 1, 64), "pin": ("adc", True, None, None)}
_I2C = {
    "name": (str, True, 1, 60),
    "data_pin": ("out", True, None, None),
    "clock_pin": ("out", True, None, None),
    "baudrate_hz": (int, False, 10000, 1000000),
    # Viam's: a name of the controller, which the port chooses itself, and a timeout.
    "bus": (str, False, None, None),
    "timeout_ns": (int, False, None, None),
}


def check(attributes):
    """Problems of the attributes."""
    found = check_table(_TABLE, attributes)
    if found:
        return found
    for i, pin in enumerate(attributes.get("pins", ())):
        text = problem(pin, "in")
        if text:
            found.append(("pins[%d]" % i, text))
    for name, table in (("analogs", _ANALOG), ("i2cs", _I2C)):
        seen = []
        for i, entry in enumerate(attributes.get(name, ())):
            path = "%s[%d]" % (name, i)
            if not isinstance(entry, dict):
                found.append((path, "%r is not an object" % (entry,)))
                continue
            found += check_table(table, entry, path + ".")
            if entry.get("name") in seen:
                text = "%r is the name of another entry" % entry["name"]
                found.append((path + ".name", text))
            seen.append(entry.get("name"))
    return found
