"""The same readings and the same faults through the sync loops of others, in virtual time.

Models of what Viam's two programs do, written from a description of their behaviour. Where
something is not known they are given the better of two: micro-rdk all the memory that it may use,
viam-server a disk that loses nothing at a power cut. Waits after failures are as much shorter as
the board's were.
"""

import heapq
from collections import Counter, deque
from dataclasses import dataclass, field

from viam.gen.app.datasync.v1.data_sync_pb2 import SensorData

from chaos.weather import STALE_S

CALL_S = 0.02  # an upload that nothing befalls
INVALID_ARGUMENT, UNAVAILABLE = 3, 14
# micro-rdk: 64,000 B for all collectors, here shared by their rates; at least 1,000 B each.
MICRO_BYTES = 64000
MICRO_LEAST = 1000
MICRO_UPLOAD = 32000
MICRO_RECONNECT_S = 1.0
MICRO_INTERVAL_S = 1.0  # between two syncs, the least that it takes
# viam-server.
RETRY_S, RETRY_MOST_S, OFFLINE_S = 0.2, 3600.0, 60.0
WORKERS = 2  # half the cores of a Raspberry Pi 4


@dataclass
class Result:
    """Readings: stored counts how often each came."""

    captured: int = 0
    stored: Counter = field(default_factory=Counter)
    left: int = 0  # still on the device, not to be sent any more
    faults: int = 0

    @property
    def doubled(self):
        """Copies beyond the first."""
        return self.stored.total() - len(self.stored)

    @property
    def lost(self):
        """In the cloud never, on the device neither."""
        return self.captured - len(self.stored) - self.left


@dataclass
class Workload:
    """What happened, in seconds. sensors: {name: Hz}; boots: [(start, end)]; met: of weather."""

    sensors: dict
    boots: list
    met: list
    interval: float
    scale: float

    def readings(self, name, boot):
        """[(second, (name, boot, n))] of one start of the device."""
        start, end = self.boots[boot]
        count = int((end - start) * self.sensors[name])
        return [(start + (n + 1) / self.sensors[name], (name, boot, n)) for n in range(count)]

    @property
    def end(self):
        """When the last reading was taken."""
        return self.boots[-1][1]


class Sky:
    """The faults of the experiment, for one who lives through them again."""

    def __init__(self, met):
        scoped = {"call": [], "connect": [], "dns": []}
        self._down = []
        self.hits = 0
        for one in met:
            if one.fault.scope in scoped:
                scoped[one.fault.scope].append(one)
            elif one.fault.act in ("kill_receiver", "outage"):
                self._down.append((one.at, one.at + one.took))
        # Either kind of trouble keeps a connection from being made.
        self._due = {
            "call": scoped["call"],
            "connect": sorted(scoped["connect"] + scoped["dns"], key=lambda one: one.at),
        }
        for due in self._due.values():
            due.reverse()

    def down(self, at):
        """Whether the cloud cannot be reached."""
        return any(a <= at < b for a, b in self._down)

    def take(self, scope, at):
        """The fault that is met at this time, or None."""
        due = self._due[scope]
        while due and due[-1].at <= at:
            one = due.pop()
            if at - one.at < STALE_S:
                self.hits += 1
                return one
        return None


def message_bytes():
    """What a reading of the counters takes as a delimited SensorData."""
    data = SensorData()
    data.metadata.time_requested.FromNanoseconds(1_700_000_000_123_456_789)
    data.metadata.time_received.FromNanoseconds(1_700_000_000_123_556_789)
    data.struct.update({"readings": {"n": 1, "boot": 1}})
    return data.ByteSize() + 1


