"""A 1-Wire bus with DS18B20 thermometers, byte by byte (DS18B20 datasheet)."""

from cistern.port.simulated.clock import Clock
from cistern.port.simulated.pins import wave

_RESET_US = 960
_BYTE_US = 8 * 65


def crc8(data):
    """Of 1-Wire: x^8 + x^5 + x^4 + 1, bits in the order of the wire; 0 over data with its CRC."""
    crc = 0
    for byte in data:
        for _ in range(8):
            bit = (crc ^ byte) & 1
            crc >>= 1
            if bit:
                crc ^= 0x8C
            byte >>= 1
    return crc


class OneWire:
    """onewire.OneWire. shorted: the wire is held at ground."""

    MATCH_ROM = 0x55
    SKIP_ROM = 0xCC

    def __init__(self, devices, charge=None):
        self.devices = devices
        self.shorted = False
        self._charge = charge or (lambda us: None)
        self._written = None  # bytes since the reset
        self._selected = ()

    def reset(self, required=False):
        """Whether any device is there."""
        self._charge(_RESET_US)
        self._written = bytearray()
        self._selected = ()
        # A wire at ground is low when an answer would be: MicroPython's driver takes it for one.
        found = self.shorted or any(device.plugged for device in self.devices)
        if required and not found:
            raise OSError("no device")
        return found

    def writebyte(self, byte):
        """Eight bits."""
        self._charge(_BYTE_US)
        if self.shorted:
            return
        written = self._written
        written.append(byte)
        if self._selected:
            for device in self._selected:
                device.take(byte)
        elif written[0] == self.SKIP_ROM:
            self._select(lambda device: True)
        elif written[0] == self.MATCH_ROM and len(written) == 9:
            self._select(lambda device: device.rom == bytes(written[1:]))

    def _select(self, wanted):
        self._selected = [d for d in self.devices if d.plugged and wanted(d)]
        for device in self._selected:
            device.begin()

    def write(self, buf):
        """Bytes."""
        for byte in buf:
            self.writebyte(byte)

    def readbyte(self):
        """All devices that are selected pull the wire low together."""
        self._charge(_BYTE_US)
        byte = 0 if self.shorted else 255
        for device in self._selected:
            byte &= device.give()
        return byte

    def readinto(self, buf):
        """Fill `buf`."""
        for i in range(len(buf)):
            buf[i] = self.readbyte()

    def select_rom(self, rom):
        """Address one device."""
        self.reset()
        self.writebyte(self.MATCH_ROM)
        self.write(rom)

    def scan(self):
        """ROM codes of all devices."""
        roms = [bytearray(d.rom) for d in self.devices if d.plugged and not self.shorted]
        for _ in roms:
            self._charge(_RESET_US)
            for _ in range(64):
                self._charge(3 * 65)
        return roms

    def crc8(self, data):
        """As above."""
        return crc8(data)


class Ds18b20:
    """celsius(tick) → temperature; serial: 6 bytes; family: the byte before them.

    corrupt: how many of the next reads of the scratchpad have a wrong bit. fixed: None, or the
    byte that its configuration always is, as in copies of the chip. slow: how many times longer
    than the datasheet says a conversion takes. parasite: its supply wire is not connected, and the
    data wire gives too little for a conversion.
    """

    def __init__(self, ticks_us, celsius=None, serial=b"\x9e\x6c\x1b\x05\0\0", family=0x28):
        self.rom = bytes([family]) + serial
        self.rom += bytes([crc8(self.rom)])
        self.celsius = celsius or (lambda tick: 18 + wave(tick, 17) / 128)
        self.corrupt = 0
        self.fixed = None
        self.slow = 1
        self.parasite = False
        self._ticks_us = ticks_us
        self._now = Clock(ticks_us).now
        self._stored = 0x7F  # configuration in its EEPROM
        self.plug()

    def unplug(self):
        """Take it off the wire."""
        self.plugged = False

    def plug(self):
        """Power-on: 85 °C, and the configuration of the EEPROM."""
        self.plugged = True
        self._scratchpad = bytearray(b"\x50\x05\x4b\x46\0\xff\x0c\x10")
        self._scratchpad[4] = self._stored
        self._started = None
        self.begin()

    def begin(self):
        """It was selected: a function command follows."""
        self._command = None
        self._at = 0
        self._out = b""

    def take(self, byte):
        """A command, or what follows it."""
        if self._command is None:
            self._command = byte
            if byte == 0x44:
                self._started = self._now()
            elif byte == 0xBE:
                self._finish()
                if self.fixed is not None:
                    self._scratchpad[4] = self.fixed
                self._out = bytes(self._scratchpad) + bytes([crc8(self._scratchpad)])
                if self.corrupt:
                    self.corrupt -= 1
                    self._out = bytes([self._out[0] ^ 4]) + self._out[1:]
        elif self._command == 0x4E and self._at < 3:
            self._scratchpad[2 + self._at] = byte & 0x60 | 0x1F if self._at == 2 else byte
            self._at += 1

    def give(self):
        """The next byte, or ones."""
        if self._command == 0xB4:
            return 0 if self.parasite else 255
        if self._command == 0x44 and not self.parasite:
            self._finish()
            return 0 if self._started is not None else 255
        self._at += 1
        return self._out[self._at - 1] if self._at <= len(self._out) else 255

    def _finish(self):
        """The conversion that was begun, if its time is over."""
        if self._started is None:
            return
        coarse = 3 - (self._scratchpad[4] >> 5 & 3)
        if self._now() - self._started < (750000 >> coarse) * self.slow:
            return
        self._started = None
        if self.parasite:
            self._scratchpad[0:2] = b"\x50\x05"
            return
        raw = int(self.celsius(self._ticks_us()) * 16 + 4096) - 4096 >> coarse << coarse
        self._scratchpad[0], self._scratchpad[1] = raw & 255, raw >> 8 & 255
