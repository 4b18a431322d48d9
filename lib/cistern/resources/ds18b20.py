"""The sensor `ds18b20`: a thermometer on a 1-Wire bus, several of which may share a pin.

DS18B20 datasheet: "DS18B20 Function Commands" and "Memory". The wire itself is MicroPython's
onewire driver. Its ds18x20 starts all thermometers of a wire at once and knows no resolution, so
the three commands that it takes are here.
"""

from binascii import hexlify, unhexlify

from cistern.resources import ResourceError, Source, fields
from cistern.resources.attributes import check as check_table
from cistern.resources.pins import ONE_WIRE, claim, number

const = int  # MicroPython's compiler knows const() by its name

_SKIP_ROM = const(0xCC)
_CONVERT = const(0x44)
_READ_SCRATCHPAD = const(0xBE)
_WRITE_SCRATCHPAD = const(0x4E)
_FAMILIES = b"\x28\x22"  # DS18B20, and DS1822, which is the same but less precise
_POWER_ON = const(0x0550)  # 85 °C: the register before the first conversion
_NEAR = const(32)  # 2 °C in sixteenths
_TRIES = 3  # of a scratchpad whose checksum is wrong; each takes about 11 ms

_TABLE = {
    "board": (str, False, 1, 60),
    "pin": ("out", True, None, None),
    "unique_id": (str, False, 12, 16),
    "resolution_bits": (int, False, 9, 12),
}


def check(kind, model, attributes):
    """Problems of the attributes."""
    found = check_table(_TABLE, attributes)
    if not found and "unique_id" in attributes and _rom(attributes["unique_id"]) is None:
        found.append(
            ("unique_id", "%r is no id such as 28-0000051b6c9e" % attributes["unique_id"])
        )
    return found


def build(component, port, others):
    """Make the sensor."""
    return Ds18b20(component, port, others)


def _rom(text):
    """Family and serial number, 7 bytes in the order of the wire, of 28-0000051b6c9e (as Linux
    writes it) or of the 16 hex digits of a whole ROM code; None for anything else.
    """
    try:
        if text[2:3] == "-" and len(text) == 15:
            serial = unhexlify(text[3:])
            return unhexlify(text[:2]) + bytes([serial[5 - i] for i in range(6)])
        return unhexlify(text)[:7] if len(text) == 16 else None
    except ValueError:
        return None


def _name_of(rom):
    serial = bytes([rom[6 - i] for i in range(6)])
    return "%02x-%s" % (rom[0], hexlify(serial).decode())


class Ds18b20:
    """Readings {"celsius": …}."""

    def __init__(self, component, port, others):
        given = component.attributes
        self._name = component.name
        self._pin = number(given["pin"])
        self.uses = claim(component, port, others, {"GPIO %d" % self._pin: ONE_WIRE})
        self._wanted = _rom(given["unique_id"]) if "unique_id" in given else None
        bits = int(given.get("resolution_bits", 12))
        self._configuration = (bits - 9) << 5 | 0x1F
        self._unused = 12 - bits  # low bits of a reading without meaning
        self._convert_ms = (750 >> self._unused) + 1
        self._wire = port.onewire(self._pin)
        self._sleep_ms = port.sleep_ms
        self._rom = None
        self._alone = False  # on its wire
        self._last = 0
        self._buf = bytearray(9)

    def source(self, method, params):
        """Readings."""
        return Source(self._read, fields("f32", "readings.celsius"), True)

    async def _read(self, values):
        if self._rom is None:
            await self._set_up()
        self._select(self._rom)
        self._wire.writebyte(_CONVERT)
        await self._sleep_ms(self._convert_ms)
        buf = await self._scratchpad()
        if buf[4] != self._configuration:
            self._rom = None
            raise self._failed("lost its resolution: its power was away: check its supply wire")
        raw = buf[1] << 8 | buf[0]
        if raw > 0x7FFF:
            raw -= 0x10000
        if raw == _POWER_ON and not -_NEAR < raw - self._last < _NEAR:
            raise self._failed(
                "reads 85 °C, which it does when its power was away during the measurement: "
                "check its supply wire"
            )
        self._last = raw
        values[0] = (raw >> self._unused << self._unused) / 16

    async def _set_up(self):
        """Find the thermometer, and give it its resolution."""
        self._rom = self._find()
        buf = await self._scratchpad()
        if buf[4] != self._configuration:
            self._select(self._rom)
            self._wire.write(bytes((_WRITE_SCRATCHPAD, buf[2], buf[3], self._configuration)))

    async def _scratchpad(self):
        """The thermometer's registers, checked."""
        buf = self._buf
        view = memoryview(buf)
        for _ in range(_TRIES):
            self._select(self._rom)
            self._wire.writebyte(_READ_SCRATCHPAD)
            for i in range(0, 9, 3):
                if self._alone:  # else another's turn would come between
                    await self._sleep_ms(0)
                self._wire.readinto(view[i : i + 3])
            # A wire at ground reads as zeros, whose checksum is right; these bits are always 1.
            if not self._wire.crc8(buf) and buf[4] & 0x9F == 0x1F:
                return buf
        self._rom = None
        raise self._failed("sends a wrong checksum: check its wires, their length")

    def _select(self, rom):
        if not self._wire.reset():
            self._rom = None
            raise self._failed("gives no answer: check its power, its data wire")
        if self._alone:
            # 0.5 ms a byte, in which nothing else runs: the nine of MATCH ROM only where it must.
            self._wire.writebyte(_SKIP_ROM)
        else:
            self._wire.select_rom(rom)

    def _find(self):
        """The ROM code of the thermometer that is meant."""
        found = self._wire.scan()
        alone = len(found) == 1
        roms = [bytes(rom) for rom in found if rom[0] in _FAMILIES]
        for rom in roms:
            if rom[:7] == self._wanted or (self._wanted is None and len(roms) == 1):
                self._alone = alone
                return rom
        names = ", ".join(sorted([_name_of(rom) for rom in roms]))
        if self._wanted is not None and roms:
            raise ResourceError(
                "%s: no thermometer %s on GPIO %d; there are: %s"
                % (self._name, _name_of(self._wanted), self._pin, names)
            )
        if roms:
            raise ResourceError(
                "%s: there are %d thermometers on GPIO %d: give unique_id, one of %s"
                % (self._name, len(roms), self._pin, names)
            )
        raise self._failed("gives no answer: check its power, its data wire")

    def _failed(self, text):
        return ResourceError(
            "%s: the thermometer on GPIO %d %s and the 4.7 kohm pull-up"
            % (self._name, self._pin, text)
        )
