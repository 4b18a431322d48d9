"""The sensor `ds18b20`: a thermometer on a 1-Wire bus, several of which may share a pin.

DS18B20 datasheet: "DS18B20 Function Commands" and "Memory". The wire itself is MicroPython's
onewire driver. Its ds18x20 starts all thermometers of a wire at once and knows no resolution, so
the commands that it takes are here. Copies of the chip differ in reserved bits, and some have one
resolution only: what counts is the checksum, and the resolution that the chip says it has.
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
_READ_POWER_SUPPLY = const(0xB4)
_FAMILIES = b"\x28\x22"  # DS18B20, and DS1822, which is the same but less precise
_OTHERS = {0x10: "DS18S20", 0x3B: "DS1825 or MAX31850", 0x42: "DS28EA00"}
_RESOLUTION = const(0x60)  # the bits of the configuration that say it
_LOWEST = const(-880)  # -55 °C and 125 °C in sixteenths
_HIGHEST = const(2000)
_POWER_ON = const(0x0550)  # 85 °C: the register before the first conversion
_NEAR = const(32)  # 2 °C in sixteenths
_BUSY_MS = const(16)  # between two looks whether a conversion has ended
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
        self._wire = port.onewire(self._pin)
        self._sleep_ms = port.sleep_ms
        self._rom = None
        self._alone = False  # on its wire
        self._parasite = False  # it has no supply wire
        self._has = 0  # its bits of _RESOLUTION
        self._unused = 0  # low bits of a reading without meaning
        self._convert_ms = 0
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
        busy = self._alone and not self._parasite and await self._is_busy()
        buf = await self._scratchpad()
        if buf[4] & _RESOLUTION != self._has:
            self._rom = None
            raise self._failed("lost its resolution: its power was away: check its supply wire")
        if busy:
            raise self._failed(
                "still measures after %d ms: check its power" % (2 * self._convert_ms)
            )
        raw = buf[1] << 8 | buf[0]
        if raw > 0x7FFF:
            raw -= 0x10000
        if not _LOWEST <= raw <= _HIGHEST:
            raise self._failed("says %g °C, which it cannot measure: check its wires" % (raw / 16))
        if raw == _POWER_ON and not -_NEAR < raw - self._last < _NEAR:
            if self._parasite:
                raise self._failed(
                    "reads 85 °C for lack of power: connect its supply wire; check it"
                )
            self._last = raw  # when the next conversion says so too, it is a temperature
            raise self._failed(
                "reads 85 °C, which it does when its power was away during the measurement: "
                "check its supply wire"
            )
        self._last = raw
        values[0] = (raw >> self._unused << self._unused) / 16

    async def _is_busy(self):
        """Whether the conversion does not end, twice as long as it may take: until then the
        thermometer answers with zeros.
        """
        for _ in range(self._convert_ms // _BUSY_MS + 1):
            if self._wire.readbyte() == 0xFF:
                return False
            await self._sleep_ms(_BUSY_MS)
        return True

    async def _set_up(self):
        """Find the thermometer, and give it its resolution, if it takes one."""
        self._rom = self._find()
        buf = await self._scratchpad()
        if (buf[4] ^ self._configuration) & _RESOLUTION:
            self._select(self._rom)
            self._wire.write(bytes((_WRITE_SCRATCHPAD, buf[2], buf[3], self._configuration)))
            buf = await self._scratchpad()
        self._has = buf[4] & _RESOLUTION
        self._unused = 3 - (self._has >> 5)
        self._convert_ms = (750 >> self._unused) + 1
        self._select(self._rom)
        self._wire.writebyte(_READ_POWER_SUPPLY)
        self._parasite = not self._wire.readbyte() & 1
        self._last = 0

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
            # A wire at ground reads as zeros, whose checksum is right.
            if not self._wire.crc8(buf) and any(buf):
                return buf
        self._rom = None
        if not any(buf):
            raise self._grounded()
        if min(buf) == 0xFF:  # others on the wire were there to answer the reset
            raise self._failed("gives no answer: check its power, its data wire")
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
        if self._is_grounded():  # a search there would find 255 of them, in three seconds
            raise self._grounded()
        scanned = self._wire.scan()
        found = [bytes(rom) for rom in scanned if any(rom) and not self._wire.crc8(rom)]
        roms = [rom for rom in found if rom[0] in _FAMILIES]
        for rom in roms:
            if rom[:7] == self._wanted or (self._wanted is None and len(roms) == 1):
                self._alone = len(scanned) == 1
                return rom
        if scanned and not found:
            raise self._failed(
                "sends its name with a wrong checksum: check its wires, their length"
            )
        others = [rom for rom in found if rom[0] not in _FAMILIES]
        if others and (not roms or self._wanted in [rom[:7] for rom in others]):
            raise ResourceError(
                "%s: what answers on GPIO %d is no DS18B20: %s: fit a DS18B20 or DS1822"
                % (
                    self._name,
                    self._pin,
                    ", ".join(
                        [
                            "%s is a %s"
                            % (
                                _name_of(rom),
                                _OTHERS.get(rom[0], "device of family 0x%02x" % rom[0]),
                            )
                            for rom in others
                        ]
                    ),
                )
            )
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

    def _is_grounded(self):
        """Whether the wire is at ground: nobody was asked, and it is not high."""
        return self._wire.reset() and not self._wire.readbyte()

    def _grounded(self):
        self._rom = None
        return self._failed("sends only zeros, as a data wire at ground does: check its data wire")

    def _failed(self, text):
        return ResourceError(
            "%s: the thermometer on GPIO %d %s and the 4.7 kohm pull-up"
            % (self._name, self._pin, text)
        )
