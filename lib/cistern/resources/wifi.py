"""The sensor `wifi-rssi`: the strength of the Wi-Fi signal."""

from cistern.resources import ResourceError, Source, fields
from cistern.resources.attributes import check as check_table

# ESP-IDF gives 8 bits, of which 0 and -128 stand for none.
_LEAST_DBM = -127


def check(kind, model, attributes):
    """Problems of the attributes: it takes none."""
    return check_table({}, attributes)


def build(component, port, others):
    """Make the sensor."""
    return WifiRssi(component.name, port)


class WifiRssi:
    """Readings {"rssi": dBm}."""

    def __init__(self, name, port):
        self._name = name
        self._rssi = port.wifi_rssi

    def source(self, method, params):
        """Readings."""
        return Source(self._read, fields("int", "readings.rssi"))

    def _read(self, values):
        try:
            rssi = self._rssi()
        except OSError as e:
            raise ResourceError(
                "%s: no signal strength (%s): the board is not connected to an access point"
                % (self._name, e)
            ) from None
        if not _LEAST_DBM <= rssi < 0:
            raise ResourceError("%s: %s dBm is no signal strength" % (self._name, rssi))
        values[0] = rssi
