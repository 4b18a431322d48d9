"""The sensor `wifi-rssi`: the strength of the Wi-Fi signal."""

from cistern.resources import Sensor
from cistern.resources.attributes import check as check_table


def check(model, attributes):
    """Problems of the attributes: it takes none."""
    return check_table({}, attributes)


def build(component, port, others):
    """Make the sensor."""
    return WifiRssi(port)


class WifiRssi(Sensor):
    """Readings {"rssi": dBm}."""

    def __init__(self, port):
        self._rssi = port.wifi_rssi

    def readings(self):
        """As the access point's last beacon was received."""
        return {"rssi": self._rssi()}
