"""The board `esp32`: analog readers, digital pins and I2C buses."""

from cistern.borrow import borrow
from cistern.resources import ResourceError, Source, fields
from cistern.resources.pins import ADC2, claim, number, problem

DEFAULT_I2C_HZ = 400000  # I2C's fast mode, which every chip that there is a model for can do


def check(kind, model, attributes):
    """Problems of the attributes."""
    return borrow("cistern.resources.board_check").check(attributes)


def build(component, port, others):
    """Make the board."""
    return Board(component, port, others)


class Board:
    """analogs: analog reader name → object with read_u16(); i2cs: bus name → i2c.Bus."""

    def __init__(self, component, port, others):
        self.name = component.name
        self._port = port
        self._others = others
        self._analog_pins = {}
        self.analogs = {}
        self.i2cs = {}
        uses = {}
        for i, reader in enumerate(component.attributes.get("analogs", ())):
            pin = number(reader["pin"])
            at = "analogs[%d].pin" % i
            if pin in ADC2 and port.wifi:
                # The others of the board are right: they stay.
                path = "%s.attributes.%s" % (component.path, at)
                port.log(
                    "error",
                    "%s: GPIO %d is on ADC2, which Wi-Fi needs for itself: use 32 to 39; analog "
                    "reader %s is left out" % (path, pin, reader["name"]),
                )
                continue
            uses["GPIO %d" % pin] = at
            self._analog_pins[reader["name"]] = pin
            self.analogs[reader["name"]] = port.adc(pin)
        for i, bus in enumerate(component.attributes.get("i2cs", ())):
            self._add_bus(bus, "i2cs[%d]" % i, uses)
        self.uses = claim(component, port, others, uses)

    def _add_bus(self, bus, path, uses):
        from cistern.resources.i2c import Bus

        sda, scl = number(bus["data_pin"]), number(bus["clock_pin"])
        for pin, name in ((sda, "data_pin"), (scl, "clock_pin")):
            key = "GPIO %d" % pin
            if key in uses:
                raise ResourceError(
                    "%s is given as %s and as %s.%s: each needs a pin of its own"
                    % (key, uses[key], path, name)
                )
            uses[key] = "%s.%s" % (path, name)
        freq = int(bus.get("baudrate_hz", DEFAULT_I2C_HZ))
        self.i2cs[bus["name"]] = Bus(bus["name"], self._port, scl, sda, freq)

    def source(self, method, params):
        """Analogs of a reader, or Gpios of a pin."""
        if method == "Analogs":
            return self._analog(params["reader_name"])
        pin = number(params["pin_name"])
        text = problem(params["pin_name"], "in")
        if text:
            raise ResourceError("board %s, pin_name: %s" % (self.name, text))
        # A pin that a component has keeps its mode: its level can be read beside that.
        used = False
        for name in self._others:
            used = used or "GPIO %d" % pin in getattr(self._others[name], "uses", {})
        return GpioSource(self._port.pin(pin, None) if used else self._port.pin(pin))

    def _analog(self, reader):
        if reader not in self.analogs:
            raise ResourceError(
                "board %s has no analog reader %r; it has: %s"
                % (self.name, reader, ", ".join(sorted(self.analogs)) or "none")
            )
        return AnalogSource(self.analogs[reader])


class AnalogSource(Source):
    """{"value": 0..65535}, whatever the ADC's own resolution."""

    at_once = True
    fields = fields("u16", "value")

    def __init__(self, adc):
        self._read = adc.read_u16

    def read_into(self, values):
        """One conversion."""
        values[0] = self._read()


class GpioSource(Source):
    """{"high": bool}."""

    at_once = True
    fields = fields("bool", "high")

    def __init__(self, pin):
        self._value = pin.value

    def read_into(self, values):
        """The level now."""
        values[0] = self._value() == 1
