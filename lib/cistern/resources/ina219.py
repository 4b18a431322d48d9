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
_SHUNT_STEP_V = 0.00001
_SHUNT_LIMIT = const(32000)  # 320 mV
_BUS_STEP_V = 0.004

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
        """Reset the chip, and see that it is one."""
        self._buf[0], self._buf[1] = _RESET, 0
        self.bus.i2c.writeto_mem(self.address, _CONFIGURATION, self._buf)
        self.bus.i2c.readfrom_mem_into(self.address, _CONFIGURATION, self._buf)
        found = self._buf[0] << 8 | self._buf[1]
        if found != _DEFAULT:
            raise self.wrong(
                "is no INA219 (its configuration is 0x%04x after a reset, not 0x399f): check "
                "i2c_address" % found
            )

    def source(self, method, params):
        """A source of the method."""
        return source(method, self._volts, self._amperes)

    def _register(self, register):
        self.read(register, self._buf)
        return self._buf[0] << 8 | self._buf[1]

    def _volts(self):
        return (self._register(_BUS) >> 3) * _BUS_STEP_V

    def _amperes(self):
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
