"""What the image of a log holds: parcels of readings, times, what was lost, what is damaged."""

import struct
from dataclasses import dataclass, field
from datetime import timedelta

from cistern_tools.flashlog.readings import EPOCH, Source, read_definition

DOUBTED_US = 2000000  # uncertainty of an anchor by a clock that was found wrong later


@dataclass
class Parcel:
    """A run of readings. name: "sector.index".

    state: unsent, sent, set aside (refused by the cloud), given up (the log was full; the sector
    is not erased yet) or thinned (the same, of a log that was nearly full).
    """

    name: str
    block: int
    boot: int
    state: str
    readings: int
    definition: bytes
    payload: bytes


@dataclass
class FlashLog:
    """What an image holds. parcels: oldest first. anchors: {boot: (uptime_us, utc_us,
    uncertainty_us)}.

    losses: list of dicts (stream, reason, readings). damage: list of dicts (block, offset, what).
    """

    log_id: str
    sectors: int
    parcels: list = field(default_factory=list)
    anchors: dict = field(default_factory=dict)
    losses: list = field(default_factory=list)
    damage: list = field(default_factory=list)

    def readings(self):
        """All readings, oldest parcel first; what does not decode is added to `damage`."""
        for parcel in self.parcels:
            try:
                yield from self._decoded(parcel)
            except (ValueError, IndexError, KeyError, TypeError, struct.error) as e:
                what = f"parcel {parcel.name} has a good checksum but cannot be decoded: {e}"
                self.damage.append({"block": parcel.block, "offset": None, "what": what})

    def _decoded(self, parcel):
        stream = read_definition(parcel.definition)
        times = None
        source = Source(parcel.payload)
        out = []
        while source.pos < len(parcel.payload):
            if times is None:
                requested, latency = source.uint(), 0
            else:
                requested = times + stream["period_us"] + source.int()
            times = requested
            latency += source.int()
            out.append(
                {
                    **{
                        k: stream[k]
                        for k in ("component_type", "component_name", "method", "params", "tags")
                    },
                    "parcel": parcel.name,
                    "state": parcel.state,
                    "boot": parcel.boot,
                    "requested_uptime_us": requested,
                    "received_uptime_us": requested + latency,
                    "time_requested": self._utc(parcel.boot, requested),
                    "time_received": self._utc(parcel.boot, requested + latency),
                    "data": source.value(stream["shape"]),
                }
            )
        if len(out) != parcel.readings:
            raise ValueError(f"{len(out)} readings in it, {parcel.readings} announced")
        return out

    def _utc(self, boot, uptime_us):
        anchor = self.anchors.get(boot)
        if anchor is None or anchor[2] == DOUBTED_US:
            return None
        return (EPOCH + timedelta(microseconds=anchor[1] + uptime_us - anchor[0])).isoformat()
