"""The board `esp32`: analog readers and digital pins."""

from cistern.resources import ResourceError, Source
from cistern.resources.attributes import check as check_table

MAX_PIN = 39  # ESP32 datasheet, table "Pin description": GPIO0 to GPIO39
ADC1_PINS = (32, 33, 34, 35, 36, 37, 38, 39)  # ADC2 cannot be read while Wi-Fi is on
MAX_ANALOGS = 18

_TABLE = {
    "pins": (list, False, 0, MAX_PIN + 1),
    "analogs": (list, False, 0, MAX_ANALOGS),
}
_ANALOG = {"name": (str, True, 1, 64), "pin": (str, True, 1, 2)}


def check(model, attributes):
    """Problems of the attributes."""
    found = check_table(_TABLE, attributes)
    if found:
        return found
    for i, pin in enumerate(attributes.get("pins", ())):
        if _number(pin) is None:
            found.append(("pins[%d]" % i, "%r is not a GPIO number, 0 to %d" % (pin, MAX_PIN)))
    seen = {}
    for i, reader in enumerate(attributes.get("analogs", ())):
        found += _check_analog("analogs[%d]" % i, reader, seen)
    return found


def _check_analog(path, reader, seen):
    if not isinstance(reader, dict):
        return [(path, 'give {"name": …, "pin": …}')]
    pin = reader.get("pin")
    # Viam writes pins as strings; people write numbers.
    named = dict(reader, pin=str(pin)) if _number(pin) is not None else reader
    found = check_table(_ANALOG, named, path + ".")
    if found:
        return found
    if _number(pin) not in ADC1_PINS:
        found.append(
            (
                path + ".pin",
                "GPIO %s has no ADC1, and ADC2 does not work beside Wi-Fi: use 32 to 39" % pin,
            )
        )
    if reader["name"] in seen:
        found.append((path + ".name", "%r is the name of another reader" % reader["name"]))
    seen[reader["name"]] = path
    return found


def _number(pin):
    if isinstance(pin, bool):
        return None
    try:
        number = int(pin)
    except (TypeError, ValueError):
        return None
    return number if 0 <= number <= MAX_PIN and (isinstance(pin, str) or number == pin) else None


def build(component, port, others):
    """Make the board."""
    return Board(component, port)


class Board:
    """analogs: analog reader name → object with read_u16()."""

    def __init__(self, component, port):
        self._name = component.name
        self._port = port
        self.analogs = {}
        for reader in component.attributes.get("analogs", ()):
            self.analogs[reader["name"]] = port.adc(int(reader["pin"]))

    def source(self, method, params):
        """Analogs of a reader, or Gpios of a pin."""
        if method == "Analogs":
            reader = params["reader_name"]
            if reader not in self.analogs:
                raise ResourceError(
                    "board %s has no analog reader %r; it has: %s"
                    % (self._name, reader, ", ".join(sorted(self.analogs)) or "none")
                )
            return AnalogSource(self.analogs[reader])
        pin = _number(params["pin_name"])
        if pin is None:
            raise ResourceError(
                "pin_name %r is not a GPIO number, 0 to %d" % (params["pin_name"], MAX_PIN)
            )
        return GpioSource(self._port.pin(pin))


class AnalogSource(Source):
    """{"value": 0..65535}."""

    fields = ((("value",), "u16"),)

    def __init__(self, adc):
        self._read = adc.read_u16

    def read_into(self, values):
        """One conversion."""
        values[0] = self._read()


class GpioSource(Source):
    """{"high": bool}."""

    fields = ((("high",), "bool"),)

    def __init__(self, pin):
        self._value = pin.value

    def read_into(self, values):
        """The level now."""
        values[0] = self._value() == 1
