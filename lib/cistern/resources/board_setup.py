"""What a board `esp32` is fitted with at start; borrowed by board.py."""

from cistern.borrow import keep
from cistern.resources import ResourceError
from cistern.resources.pins import ADC2, claim, number

DEFAULT_I2C_HZ = 400000  # I2C's fast mode, which every chip that there is a model for can do
DEFAULT_SPI_HZ = 1000000  # the MCP3008 does 1.35 MHz at 2.7 V
DEFAULT_REFERENCE_V = 3.3


def fit(board, component, port, others):
    """Give the board its buses and analog readers. Raises ResourceError."""
    uses = {}
    given = component.attributes
    for i, bus in enumerate(given.get("i2cs", ())):
        data, clock = _pins(bus, "i2cs[%d]" % i, uses, "data_pin", "clock_pin")
        freq = int(bus.get("baudrate_hz", DEFAULT_I2C_HZ))
        make = keep("cistern.resources.i2c").Bus
        board.i2cs[bus["name"]] = make(bus["name"], port, clock, data, freq)
    for i, bus in enumerate(given.get("spis", ())):
        pins = _pins(bus, "spis[%d]" % i, uses, "clock_pin", "mosi_pin", "miso_pin")
        freq = int(bus.get("baudrate_hz", DEFAULT_SPI_HZ))
        make = keep("cistern.resources.spi").Bus
        board.spis[bus["name"]] = make(bus["name"], port, pins, freq, int(bus.get("mode", 0)))
    for i, reader in enumerate(given.get("analogs", ())):
        path = "analogs[%d]" % i
        if "spi_bus" in reader:
            adc = _external(board, reader, path, uses)
        else:
            adc = _internal(component, reader, path, uses, port)
        if adc:
            board.analogs[reader["name"]] = adc
    board.uses = claim(component, port, others, uses)


def _pins(entry, path, uses, *names):
    """The GPIO numbers that an entry gives under these names, each used by nothing else."""
    found = []
    for name in names:
        pin = number(entry[name])
        _use("GPIO %d" % pin, "%s.%s" % (path, name), uses)
        found.append(pin)
    return found


def _use(key, path, uses):
    if uses.get(key, path) != path:
        raise ResourceError(
            "%s is given as %s and as %s: each needs a pin of its own" % (key, uses[key], path)
        )
    uses[key] = path


def _internal(component, reader, path, uses, port):
    """A reader of the chip's own ADC; None while Wi-Fi has it."""
    pin = number(reader["pin"])
    if pin in ADC2 and port.wifi:
        # The others of the board are right: they stay.
        port.log(
            "error",
            "%s.attributes.%s.pin: GPIO %d is on ADC2, which Wi-Fi needs for itself: use 32 to "
            "39; analog reader %s is left out" % (component.path, path, pin, reader["name"]),
        )
        return None
    key = "GPIO %d" % pin
    if uses.get(key, "")[-5:] != "].pin":  # two readers may share one
        _use(key, path + ".pin", uses)
    return port.adc(pin)


def _external(board, reader, path, uses):
    """A reader of an MCP3008; several share the chip, and with it the pin that selects it."""
    bus = board.spis[reader["spi_bus"]]
    select = number(reader["chip_select"])
    key = "GPIO %d" % select
    if select not in bus.chips:
        _use(key, path + ".chip_select", uses)
    volts = reader.get("reference_volts", DEFAULT_REFERENCE_V)
    make = keep("cistern.resources.mcp3008").Reader
    return make(bus.chip(select), int(reader["pin"]), int(volts * 1000000))
