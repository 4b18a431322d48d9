"""A board without hardware: what is wired to it is played by programs, register by register, with
values that are plausible and move slowly.

The objects have the faces of MicroPython's `machine`, `dht` and `onewire`. What a pin or a bus has
is made when it is first asked for, unless `hardware` has it already: tests put their own there.
"""


class SimulatedBoard:
    """The part of a port's face (docs/DESIGN.md) that is hardware.

    A child has ticks_us() -> tick. charge: None, or called with the µs that a transfer or a
    conversion takes, for boards whose time is virtual.
    """

    wifi = True
    reset_cause = "power on"
    charge = None
    health = None
    models_folder = None
    _hardware = None

    @property
    def hardware(self):
        """What is wired: ("i2c", SCL, SDA) → list of chips; ("spi", SCK, chip select) → a chip;
        ("1-wire", pin) → list of thermometers; ("adc" or "pin" or "dht" or "uart" or "pwm", pin),
        ("encoder", A, B), ("echo", trigger, echo) → the object.
        """
        if self._hardware is None:
            self._hardware = {}
        return self._hardware

    def _wired(self, key, make):
        if key not in self.hardware:
            self.hardware[key] = make()
        return self.hardware[key]

    def adc(self, pin):
        """machine.ADC of a GPIO number, over its whole range."""
        from cistern.port.simulated.pins import ADC

        return self._wired(("adc", pin), lambda: ADC(pin, self.ticks_us, self.charge))

    def pin(self, pin, mode="in", pull=None):
        """machine.Pin of a GPIO number. mode: "in", "out", or None to leave it as it is; pull:
        None, "up" or "down", without effect on pins that have no such resistor (34 to 39).
        """
        from cistern.port.simulated.pins import Pin

        found = self._wired(("pin", pin), lambda: Pin(pin, self.ticks_us))
        found.init(mode, pull)
        return found

    def pwm(self, pin, freq):
        """machine.PWM of a GPIO number, without a pulse until a duty is set."""
        from cistern.port.simulated.pins import PWM

        found = self._wired(("pwm", pin), PWM)
        found.init(freq)
        return found

    def encoder(self, pin_a, pin_b):
        """machine.Encoder with four counts a cycle."""
        from cistern.port.simulated.pins import Encoder

        return self._wired(("encoder", pin_a, pin_b), lambda: Encoder(self.ticks_us))

    def end_encoder(self, made):
        """Give back what encoder() made."""
        made.deinit()

    def pulse_us(self, trigger, echo, timeout_us):
        """A pulse of 10 µs on the pin `trigger`, then machine.time_pulse_us(echo, 1, timeout_us):
        the length of the answer, -2 if it did not begin and -1 if it did not end in time.
        """
        from cistern.port.simulated.pins import Echo

        key = ("echo", trigger.number, echo.number)
        return self._wired(key, lambda: Echo(self.ticks_us, self.charge)).measure(timeout_us)

    def i2c(self, scl, sda, freq):
        """machine.I2C."""
        from cistern.port.simulated.i2c import I2C

        return I2C(self._wired(("i2c", scl, sda), self._chips), freq, self.charge)

    def _chips(self):
        from cistern.port.simulated.bme280 import Bme280
        from cistern.port.simulated.ina219 import Ina219
        from cistern.port.simulated.mpu6050 import Mpu6050

        return [Mpu6050(self.ticks_us), Bme280(self.ticks_us), Ina219(self.ticks_us)]

    def spi(self, sck, mosi, miso, freq, mode):
        """A bus of three GPIO numbers; chip(select) has exchange(buf). mode: 0 to 3, which is
        polarity and phase of the clock.
        """
        from cistern.port.simulated.spi import Mcp3008, Spi

        def chip(select):
            return self._wired(("spi", sck, select), lambda: Mcp3008(self.ticks_us))

        return Spi(chip, freq, self.charge)

    def onewire(self, pin):
        """onewire.OneWire of a GPIO number."""
        from cistern.port.simulated.onewire import Ds18b20, OneWire

        devices = self._wired(("1-wire", pin), lambda: [Ds18b20(self.ticks_us)])
        return OneWire(devices, self.charge)

    def dht(self, kind, pin):
        """dht.DHT11 or DHT22 (kind "dht11" or "dht22") of a GPIO number."""
        from cistern.port.simulated.dht import Dht

        return self._wired(("dht", pin), lambda: Dht(kind, self.ticks_us, self.charge))

    def uart(self, tx, rx, baudrate, rxbuf):
        """machine.UART, 8 data bits, no parity; a satellite receiver is wired to it."""
        from cistern.port.simulated.nmea import Uart

        return self._wired(("uart", rx), lambda: Uart(self.ticks_us, baudrate, rxbuf))

    def end_uart(self, made):
        """Give back what uart() made."""
        made.deinit()

    def feed(self):
        """Capture is alive, told once a second: what the watchdog of a chip waits for."""

    def chip_celsius(self):
        """The chip's own temperature."""
        return 41.5 + (self.ticks_us() >> 22 & 7)

    def wifi_rssi(self):
        """Signal strength in dBm; OSError without a connection."""
        return -55 - ((self.ticks_us() >> 21) & 7)
