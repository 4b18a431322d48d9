"""SPI buses of the board, and the chips on them."""


class Bus:
    """An SPI bus: all chips on it are spoken to at one rate and in one mode.

    chips: GPIO number of its chip select → what chip() made of it.
    """

    def __init__(self, name, port, pins, freq, mode):
        self.name = name
        self.chips = {}
        self._pins = tuple(pins)
        self._spi = port.spi(*pins, freq, mode)

    def chip(self, select):
        """The chip that the GPIO `select` selects, while it is low."""
        if select not in self.chips:
            where = (self.name,) + self._pins + (select,)
            self.chips[select] = Chip(self._spi.chip(select), where)
        return self.chips[select]


class Chip:
    """One chip on a bus. exchange(buf) sends `buf` and puts what comes back in its place; str()
    tells where it is wired.
    """

    def __init__(self, chip, where):
        self.exchange = chip.exchange
        self._where = where

    def __str__(self):
        return "SPI bus %s (clock GPIO %d, MOSI %d, MISO %d, chip select %d)" % self._where
