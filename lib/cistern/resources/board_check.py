"""What the attributes of the board `esp32` may be; borrowed by board.py."""

from cistern.resources.attributes import check as check_table
from cistern.resources.pins import problem

_TABLE = {
    "pins": (list, False, 0, 40),
    "analogs": (list, False, 0, 32),
    "i2cs": (list, False, 0, 2),  # controllers on the chip
    "spis": (list, False, 0, 2),  # that the flash leaves
    "digital_interrupts": (list, False, 0, 40),  # Viam's; they need no preparation here
}
_ANALOG = {"name": (str, True, 1, 64), "pin": ("adc", True, None, None)}
_EXTERNAL = {
    "name": (str, True, 1, 64),
    "pin": ("channel", True, None, None),
    "spi_bus": (str, True, 1, 60),
    "chip_select": ("out", True, None, None),
    "reference_volts": (float, False, 0.25, 5.5),
}
_I2C = {
    "name": (str, True, 1, 60),
    "data_pin": ("out", True, None, None),
    "clock_pin": ("out", True, None, None),
    "baudrate_hz": (int, False, 10000, 1000000),
    # Viam's: a name of the controller, which the port chooses itself, and a timeout.
    "bus": (str, False, None, None),
    "timeout_ns": (int, False, None, None),
}
_SPI = {
    "name": (str, True, 1, 60),
    "clock_pin": ("out", True, None, None),
    "mosi_pin": ("out", True, None, None),
    "miso_pin": ("in", True, None, None),
    "baudrate_hz": (int, False, 10000, 20000000),
    "mode": (int, False, 0, 3),
    "bus_select": (str, False, None, None),  # Viam's: the port chooses the controller itself
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
    for name, table in (("i2cs", _I2C), ("spis", _SPI), ("analogs", _ANALOG)):
        seen = []
        for i, entry in enumerate(attributes.get(name, ())):
            path = "%s[%d]" % (name, i)
            if not isinstance(entry, dict):
                found.append((path, "%r is not an object" % (entry,)))
                continue
            if "spi_bus" in entry and name == "analogs":
                wrong = check_table(_EXTERNAL, entry, path + ".")
                found += wrong or _bus(attributes.get("spis", ()), entry["spi_bus"], path)
            else:
                found += check_table(table, entry, path + ".")
            if entry.get("name") in seen:
                text = "%r is the name of another entry" % entry["name"]
                found.append((path + ".name", text))
            seen.append(entry.get("name"))
    return found


def _bus(spis, wanted, path):
    """The problem of a bus that is not there."""
    names = [str(bus.get("name")) for bus in spis if isinstance(bus, dict)]
    if wanted in names:
        return []
    text = "no entry of `spis` has the name %r; it has: %s"
    return [(path + ".spi_bus", text % (wanted, ", ".join(names) or "none"))]
