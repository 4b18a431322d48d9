"""The decoder of flash images, which shares no code with the firmware, reads what the firmware
wrote.
"""

import struct
from binascii import crc32
from random import Random

import pytest

from cistern.record import Ring, Shape, Stream
from cistern.record.loose import Timestamp
from cistern.store import Log
from cistern.store.ram import RamDevice
from cistern_tools.flashlog import NotALogError, read_image

BASE = 1_700_000_000_000_000


def image_of(device):
    out = bytearray()
    for b in range(device.ioctl(4, 0)):
        buf = bytearray(device.ioctl(5, 0))
        device.readblocks(b, buf)
        out += buf
    return bytes(out)


def written(payloads, shape=None, log=None, sectors=16):
    """A device with a log of these payloads, one a second in parcels of 10."""
    device = RamDevice(sectors)
    log = Log.mount(device, Random(3).randbytes)
    log.append_anchor(0, BASE, 1000)
    ring = Ring(
        Stream("rdk:component:sensor", "s", "Readings", {"p": [1, "é"]}, ("t",)),
        8000,
        10**6,
        shape,
    )
    buf = bytearray(2000)
    for i, payload in enumerate(payloads):
        ring.put_payload(i * 10**6 % 2**30, 100 + i, payload)
        while i % 10 == 9 and ring.readings:
            sealed = ring.seal(buf, (i + 1) * 10**6 % 2**30, (i + 1) * 10**6)
            log.append(sealed.definition, sealed.payload, sealed.readings)
            ring.release()
    return device, log


def test_every_reading_comes_back_with_its_stream_time_and_state():
    payloads = [
        {"readings": {"a": i, "b": i / 7, "c": "é" * (i % 3), "d": i % 2 == 0}} for i in range(50)
    ]
    device, log = written(payloads)
    log.mark_sent(log.unsent().next())
    image = read_image(image_of(device))
    readings = list(image.readings())
    assert [r["data"] for r in readings] == payloads
    assert [r["requested_uptime_us"] for r in readings] == [i * 10**6 for i in range(50)]
    assert [r["received_uptime_us"] - r["requested_uptime_us"] for r in readings] == [
        100 + i for i in range(50)
    ]
    assert readings[1]["time_requested"] == "2023-11-14T22:13:21+00:00"
    assert readings[0]["component_type"] == "rdk:component:sensor" and readings[0]["params"] == {
        "p": [1, "é"]
    }
    assert {r["parcel"]: r["state"] for r in readings}.popitem()[1] == "unsent"
    assert (
        readings[0]["state"] == "sent" and image.damage == [] and image.log_id == log.log_id.hex()
    )


def test_loose_shapes_and_rare_types_come_back():
    payloads = []
    for i in range(50):
        p = {"n": None if i % 3 else 2.5, "list": [1, 2, 3][: i % 4]}
        if i % 2:
            p["sub"] = {"x": 1, "when": b"\x00\xff"}
        payloads.append({"readings": p})
    device, _ = written(payloads)
    assert [r["data"] for r in read_image(image_of(device)).readings()] == payloads
    device, _ = written([{"t": Timestamp(BASE + i)} for i in range(10)])
    when = [r["data"]["t"].isoformat() for r in read_image(image_of(device)).readings()]
    assert when[3] == "2023-11-14T22:13:20.000003+00:00"


def test_a_fixed_shape_comes_back():
    device, _ = written([{"value": i * 1000} for i in range(60)], Shape(((("value",), "u16"),)))
    assert [r["data"]["value"] for r in read_image(image_of(device)).readings()] == [
        i * 1000 for i in range(60)
    ]


def test_damage_is_told_and_costs_only_what_it_hits():
    device, log = written([{"a": i} for i in range(200)])
    refs, cursor = [], log.unsent()
    while ref := cursor.next():
        refs.append(ref)
    image = bytearray(image_of(device))
    image[refs[3].block * 4096 + refs[3].index + 14] ^= 1
    found = read_image(bytes(image))
    readings = [r["data"]["a"] for r in found.readings()]
    assert readings == [*range(30), *range(40, 200)]
    assert found.damage == [
        {
            "block": refs[3].block,
            "offset": refs[3].index,
            "what": "a record was cut short or is damaged",
        }
    ]


def test_a_sector_without_header_costs_only_that_sector():
    device, log = written([{"s": "x" * 80, "a": i} for i in range(100)])
    cursor = log.unsent()
    in_first = sum(iter(lambda: (r := cursor.next()) and r.block == 0 and r.readings, False))
    image = bytearray(image_of(device))
    image[5] ^= 255
    found = read_image(bytes(image))
    assert [r["data"]["a"] for r in found.readings()] == list(range(in_first, 100))
    assert [d["block"] for d in found.damage] == [0] and "no valid header" in found.damage[0][
        "what"
    ]


def test_what_is_no_log_is_refused():
    with pytest.raises(NotALogError, match="no sector of a Cistern log"):
        read_image(bytes(8192))
    with pytest.raises(NotALogError, match="it is empty: erased"):
        read_image(b"\xff" * 8192)
    device, _ = written([{"a": 1}] * 10)
    image = bytearray(image_of(device))
    image[3] = 2
    image[20:24] = struct.pack("<I", crc32(image[:20]))
    with pytest.raises(NotALogError, match="format 2"):
        read_image(bytes(image))


def test_losses_are_told_by_stream():
    device, log = written([{"a": i} for i in range(10)])
    definition = log.unsent().next().definition
    log.append_drop(definition, "late", 4, 0, 1)
    for _ in range(300):
        log.append(definition, b"\x00" * 300, 2)
    losses = {x["reason"]: x for x in read_image(image_of(device)).losses}
    assert losses["late"]["readings"] == 4 and losses["late"]["stream"] == "s/Readings"
    assert losses["log_full"]["readings"] > 100
