"""Readings through a ring, a parcel and the expander, on either interpreter: for the tests.

A reading comes as a tree of JSON that both read alike; see built(). As a program: a line with
[[reading, …], …] each, whose readings go into one ring; a line with the result of sent() each, or
with null where this interpreter cannot build the readings.
"""

import json
import struct
import sys
from binascii import hexlify, unhexlify

from cistern.cloud.datasync import upload_metadata
from cistern.cloud.expand import Expander
from cistern.record import Ring, Stream
from cistern.record.loose import Timestamp

STREAM = Stream("rdk:component:sensor", "s", "Readings", {}, ("t",))
START_US = 1795365111000000


def built(tree):
    """The value of ["f", hex of a double], ["s", [code points]], ["i", decimal], ["b", hex],
    ["t", µs], ["l", [item, …]], ["tuple", [item, …]], ["d", [[key, value], …]], ["set"], or of
    None, True, False.
    """
    if not isinstance(tree, list):
        return tree
    kind = tree[0]
    x = tree[1] if len(tree) > 1 else None
    if kind == "f":
        return struct.unpack("<d", unhexlify(x))[0]
    if kind == "s":
        return "".join([chr(c) for c in x])
    if kind == "i":
        return int(x)
    if kind == "b":
        return unhexlify(x)
    if kind == "t":
        return Timestamp(int(x))
    if kind == "l":
        return [built(t) for t in x]
    if kind == "tuple":
        return tuple([built(t) for t in x])
    if kind == "d":
        out = {}
        for key, value in x:
            out[built(key)] = built(value)
        return out
    return {1}


def sent(readings):
    """[which of them the ring took, hex of the request that has them]; payloads: as built()."""
    ring = Ring(STREAM, 60000, 1000)
    took = []
    for i in range(len(readings)):
        try:
            ring.put_payload(i * 1000, 1, readings[i])
            took.append(i)
        except (TypeError, ValueError):
            pass
    out = b""
    buf = bytearray(1280)
    while ring.readings:
        sealed = ring.seal(buf, 100000, 100000)
        expander = Expander(bytes(sealed.definition), bytearray(1024))
        for piece in expander.pieces(bytes(sealed.payload), START_US):
            out += bytes(piece)
        ring.release()
    return took, bytes(upload_metadata("p", STREAM, "", STREAM.tags)) + out


def main():
    """See above."""
    for line in sys.stdin:
        try:
            readings = [built(t) for t in json.loads(line)]
        except RuntimeError:  # MicroPython's stack ends before such a tree is built
            print("null")
            continue
        took, data = sent(readings)
        print(json.dumps([took, str(hexlify(data), "ascii")]))


if __name__ == "__main__":
    main()
