"""What runs: machines as a user would configure them, within the 32 KB that rings may have."""

import json

_TYPES = {
    "board": "board",
    "imu": "movement_sensor",
    "gps": "movement_sensor",
    "power": "power_sensor",
    "shaft": "encoder",
}
_MODELS = {
    "board": ("esp32", {
        "analogs": [{"name": f"a{pin}", "pin": pin} for pin in (32, 33, 34, 35)],
        "i2cs": [{"name": "bus", "data_pin": 21, "clock_pin": 22}],
    }),
    "imu": ("mpu6050", {"i2c_bus": "bus"}),
    "power": ("ina219", {"i2c_bus": "bus"}),
    "weather": ("bme280", {"i2c_bus": "bus"}),
    "probe": ("ds18b20", {"pin": 4}),
    "gps": ("gps-nmea", {"rx_pin": 16, "tx_pin": 17}),
    "tmp36": ("tmp36", {"analog_reader": "a33", "num_readings": 15}),
    "chip": ("esp32-internal", {}),
    "shaft": ("incremental", {"pins": {"a": 25, "b": 26}}),
}  # fmt: skip


class Collector:
    """One capture method of a component."""

    def __init__(self, component, method, hz, kb=1, **params):
        self.component = component
        self.method = method
        self.hz = hz
        self.kb = kb
        self.params = params


C = Collector
_ONE_HERTZ = [
    C("weather", "Readings", 1),
    C("probe", "Readings", 1),
    C("gps", "Position", 1),
    C("tmp36", "Readings", 1),
    C("chip", "Readings", 1),
    C("board", "Gpios", 1, pin_name=27),
    C("imu", "AngularVelocity", 1),
    C("power", "Power", 1),
    C("board", "Analogs", 1, reader_name="a34"),
    C("shaft", "TicksCount", 1),
]

MIXED = [
    C("board", "Analogs", 100, 3, reader_name="a32"),
    C("imu", "LinearAcceleration", 100, 3),
    C("board", "Analogs", 100, 3, reader_name="a35"),
    *_ONE_HERTZ,
]
FAST = [C("board", "Analogs", 1000, 7, reader_name=f"a{pin}") for pin in (32, 33, 34, 35)]
SLOW = [
    C("board", "Analogs", 10, reader_name="a32"),
    C("imu", "LinearAcceleration", 10),
    C("power", "Power", 10),
    C("power", "Voltage", 10),
    C("imu", "AngularVelocity", 5),
    C("shaft", "TicksCount", 10),
    C("board", "Analogs", 7, reader_name="a33"),
    C("tmp36", "Readings", 3),
    C("weather", "Readings", 2),
    C("probe", "Readings", 0.5),
    C("gps", "Readings", 1),
]


def machine(collectors, sync_s=6):
    """The configuration's text; sync_s: 0 for no sync."""
    components = []
    # The board first, as people write it.
    for name in sorted({c.component for c in collectors} | {"board"}, key=lambda n: n != "board"):
        model, attributes = _MODELS[name]
        methods = [
            {
                "method": c.method,
                "capture_frequency_hz": c.hz,
                "cache_size_kb": c.kb,
                "additional_params": c.params,
            }
            for c in collectors
            if c.component == name
        ]
        config = {"type": "data_manager", "attributes": {"capture_methods": methods}}
        components.append(
            {
                "name": name,
                "type": _TYPES.get(name, "sensor"),
                "model": model,
                "attributes": attributes,
                "service_configs": [config],
            }
        )
    service = {
        "name": "dm",
        "type": "data_manager",
        "attributes": {"sync_interval_mins": sync_s / 60 or 1, "sync_disabled": not sync_s},
    }
    return json.dumps({"components": components, "services": [service]})


def rates(collectors):
    """{name of the stream as status() has it: Hz}."""
    found = {}
    for c in collectors:
        params = ",".join(f"{k}={v}" for k, v in sorted(c.params.items()))
        found[f"{c.component}/{c.method}" + (f"({params})" if params else "")] = c.hz
    return found
