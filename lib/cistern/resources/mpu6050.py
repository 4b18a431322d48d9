"""The movement sensor `mpu6050` (in Viam `gyro-mpu6050`): acceleration and rotation on three axes.

MPU-6000/MPU-6050 Register Map and Descriptions (RM-MPU-6000A-00, revision 4.2), and MPU-6500
Register Map and Descriptions (RM-MPU-6500A-00, revision 2.1), whose chip and its kin are on many
modules that are sold as MPU-6050: what is used here has the same registers. The chip samples by a
clock of its own and can keep samples in a FIFO: at high rates they are taken from there in
blocks (mpu_fifo.py), with the times at which the chip took them.
"""

from cistern.resources import ResourceError, Source, fields
from cistern.resources.attributes import check as check_table
from cistern.resources.i2c import TABLE, Device

const = int  # MicroPython's compiler knows const() by its name

_SMPLRT_DIV = const(0x19)
_CONFIG = const(0x1A)
_GYRO_CONFIG = const(0x1B)
_ACCEL_CONFIG = const(0x1C)
_ACCEL_CONFIG_2 = const(0x1D)  # the accelerometer's own low-pass filter, of the MPU-6500
_DATA = const(0x3B)  # acceleration, temperature, rotation: 14 bytes
_GYRO_DATA = const(0x43)
_PWR_MGMT_1 = const(0x6B)
_WHO_AM_I = const(0x75)
_MPU_6050 = const(0x68)
# MPU-6500, MPU-9250, MPU-9255, MPU-6515, MPU-6880, ICM-20689, and copies that say 0x72 or 0x75.
_KIN = b"\x70\x71\x73\x74\x78\x98\x72\x75"
_SLEEP = const(0x40)
_AWAKE = const(1)  # by the clock of the gyroscope, which is the more precise one
# Gyroscope start-up time 30 ms typical (product specification, 6.1): before, it is no rotation.
_WAKE_US = 100000

GRAVITY = 9.80665
_RANGES_G = (2, 4, 8, 16)
_RANGES_DPS = (250, 500, 1000, 2000)
_LOW_PASSES_HZ = (184, 94, 44, 21, 10, 5)  # DLPF_CFG 1 to 6; with any of them, samples at 1 kHz

_TABLE = dict(
    TABLE,
    use_alt_i2c_address=(bool, False, None, None),
    accelerometer_range_g=(int, False, 2, 16),
    gyroscope_range_dps=(int, False, 250, 2000),
    low_pass_hz=(int, False, 5, 184),
)
_CHOICES = {
    "accelerometer_range_g": _RANGES_G,
    "gyroscope_range_dps": _RANGES_DPS,
    "low_pass_hz": _LOW_PASSES_HZ,
}
_METHODS = ("Readings", "LinearAcceleration", "AngularVelocity")


def check(kind, model, attributes):
    """Problems of the attributes."""
    found = check_table(_TABLE, attributes)
    if not found:
        for name, choices in _CHOICES.items():
            if name in attributes and attributes[name] not in choices:
                texts = [str(choice) for choice in choices]
                found.append((name, "must be one of " + ", ".join(texts)))
    return found


def build(component, port, others):
    """Make the sensor."""
    return Mpu6050(component, port, others)


