"""The power sensor `ina219`: voltage and current of a direct current supply.

INA219 datasheet (SBOS448): "Register Details". The current is computed from the voltage across
the shunt, which the chip measures in steps of 10 µV, so its calibration register is not needed and
a chip that lost power between two readings still reads right.
"""

from cistern.resources.attributes import check as check_table
from cistern.resources.i2c import TABLE, Device
from cistern.resources.pins import address
from cistern.resources.power import source

const = int  # MicroPython's compiler knows const() by its name

_CONFIGURATION = const(0)
_SHUNT = const(1)
_BUS = const(2)
# As after power-on: 32 V, ±320 mV, 12 bits, both measured without end every 1.06 ms.
_DEFAULT = const(0x399F)
_RESET = const(0x80)
_CONVERTED = const(2)  # CNVR in the bus register: until then all results are 0
_OVERFLOW = const(1)  # OVF there: the chip's own arithmetic ran over
_ONES = const(0xFFFF)
_FIRST_US = 2200  # both conversions of 12 bits take 1.17 ms at most
_SHUNT_STEP_V = 0.00001
_SHUNT_LIMIT = const(32000)  # 320 mV
_BUS_STEP_V = 0.004
_BUS_LIMIT = const(6500)  # 26 V

_TABLE = dict(
    TABLE,
    i2c_address=("i2c", False, None, None),
    shunt_resistance=(float, False, 0.0001, 100),
    # Viam's: the range for the calibration register.
    max_current_amps=(float, False, None, None),
)


def check(kind, model, attributes):
    """Problems of the attributes."""
    return check_table(_TABLE, attributes)


def build(component, port, others):
    """Make the sensor."""
    return Ina219(component, port, others)


class Ina219(Device):
    """Volts between V- and ground, amperes through the shunt; positive towards the load."""

    def __init__(self, component, port, others):
        given = component.attributes
        Device.__init__(self, component, port, others, address(given.get("i2c_address", 0x40)))
        self._ohms = given.get("shunt_resistance", 0.1)
        self._buf = bytearray(2)

    def setup(self):
        """Reset the chip, see that it is one, and wait for its first results."""
        self._buf[0], self._buf[1] = _RESET, 0
        self.bus.i2c.writeto_mem(self.address, _CONFIGURATION, self._buf)
        self.bus.i2c.readfrom_mem_into(self.address, _CONFIGURATION, self._buf)
        found = self._buf[0] << 8 | self._buf[1]
        if found != _DEFAULT:
            raise self.strange(
                found,
                _ONES,
                "is no INA219 (its configuration is 0x%04x after a reset, not 0x399f): check "
                "i2c_address" % found,
            )
        if not self.until(self._converted, _FIRST_US):
            raise self.wrong("measured nothing within 2 ms of its reset: check its power")

    def source(self, method, params):
        """A source of the method."""
        return source(method, self._volts, self._amperes)

    def _converted(self):
        self.bus.i2c.readfrom_mem_into(self.address, _BUS, self._buf)
        return self._buf[1] & _CONVERTED

    def _register(self, register):
        self.read(register, self._buf)
        return self._buf[0] << 8 | self._buf[1]

    def _bus(self):
        """The register of the bus voltage, which also tells whether there are results."""
        bus = self._register(_BUS)
        # A chip without a result has 0 there, too, but never in its configuration.
        if bus == _ONES or not (bus or self._register(_CONFIGURATION)):
            self.is_set_up = False
            raise self.strange(bus, _ONES, "")
        if not bus & _CONVERTED:
            raise self.again("has no result yet: its power was away; it is set up again")
        return bus

    def _volts(self):
        bus = self._bus() >> 3
        if bus > _BUS_LIMIT:
            raise self.wrong(
                "measures %g V, and bears 26 V at most: check what is wired to V-"
                % (bus * _BUS_STEP_V)
            )
        return bus * _BUS_STEP_V

    def _amperes(self):
        if self._bus() & _OVERFLOW:
            raise self.again(
                "says that its result overflowed, though it computes none: its power was away; it "
                "is set up again"
            )
        shunt = self._register(_SHUNT)
        if shunt > 0x7FFF:
            shunt -= 0x10000
        if not -_SHUNT_LIMIT < shunt < _SHUNT_LIMIT:
            raise self.wrong(
                "measures more than %.3g A, the most that a shunt of %g ohm can show: give the "
                "shunt_resistance that is on the board, or fit a smaller one"
                % (_SHUNT_LIMIT * _SHUNT_STEP_V / self._ohms, self._ohms)
            )
        return shunt * _SHUNT_STEP_V / self._ohms
