"""network: one access point, whose name and password the harness knows; behind it is this PC."""

import clock_behaviour as _clock
import outside_behaviour as _outside

JOIN_MS = 300
_IDLE, _CONNECTING, _GOT_IP, _NO_AP, _WRONG = 1000, 1001, 1010, 201, 202
_NO_BEACON = 200
_network = {"ssid": "", "psk": ""}
_state = {"active": False, "since": None, "status": _IDLE, "address": None, "config": {}}


def _begin(ssid, psk):
    _network["ssid"], _network["psk"] = ssid, psk


class WLAN:
    """The station; the state is the chip's, however many objects there are."""

    def __init__(self, interface_id=0):
        if interface_id not in (0, 1):
            raise ValueError("invalid WLAN interface identifier")

    def active(self, is_active=None):
        """Whether the radio is on."""
        if is_active is not None:
            _state["active"] = bool(is_active)
        return _state["active"]

    def _update(self):
        gone = _outside.mode() == "no_network"
        if gone and _state["status"] == _GOT_IP:
            _state["status"] = _NO_BEACON
        since = _state["since"]
        if since is not None and _clock.now_ms() - since >= JOIN_MS:
            _state["since"] = None
            given = _state["given"]
            _state["status"] = (
                _NO_AP
                if gone or given[0] != _network["ssid"]
                else _GOT_IP
                if given[1] == _network["psk"]
                else _WRONG
            )

    def connect(self, ssid=None, password=None, bssid=None):
        """Begins to join."""
        if not _state["active"]:
            raise OSError("Wifi Not Started")
        _state["given"] = (ssid, password or "")
        _state["since"] = _clock.now_ms()
        _state["status"] = _CONNECTING

    def disconnect(self):
        """Leaves."""
        if not _state["active"]:
            raise OSError("Wifi Not Started")
        _state["since"] = None
        _state["status"] = _IDLE

    def isconnected(self):
        """Whether there is an address."""
        self._update()
        return _state["status"] == _GOT_IP

    def status(self, param=None):
        """STAT_*, or the signal's strength."""
        self._update()
        if param == "rssi":
            return -51
        if param is not None:
            raise ValueError("unknown status param")
        return _state["status"]

    def ifconfig(self, ip_mask_gateway_dns=None):
        """Addresses; the name server is nobody."""
        if ip_mask_gateway_dns is not None:
            if len(ip_mask_gateway_dns) != 4:
                raise ValueError("requested length 4")
            _state["address"] = ip_mask_gateway_dns
            return None
        return _state["address"] or ("127.0.0.1", "255.0.0.0", "127.0.0.1", "127.0.0.1")

    def config(self, param=None, **values):
        """Known parameters only."""
        for name in values:
            if name not in ("pm", "reconnects", "hostname", "txpower", "mac", "channel"):
                raise ValueError("unknown config param")
        if param is None:
            _state["config"].update(values)
            return None
        return _state["config"].get(param)