def micro_rdk(work):
    """Its sync task: the ring is emptied before the upload, and a chunk that fails is gone."""
    sky, result = Sky(work.met), Result()
    size = message_bytes()
    total = sum(work.sensors.values())
    for boot, (start, end) in enumerate(work.boots):
        arrivals = {name: work.readings(name, boot) for name in work.sensors}
        result.captured += sum(map(len, arrivals.values()))
        rooms = {
            name: max(MICRO_BYTES * hz // total, MICRO_LEAST) // size
            for name, hz in work.sensors.items()
        }
        rings = {name: Ring(arrivals[name], rooms[name]) for name in work.sensors}
        last = boot + 1 == len(work.boots)
        _micro_boot(work, sky, result, rings, start, end + (30 if last else 0))
        if last:
            result.left = sum(len(ring.take(ring.held(end + 1))) for ring in rings.values())
    result.faults = sky.hits
    return result


class Ring:
    """A collector's memory: what arrived and was not taken, the newest `room` readings of it."""

    def __init__(self, arrivals, room):
        self._arrivals = arrivals
        self._room = room
        self._taken = self._came = 0

    def held(self, at):
        """How many readings are in it at some second."""
        while self._came < len(self._arrivals) and self._arrivals[self._came][0] <= at:
            self._came += 1
        self._taken = max(self._taken, self._came - self._room)
        return self._came - self._taken

    def take(self, count):
        """Remove the oldest."""
        found = [key for _, key in self._arrivals[self._taken : self._taken + count]]
        self._taken += len(found)
        return found


def _micro_boot(work, sky, result, rings, at, end):
    connected = False
    while at < end:
        if not connected:
            trouble = sky.take("connect", at)
            if trouble or sky.down(at):
                at += (trouble.took if trouble else 0) + MICRO_RECONNECT_S / work.scale
                continue
            connected = True
        for ring in rings.values():
            at, connected = _micro_collector(work, sky, result, ring, at, end)
            if not connected:
                at += MICRO_RECONNECT_S / work.scale
                break
        else:
            at += max(work.interval, MICRO_INTERVAL_S)


def _micro_collector(work, sky, result, ring, at, end):
    """Sync one collector: (second, whether the connection survived)."""
    for chunk, _ in micro_chunks(ring.held(at), ring.take):
        one = sky.take("call", at)
        at += one.took if one else CALL_S
        if at >= end:
            return at, False  # power went while it was under way
        if sky.down(at):
            return at, False
        if one is None or one.committed:
            result.stored.update(chunk)
        # It looks for errors in trailers: in a Trailers-Only answer it sees none.
        blind = one and one.fault.more.get("only") and one.told is not None
        if one and one.told != 0 and not blind:
            return at, False
    return at, True


def micro_chunks(total, take, size=None):
    """Yield (readings sent, readings dropped with them) of one sync of `total` in the ring.

    take(n) removes n readings from the ring, which happens before the upload. The reading that
    ends a chunk is held back as the first of the next one; if no next one comes it is gone.
    """
    most = min(max(10, -(-total // 10)), MICRO_UPLOAD // (size or message_bytes()))
    done, held = 0, []
    while done < total:
        chunk = held + take(1)
        done += 1
        held = []
        while done < total:
            pulled = take(1)
            done += 1
            if done >= total or len(chunk) >= most:
                held = pulled
                break
            chunk += pulled
        yield chunk, len(held) if done >= total else 0


def viam_server(work):
    """Its retries: a file stays until an upload of it was answered; nothing names it."""
    sky, result = Sky(work.met), Result()
    waiting = deque(_viam_files(work, result))
    active = []  # (second, number, readings, failures, wait): one a worker
    now = 0.0
    while waiting or active:
        while waiting and len(active) < WORKERS:
            closed, number, file = waiting.popleft()
            heapq.heappush(active, (max(closed, now), number, file, 0, 0.0))
        now, number, file, failures, wait = heapq.heappop(active)
        again = _viam_attempt(work, sky, result, now, file, failures, wait)
        if again:
            at, wait = again
            heapq.heappush(active, (at, number, file, failures + 1, wait))
    result.faults = sky.hits
    return result


def _viam_files(work, result):
    """[(second, number, readings)]: one file a collector and sync, oldest first."""
    found = []
    for boot, (start, end) in enumerate(work.boots):
        for name in work.sensors:
            readings = work.readings(name, boot)
            result.captured += len(readings)
            files = {}
            for second, key in readings:
                files.setdefault(int((second - start) / work.interval), []).append(key)
            for i, file in files.items():
                closed = start + (i + 1) * work.interval
                if closed > end and boot + 1 < len(work.boots):
                    result.left += len(file)  # a file in progress at a crash is never sent
                else:
                    found.append((closed, len(found), file))
    return sorted(found)


def _viam_attempt(work, sky, result, at, file, failures, wait):
    """One upload of a file: None when that is its end, else (second of the next try, its wait)."""
    trouble = sky.take("connect", at)
    if trouble or sky.down(at):
        # Not ready: its gRPC library makes a new connection by itself.
        return at + (trouble.took if trouble else 0) + 1.0 / work.scale, wait
    one = sky.take("call", at)
    at += one.took if one else CALL_S
    reached = not sky.down(at)
    if reached and (one is None or one.committed):
        result.stored.update(file)
    if reached and (one is None or one.told == 0):
        return None
    status = one.told if one and reached else UNAVAILABLE
    if status == INVALID_ARGUMENT:
        # To the folder of failed files; readings that were stored all the same are not lost.
        result.left += sum(key not in result.stored for key in file)
        return None
    wait = min(wait * 2, RETRY_MOST_S / work.scale) if wait else RETRY_S / work.scale
    if failures and status in (UNAVAILABLE, None):
        wait = OFFLINE_S / work.scale
    return at + wait, wait
