"""How many bytes of flash a reading takes, beside what micro-rdk stores for the same readings.

python tests_host/bench/density.py

Readings are sealed once a second and appended as the engine does it; every byte of the sectors
they use counts.
"""

import sys
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).parents[2] / "lib"))

from cistern.record import Ring, Shape, Stream
from cistern.store import Log
from cistern.store.ram import RamDevice

SECTORS = 256
TICKS = 1 << 30


def f32(x):
    """`x` as the chip has it."""
    import struct

    return struct.unpack("<f", struct.pack("<f", x))[0]


def analogs(rng, i):
    """A 12-bit ADC as u16."""
    return {"value": rng.randrange(4096) * 16}


def gpios(rng, i):
    """A pin."""
    return {"high": rng.random() < 0.5}


def one_field(rng, i):
    """A temperature."""
    return {"readings": {"celsius": f32(21 + rng.gauss(0, 0.3))}}


def vector(rng, i):
    """An accelerometer."""
    return {"linear_acceleration": {k: f32(rng.gauss(0, 9)) for k in "xyz"}}


def gps(rng, i):
    """A position."""
    at = {"latitude": f32(52.5 + i / 1e5), "longitude": f32(13.4 + i / 1e5)}
    return {"coordinate": at, "altitude_m": f32(34 + rng.random())}


def twenty(rng, i):
    """Readings of 20 fields."""
    return {"readings": {f"field_{k}": f32(rng.gauss(0, 100)) for k in range(20)}}


class Case:
    """What is measured: see CASES."""

    def __init__(self, name, kind, method, make, fields, hz, jitter, latency, theirs, bar):
        self.name, self.kind, self.method, self.make, self.fields = (
            name,
            kind,
            method,
            make,
            fields,
        )
        self.hz, self.jitter, self.latency, self.theirs, self.bar = (
            hz,
            jitter,
            latency,
            theirs,
            bar,
        )


U16, BOOL = ((("value",), "u16"),), ((("high",), "bool"),)
# jitter: µs of standard deviation of the deadline served; latency: µs, mean and standard
# deviation, of a read. A timer wakes the engine, and one read in 50 comes up to 5 ms late for a
# flash program or a radio interrupt.
CASES = [
    Case("Analogs, 100 Hz", "board", "Analogs", analogs, U16, 100, 150, (30, 4), 45, 8),
    Case("Gpios, 100 Hz", "board", "Gpios", gpios, BOOL, 100, 150, (12, 3), 37, 8),
    Case(
        "Readings of one field, 100 Hz",
        "sensor",
        "Readings",
        one_field,
        None,
        100,
        150,
        (420, 20),
        73,
        6,
    ),
    Case(
        "vector, 100 Hz",
        "movement_sensor",
        "LinearAcceleration",
        vector,
        None,
        100,
        150,
        (700, 25),
        97,
        6,
    ),
    Case(
        "GPS position, 10 Hz", "movement_sensor", "Position", gps, None, 10, 300, (300, 20), 115, 0
    ),
    Case(
        "Readings of 20 fields, 10 Hz",
        "sensor",
        "Readings",
        twenty,
        None,
        10,
        300,
        (900, 40),
        0,
        0,
    ),
    Case(
        "Readings of one field, 1 Hz",
        "sensor",
        "Readings",
        one_field,
        None,
        1,
        300,
        (420, 20),
        73,
        0,
    ),
    Case(
        "Analogs, 100 Hz, 10 ms ticks", "board", "Analogs", analogs, U16, 100, 2900, (30, 4), 45, 0
    ),
]


def measure(case, readings=20000):
    """Bytes of flash a reading."""
    rng = Random(1)
    log = Log.mount(RamDevice(SECTORS), rng.randbytes)
    params = {"reader_name": "A1"} if case.method == "Analogs" else {"pin_name": 5}
    stream = Stream(
        "rdk:component:" + case.kind,
        "my-" + case.kind,
        case.method,
        params if case.kind == "board" else {},
        ("greenhouse",),
    )
    period = 1000000 // case.hz
    ring = Ring(stream, 8000, period, Shape(case.fields) if case.fields else None)
    buf = bytearray(3584)
    sealed_at = uptime = 10**10
    for i in range(readings):
        late = rng.expovariate(1 / 2500) if rng.random() < 0.02 else 0
        t = uptime + i * period + int(abs(rng.gauss(0, case.jitter)) + late)
        latency = max(1, int(rng.gauss(*case.latency)))
        payload = case.make(rng, i)
        if case.fields:
            ring.put(t % TICKS, latency, list(payload.values()))
        else:
            ring.put_payload(t % TICKS, latency, payload)
        if t - sealed_at >= 1000000:
            flush(log, ring, buf, t)
            sealed_at = t
    flush(log, ring, buf, t)
    used = log.stats(SECTORS).used - (log.sector_size - log.at)
    return used / readings


def flush(log, ring, buf, now):
    """What the engine does once a second."""
    while ring.readings:
        room = memoryview(buf)[: min(len(buf), log.room(ring.definition))]
        sealed = ring.seal(room, now % TICKS, now) or ring.seal(buf, now % TICKS, now)
        log.append(sealed.definition, sealed.payload, sealed.readings)
        ring.release()


def main():
    """Print the table; 1 if a bar is missed."""
    missed = 0
    print(f"{'readings':32} {'micro-rdk':>9} {'Cistern':>8} {'denser':>7} {'bar':>5}")
    for case in CASES:
        ours = measure(case, 5000 if case.hz <= 10 else 20000)
        times = f"{case.theirs / ours:6.1f}x" if case.theirs else ""
        bar = f"{case.bar}x" if case.bar else ""
        print(f"{case.name:32} {case.theirs or '':>7} B {ours:6.2f} B {times:>7} {bar:>5}")
        missed |= bool(case.bar) and case.theirs / ours < case.bar
        if case is CASES[0]:
            in_1_mib = int(2**20 / ours)
    print(f"1 MiB of flash holds {in_1_mib} Analogs readings (bar: 100000)")
    return int(missed or in_1_mib < 100000)


if __name__ == "__main__":
    sys.exit(main())
