"""MPU-6050 by its register map (RM-MPU-6000A-00, revision 4.2): samples by a clock of its own, and
a FIFO of 1024 bytes; and what the MPU-6500 and its kin have otherwise (RM-MPU-6500A-00).
"""

from cistern.port.simulated.i2c import Chip
from cistern.port.simulated.pins import wave

_SMPLRT_DIV = 0x19
_CONFIG = 0x1A
_GYRO_CONFIG = 0x1B
_ACCEL_CONFIG = 0x1C
_FIFO_EN = 0x23
_INT_STATUS = 0x3A
_DATA = 0x3B
_GYRO_DATA = 0x43
_USER_CTRL = 0x6A
_PWR_MGMT_1 = 0x6B
_FIFO_COUNT = 0x72
_FIFO_R_W = 0x74
_WHO_AM_I = 0x75
_SLEEP = 0x40
_MPU_6050 = 0x68
_START_US = 30000  # of the gyroscope; its rotation is wrong until then
_START_DPS = 20
_OVERFLOW = 0x10


def drive(us):
    """Motion of a vehicle at a time: acceleration in g on x, y, z, rotation in degrees/s."""
    x, y = wave(us, 10) - 512, wave(us, 12) - 512
    return x / 4096, y / 2048, 1.0 + x / 16384, 0.0, y / 512, x / 64


class Mpu6050(Chip):
    """motion(µs) → (x, y, z in g, x, y, z in degrees/s) at a time by the chip's now().

    ppm: by how many parts in a million a sample takes longer than it should. who: what WHO_AM_I
    says; any but 0x68 is an MPU-6500, which does not sleep after power-on and whose FIFO has 512
    bytes.
    """

    address = 0x68

    def __init__(self, ticks_us, motion=drive, ppm=0, who=_MPU_6050):
        self.motion = motion
        self.ppm = ppm
        self.who = who
        self.fifo_bytes = 1024 if who == _MPU_6050 else 512
        Chip.__init__(self, ticks_us)

    def reset(self):
        """Asleep, or not, all else 0 (section 3)."""
        self.registers = bytearray(256)
        self.registers[_PWR_MGMT_1] = _SLEEP if self.who == _MPU_6050 else 1
        self.registers[_WHO_AM_I] = self.who
        self._fifo = bytearray()
        self._woken = self.now()
        # Time of the sample number 0.
        self._started = None if self.who == _MPU_6050 else self._woken
        self._sampled = 0

    def store(self, register, value):
        """Some registers do things."""
        self._run()
        if register == _PWR_MGMT_1 and value & 0x80:
            self.reset()
            return
        was_asleep = self.registers[_PWR_MGMT_1] & _SLEEP
        if register == _USER_CTRL:
            if value & 4:
                self._fifo = bytearray()
            value &= 0xFB
        self.registers[register] = value
        if register == _PWR_MGMT_1 and was_asleep:
            self._woken = self.now()
        if register == _SMPLRT_DIV or (register == _PWR_MGMT_1 and was_asleep):
            self._started, self._sampled = self.now(), 0

    def load(self, register):
        """Some registers are made when they are read."""
        if register in (_INT_STATUS, _DATA, _GYRO_DATA, _FIFO_COUNT):
            self._run()
        if register == _INT_STATUS:
            value = self.registers[register]
            self.registers[register] = 0
            return value
        if register == _FIFO_COUNT:
            self.registers[register + 1] = len(self._fifo) & 255
            return len(self._fifo) >> 8
        return self.registers[register]

    def fill(self, buf):
        """The FIFO is read through one register."""
        if self.register != _FIFO_R_W:
            Chip.fill(self, buf)
            return
        n = min(len(buf), len(self._fifo))
        buf[:n] = self._fifo[:n]
        self._fifo = self._fifo[n:]
        for i in range(n, len(buf)):
            buf[i] = 0

    def period_us(self):
        """Of its samples, as a float: the gyroscope gives 8 kHz without a low-pass filter."""
        base = 1000 if 1 <= self.registers[_CONFIG] & 7 <= 6 else 125
        return base * (self.registers[_SMPLRT_DIV] + 1) * (1 + self.ppm / 1000000)

    def sample_time(self, number):
        """When a sample was taken, by now()."""
        return self._started + int(number * self.period_us())

    def _run(self):
        """Take the samples that fell due since the last look."""
        if self.registers[_PWR_MGMT_1] & _SLEEP or self._started is None:
            return
        due = int((self.now() - self._started) / self.period_us())
        if due <= self._sampled:
            return
        fifo = self.registers[_USER_CTRL] & 0x40 and self.registers[_FIFO_EN]
        # Only the newest have room; a look may come an hour late.
        first = max(self._sampled + 1, due - self.fifo_bytes // 2) if fifo else due
        for number in range(first, due + 1):
            self._sample(self.sample_time(number))
            if fifo:
                self._keep(fifo)
        self._sampled = due

    def _sample(self, us):
        motion = self.motion(us)
        if us - self._woken < _START_US:
            motion = motion[:3] + tuple(dps + _START_DPS for dps in motion[3:])
        accel = 16384 >> (self.registers[_ACCEL_CONFIG] >> 3 & 3)
        gyro = 131.072 / (1 << (self.registers[_GYRO_CONFIG] >> 3 & 3))
        scales = (accel, accel, accel, None, gyro, gyro, gyro)
        values = motion[:3] + (0,) + motion[3:]
        for i in range(7):
            # Celsius = raw / 340 + 36.53 (section 4.18): 25 °C.
            raw = -3920 if scales[i] is None else round(values[i] * scales[i])
            raw = min(max(raw, -32768), 32767) & 0xFFFF
            self.registers[_DATA + 2 * i] = raw >> 8
            self.registers[_DATA + 2 * i + 1] = raw & 255

    def _keep(self, enabled):
        """Append to the FIFO, in the order of the registers (section 4.29)."""
        data = self.registers
        new = bytearray()
        if enabled & 0x08:
            new += data[_DATA : _DATA + 6]
        if enabled & 0x80:
            new += data[_DATA + 6 : _DATA + 8]
        for i in range(3):
            if enabled & 0x40 >> i:
                new += data[_DATA + 8 + 2 * i : _DATA + 10 + 2 * i]
        self._fifo += new
        if len(self._fifo) > self.fifo_bytes:
            self._fifo = self._fifo[len(self._fifo) - self.fifo_bytes :]
            data[_INT_STATUS] |= _OVERFLOW
