"""The same log over RAM, files, and small sectors."""

import os

from cistern.errors import StoreError
from cistern.store import Log
from cistern.store.files import FileDevice
from cistern.store.ram import RamDevice

D = b"a definition"


def random(n):
    return bytes(range(1, n + 1))


def used(device, repeat=20):
    """Appends, marks and mounts until sectors have been reclaimed."""
    log = Log.mount(device, random)
    number, left, buf = 0, [], bytearray(4096)
    for _ in range(6):
        for _ in range(25):
            payload = b"%05d" % number * repeat
            log.append(D, payload, 1)
            left.append(payload)
            number += 1
            while log.maintain(10**6, lambda: 0):
                pass
        cursor = log.unsent()
        for _ in range(20):
            ref = cursor.next()
            assert bytes(log.read(ref, buf)) == left.pop(0)
            assert log.mark_sent(ref)
        log = Log.mount(device, random)
    out, cursor = [], log.unsent()
    while True:
        ref = cursor.next()
        if not ref:
            break
        out.append(bytes(log.read(ref, buf)))
    assert out == left[-len(out) :]
    lost = sum(log.stats().lost.values())
    assert len(out) + lost == len(left)
    return log


def remove(folder):
    try:
        for name in os.listdir(folder):
            os.remove(folder + "/" + name)
        os.rmdir(folder)
    except OSError:
        pass


def test_ram():
    used(RamDevice(8))


def test_small_sectors():
    used(RamDevice(64, 512))
    used(RamDevice(16, 1024))


def test_files():
    folder = "/tmp/cistern-test-files-%d" % id(object())
    remove(folder)
    try:
        used(FileDevice(folder + "/", 8))
        assert sorted(os.listdir(folder))[0] == "0000.log"
        # A file cut short is a sector whose tail is erased.
        Log.mount(FileDevice(folder, 8), random)
    finally:
        remove(folder)


def test_a_log_in_a_folder_that_cannot_be_made_says_so():
    failed = False
    try:
        FileDevice("/proc/nothing/there", 8)
    except OSError:
        failed = True
    assert failed


class Encrypted(RamDevice):
    """As esp32.Partition with encryption: noise where erased, whole units only."""

    def __init__(self, sectors):
        RamDevice.__init__(self, sectors)
        for i in range(len(self._data)):
            self._data[i] = i * 7 & 255

    def info(self):
        return (1, 6, 0x200000, 0x100000, "log", True)

    def writeblocks(self, n, buf, off=0):
        assert off % 32 == 0 and len(buf) % 32 == 0
        RamDevice.writeblocks(self, n, buf, off)

    def ioctl(self, op, arg):
        if op == 6:
            for i in range(4096):
                self._data[arg * 4096 + i] = i * 7 & 255
            return 0
        return RamDevice.ioctl(self, op, arg)


def test_an_encrypted_partition():
    from cistern.store.erase import erase

    device = Encrypted(16)
    error = ""
    try:
        Log.mount(device, random)
    except StoreError as e:
        error = str(e)
    assert "encrypted" in error and "cistern log erase" in error
    erase(device, random)
    # Smaller parcels would be more in a sector than it has room for marks.
    used(device, 50)


def test_too_few_sectors_are_refused_with_a_reason():
    error = ""
    try:
        Log.mount(RamDevice(3), random)
    except StoreError as e:
        error = str(e)
    assert "4 sectors at least" in error


def test_a_log_of_another_format_is_refused_and_kept():
    device = RamDevice(8)
    Log.mount(device, random).append(D, b"x" * 40, 1)
    device.writeblocks(0, b"CSt\x00", 0)
    before = bytes(device._data)
    error = ""
    try:
        Log.mount(device, random)
    except StoreError as e:
        error = str(e)
    assert "format 0" in error and device._data == before


def test_a_full_medium_raises_and_the_log_stays_usable():
    class Full(RamDevice):
        full = False

        def writeblocks(self, n, buf, off=0):
            if self.full:
                raise OSError(28)
            RamDevice.writeblocks(self, n, buf, off)

    device = Full(8)
    log = Log.mount(device, random)
    log.append(D, b"x" * 40, 1)
    device.full = True
    failed = False
    try:
        log.append(D, b"y" * 40, 1)
    except StoreError as e:
        failed = "cannot be written" in str(e)
    device.full = False
    log = Log.mount(device, random)
    log.append(D, b"z" * 40, 1)
    assert failed and log.stats().unsent_readings == {D: 2}
