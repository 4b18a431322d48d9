"""The board `esp32`: analog readers, digital pins, I2C and SPI buses."""

from cistern.borrow import borrow
from cistern.resources import ResourceError, Source, fields
from cistern.resources.pins import number, problem


def check(kind, model, attributes):
    """Problems of the attributes."""
    return borrow("cistern.resources.board_check").check(attributes)


def build(component, port, others):
    """Make the board."""
    board = Board(component.name, port, others)
    borrow("cistern.resources.board_setup").fit(board, component, port, others)
    return board


class Board:
    """What board_setup.py has fitted it with.

    analogs: analog reader name → object with read_u16() and read_uv(); i2cs: bus name → i2c.Bus;
    spis: bus name → spi.Bus; uses: see catalog.build.
    """

    def __init__(self, name, port, others):
        self._name = name
        self._port = port
        self._others = others
        self.analogs = {}
        self.i2cs = {}
        self.spis = {}
        self.uses = {}

    def source(self, method, params):
        """Analogs of a reader, or Gpios of a pin."""
        if method == "Analogs":
            return self._analog(params["reader_name"])
        pin = number(params["pin_name"])
        text = problem(params["pin_name"], "in")
        if text:
            raise ResourceError("board %s, pin_name: %s" % (self._name, text))
        # A pin that a component has keeps its mode: its level can be read beside that.
        used = False
        for name in self._others:
            used = used or "GPIO %d" % pin in getattr(self._others[name], "uses", {})
        return GpioSource(self._port.pin(pin, None) if used else self._port.pin(pin))

    def _analog(self, reader):
        if reader not in self.analogs:
            raise ResourceError(
                "board %s has no analog reader %r; it has: %s"
                % (self._name, reader, ", ".join(sorted(self.analogs)) or "none")
            )
        return AnalogSource(self.analogs[reader])


class AnalogSource(Source):
    """{"value": 0..65535}, whatever the ADC's own resolution."""

    at_once = True
    fields = fields("u16", "value")

    def __init__(self, adc):
        self._read = adc.read_u16
        # Several readers have one bus and one buffer: a timer must not read in between.
        self.at_once = getattr(adc, "at_once", True)

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
