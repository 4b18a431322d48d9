"""Erasing a log, for people at the REPL and for `cistern log erase`; borrowed."""

from cistern.borrow import borrow
from cistern.errors import StoreError
from cistern.store.log import Log


def erase(partition, urandom):
    """Erase all sectors of an esp32.Partition, 45 ms each (W25Q64JV datasheet).

    Where the flash is encrypted, a log is begun on it: there erased flash reads as noise, and what
    never had a log cannot be told from one that is damaged, so Log.mount() alone does not do this.
    Raises StoreError where there is no partition (None).
    """
    if partition is None:
        raise StoreError("this board has no partition for a log (docs/FLASH.md)")
    encrypted = partition.info()[5]
    device = partition
    if encrypted:
        device = borrow("cistern.store.encrypted").EncryptedDevice(partition)
    for n in range(partition.ioctl(4, 0)):
        device.ioctl(6, n)
    if encrypted:
        Log.mount(device, urandom)  # this device knows what it erased
