"""Buses and serial lines of the chip; the face is that of port/simulated."""

import machine

# The chip has two I2C controllers; more buses are played by software. One controller a pair of
# pins, also when it is made anew.
_controllers = {}
_CONTROLLERS = 2
_spis = {}
_uarts = {}  # number → machine.UART, of those in use


def i2c(scl, sda, freq):
    """machine.I2C of two GPIO numbers."""
    number = _controllers.setdefault((scl, sda), len(_controllers))
    scl, sda = machine.Pin(scl), machine.Pin(sda)
    if number < _CONTROLLERS:
        return machine.I2C(number, scl=scl, sda=sda, freq=freq)
    return machine.SoftI2C(scl=scl, sda=sda, freq=freq)


def spi(sck, mosi, miso, freq, mode):
    """A bus of three GPIO numbers; chip(select) has exchange(buf). mode: 0 to 3, which is polarity
    and phase of the clock.
    """
    number = _spis.setdefault((sck, mosi, miso), len(_spis) + 1)  # 0 is the flash's
    given = {"sck": machine.Pin(sck), "mosi": machine.Pin(mosi), "miso": machine.Pin(miso)}
    given.update(baudrate=freq, polarity=mode >> 1, phase=mode & 1)
    try:
        return _Spi(machine.SPI(number, **given))
    except ValueError:  # the smaller chips have one controller
        return _Spi(machine.SoftSPI(**given))


class _Spi:
    def __init__(self, bus):
        self._bus = bus

    def chip(self, select):
        """The chip that a low level at this GPIO number selects."""
        return _Chip(self._bus, machine.Pin(select, machine.Pin.OUT, value=1))


class _Chip:
    def __init__(self, bus, select):
        self._bus = bus
        self._select = select

    def exchange(self, buf):
        """Send `buf`, and put what comes back in its place."""
        self._select.value(0)
        try:
            self._bus.write_readinto(buf, buf)
        finally:
            self._select.value(1)


def uart(tx, rx, baudrate, rxbuf):
    """machine.UART, 8 data bits, no parity; reads and writes do not wait."""
    for number in (1, 2):  # 0 is the console
        if number not in _uarts:
            made = machine.UART(number, baudrate=baudrate, tx=tx, rx=rx, rxbuf=rxbuf, timeout=0)
            _uarts[number] = made
            return made
    raise ValueError("both serial lines of the chip are taken; the third is the console")


def end_uart(made):
    """Give back what uart() made."""
    made.deinit()
    for number in list(_uarts):
        if _uarts[number] is made:
            del _uarts[number]


def onewire(pin):
    """onewire.OneWire of a GPIO number."""
    from onewire import OneWire

    return OneWire(machine.Pin(pin))


def dht(kind, pin):
    """dht.DHT11 or DHT22 (kind "dht11" or "dht22") of a GPIO number."""
    import dht as driver

    return (driver.DHT11 if kind == "dht11" else driver.DHT22)(machine.Pin(pin))
