"""RAM of an ESP32 that belongs to Bluetooth, while Bluetooth is off: 38 KB beside the heap.

ESP-IDF keeps it from the heap in every firmware that has Bluetooth, until esp_bt_mem_release()
gives it away, which MicroPython cannot call (components/bt/controller/esp32/bt.c,
btdm_dram_available_region). Buffers and code may lie there, as they would after that call; a
program that switches Bluetooth on beside Cistern overwrites them.
"""

import uctypes

# esp_bt.h: SOC_MEM_BT_EM (without that for synchronous connections), _BSS, _DATA.
REGIONS = ((0x3FFB0000, 0x3FFB6388), (0x3FFB8000, 0x3FFB9A20), (0x3FFAE6E0, 0x3FFAFF10))
_ALIGN = 8


class Spare:
    """Buffers from `regions`, (address, end) each, and code at the ends of them.

    free: bytes that are left.
    """

    def __init__(self, regions):
        self._regions = list(regions)
        self._holes = list(regions)

    @property
    def free(self):
        """Bytes that are left, in one piece or several."""
        return sum([end - at for at, end in self._holes])

    def put(self, data):
        """The address of a copy of `data`, which stays for good; None where there is no room."""
        size = len(data)
        ends = [end for _, end in self._regions]
        fitting = [(e - at, at, e) for at, e in self._holes if e in ends and e - at >= size]
        if not fitting:
            return None
        _, at, end = min(fitting)
        i = ends.index(end)
        self._regions[i] = (self._regions[i][0], end - size)
        self._holes[self._holes.index((at, end))] = (at, end - size)
        uctypes.bytearray_at(end - size, size)[:] = data
        return end - size

    def take(self, size):
        """A bytearray of zeros; of the heap where no hole is large enough."""
        need = size + _ALIGN - 1 & -_ALIGN
        fitting = [(end - at, at, end) for at, end in self._holes if end - at >= need]
        if not fitting:
            return bytearray(size)
        _, at, end = min(fitting)
        self._holes.remove((at, end))
        if end - at > need:
            self._holes.append((at + need, end))
        buf = uctypes.bytearray_at(at, size)
        for i in range(size):
            buf[i] = 0
        return buf

    def give(self, buf):
        """Take back a buffer of take(), which nobody uses any more."""
        at = uctypes.addressof(buf)
        if not any(first <= at < end for first, end in self._regions):
            return  # of the heap
        end = at + (len(buf) + _ALIGN - 1 & -_ALIGN)
        # Those that begin or end where it does become one with it.
        for hole in list(self._holes):
            if hole[1] == at or hole[0] == end:
                self._holes.remove(hole)
                at, end = min(at, hole[0]), max(end, hole[1])
        self._holes.append((at, end))