class Mpu6050(Device):
    """LinearAcceleration in m/s² (gravity included), AngularVelocity in degrees a second."""

    def __init__(self, component, port, others):
        given = component.attributes
        address = 0x69 if given.get("use_alt_i2c_address") else 0x68
        Device.__init__(self, component, port, others, address)
        self.fifo = None
        g = int(given.get("accelerometer_range_g", 2))
        dps = int(given.get("gyroscope_range_dps", 250))
        self._accel_range = _RANGES_G.index(g) << 3
        self._gyro_range = _RANGES_DPS.index(dps) << 3
        self._low_pass = _LOW_PASSES_HZ.index(int(given.get("low_pass_hz", 184))) + 1
        self.scales = (GRAVITY * g / 32768, dps / 32768)
        self._all = bytearray(14)
        self._three = memoryview(self._all)[:6]
        self._woken = 0
        self._wakes = False  # its gyroscope may still be starting
        self._is_kin = True
        self.fifo_bytes = 512
        self.wake()

    def setup(self):
        """See that it is an MPU-6050 or of its kin, wake it and configure it."""
        who = self.get(_WHO_AM_I)
        self._is_kin = who in _KIN
        if who != _MPU_6050 and not self._is_kin:
            raise self.strange(
                who, 0xFF, "is no MPU-6050 (it says 0x%02x, not 0x68): check the chip" % who
            )
        self.fifo_bytes = 512 if self._is_kin else 1024
        if not self._is_kept(self.get(_PWR_MGMT_1)):
            self._woken = self.port.ticks_us()
            self._wakes = True
        self.put(_PWR_MGMT_1, _AWAKE)
        self.put(_CONFIG, self._low_pass)
        self.put(_GYRO_CONFIG, self._gyro_range)
        self.put(_ACCEL_CONFIG, self._accel_range)
        if self._is_kin:
            self.put(_ACCEL_CONFIG_2, self._low_pass)
        self.put(_SMPLRT_DIV, 0)
        if self.fifo:
            self.fifo.setup()

    def _is_kept(self, power):
        """Whether the chip is awake and has its configuration; may raise OSError."""
        return not power & _SLEEP and self.get(_CONFIG) & 7 == self._low_pass

    def see_awake(self):
        """See that the chip is awake and configured. After its power was away it is not: then an
        MPU-6050 sleeps, and its kin measures by other ranges. Raises ResourceError.
        """
        try:
            power = self.get(_PWR_MGMT_1)
            if self._is_kept(power):
                return
        except OSError as e:
            raise self.lost(e) from None
        self.is_set_up = False
        self.wake()
        raise self.strange(
            power or -1, 0xFF, "fell asleep: its power was away; it is set up again"
        )

    def waking(self):
        """Whether the gyroscope is still starting."""
        # A flag, since ticks say after nine minutes that they are before it.
        if self._wakes:
            passed = self.port.ticks_diff(self.port.ticks_us(), self._woken)
            self._wakes = 0 <= passed < _WAKE_US
        return self._wakes

    def source(self, method, params):
        """A source of the method."""
        if method not in _METHODS:
            raise ResourceError("mpu6050 has no %s; it has: %s" % (method, ", ".join(_METHODS)))
        return Reader(self, method)

    def accelerate(self, values):
        """The acceleration now."""
        self._fetch(_DATA, self._three)
        self._scale(values, 0, 0, self.scales[0])

    def rotate(self, values):
        """The rotation now."""
        self._fetch(_GYRO_DATA, self._three)
        self._scale(values, 0, 0, self.scales[1])

    def both(self, values):
        """Acceleration and rotation of one sample."""
        self._fetch(_DATA, self._all)
        self._scale(values, 0, 0, self.scales[0])
        self._scale(values, 3, 8, self.scales[1])

    def _fetch(self, register, buf):
        self.read(register, buf)
        if self._is_kin or self._is_blank(buf):
            self.see_awake()
        if self.waking():
            raise self.wrong("is waking up")

    def _is_blank(self, buf):
        """All zeros or ones, as of a chip that sleeps, or a wire that is held; or of a value."""
        first = buf[0]
        same = not 0 < first < 255
        if same:
            for byte in buf:
                same = same and byte == first
        return same

    def _scale(self, values, to, at, scale):
        buf = self._all
        for i in range(3):
            raw = buf[at] << 8 | buf[at + 1]
            at += 2
            values[to + i] = (raw - 0x10000 if raw > 0x7FFF else raw) * scale


class Reader(Source):
    """A method of the chip, by single readings or by blocks.

    start_block(period_us): sample by the chip's clock; returns the period that it can do, in µs.
    read_block(times, values): what was sampled since, oldest first; returns how many readings, at
        most `block`. times: array("i") for their ticks; values: array("f") for their values, those
        of a reading after each other. Both have room for `block` readings. Allocates nothing.
    hold_us: for how long the chip keeps samples; who reads later than that loses them.
    lost: readings that the chip did not keep; the caller sets it to 0 when it has counted them. A
        read_block() that raised lost none by itself: those that were not kept meanwhile are in
        `lost` after the next that does not.
    stop_block(): go back to single readings.
    """

    block = 32

    def __init__(self, chip, method):
        self._chip = chip
        accel = ["linear_acceleration.x", "linear_acceleration.y", "linear_acceleration.z"]
        gyro = ["angular_velocity.x", "angular_velocity.y", "angular_velocity.z"]
        self.lost = self.hold_us = 0
        self.accel = method != "AngularVelocity"
        self.gyro = method != "LinearAcceleration"
        if method == "Readings":
            self.fields = fields("f32", *["readings." + name for name in accel + gyro])
            self.read_into = chip.both
        elif self.gyro:
            self.fields = fields("f32", *gyro)
            self.read_into = chip.rotate
        else:
            self.fields = fields("f32", *accel)
            self.read_into = chip.accelerate

    def start_block(self, period_us):
        """Sample by the chip's clock."""
        from cistern.resources.mpu_fifo import Fifo

        if not self._chip.fifo:
            self._chip.fifo = Fifo(self._chip)
        return self._chip.fifo.start(self, period_us)

    def read_block(self, times, values):
        """What was sampled since the last call."""
        return self._chip.fifo.read(self, times, values)

    def stop_block(self):
        """Back to single readings."""
        self._chip.fifo.stop(self)
