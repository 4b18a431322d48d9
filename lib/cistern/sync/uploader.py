"""The uploader: parcels from the log to the cloud, oldest first, acknowledged one by one."""

from binascii import hexlify

from cistern.cloud.datasync import UPLOAD, upload_metadata
from cistern.cloud.expand import PIECE, Expander
from cistern.errors import GrpcError, LinkError
from cistern.record import Reader, read_definition
from cistern.sync.backoff import Backoff

# Sensor data of one upload: what micro-rdk sends at most (Viam recommends 64 KB; halved for RAM).
MAX_UPLOAD = 32000
# Parcels of one upload: each is held as a Ref and named in 20 characters while it is under way.
MAX_PARCELS = 64
INVALID_ARGUMENT = 3
# On readings of a boot that never learned the time: they were taken at this time at the latest.
BOUNDED_TAG = "time-bounded"


class Uploader:
    """Syncs `log` to `cloud` every `interval_ms`.

    clock: sync.Clock. on_synced(definition, readings): told of each parcel that was acknowledged.
    link: what to tell the user: "idle", "up", or "down: " and the reason.
    """

    def __init__(self, port, log, clock, cloud, interval_ms, parcel_size, on_synced):
        self.link = "idle"
        self.set_aside = 0
        self._interval_ms = interval_ms
        self._port = port
        self._log = log
        self._clock = clock
        self._cloud = cloud
        self._on_synced = on_synced
        self._buffer = bytearray(parcel_size)
        # For good, since a KB in one piece may be hard to find later.
        self._piece = bytearray(PIECE)
        self._expander = None
        self._backoff = Backoff(lambda: port.urandom(1)[0])
        self._reported = None

    async def run(self):
        """Sync for ever."""
        # The first time at a random point of the interval, so that a fleet does not come at once.
        wait = self._interval_ms * self._port.urandom(1)[0] // 256
        while True:
            await self._port.sleep_ms(wait)
            wait = await self.sync()

    async def sync(self):
        """Upload all that is unsent; milliseconds until it should be tried or done again."""
        try:
            while True:
                refs, size, bounded = await self._gather()
                if not refs:
                    break
                await self._upload(refs, size, bounded)
                self._backoff.success()
                self.link = "up"
            self._report(None, 0)
            return self._interval_ms
        except LinkError as e:
            wait = self._backoff.failed(e)
            self.link = "down: %s" % e
            self._report(str(e), wait)
            return wait

    def _report(self, error, wait):
        if error == self._reported:
            return
        if error:
            text = "sync: %s; next try in %.1f s, capture goes on"
            self._port.log("warning", text % (error, wait / 1000))
        else:
            self._port.log("info", "sync: works again")
        self._reported = error

    async def _gather(self):
        """([Ref], bytes of sensor data, whether times are bounded) of the next upload."""
        refs, total, bounded = [], 0, False
        # For the whole upload: a clock that is set meanwhile must not change what was counted.
        self._starts = {}
        cursor = self._log.unsent()
        ref = cursor.next()
        while ref and len(refs) < MAX_PARCELS:
            start = await self._start_of(ref.boot)
            if refs and start[1] != bounded:
                break
            bounded = start[1]
            self._starts.setdefault(ref.boot, start[0])
            try:
                size = await self._size(ref)
            except (IndexError, ValueError) as e:
                self._give_up(ref, e)
                ref = cursor.next(ref.definition if refs else None)
                continue
            if refs and total + size > MAX_UPLOAD:
                break
            total += size
            refs.append(ref)
            ref = cursor.next(ref.definition)
        return refs, total, bounded

    async def _start_of(self, boot):
        """(UTC of the boot's start in µs, whether it is only a bound)."""
        known = self._clock.utc_us(boot, 0)
        if known is None:
            # Any answer of the cloud carries the time.
            await self._cloud.login()
            known = self._clock.utc_us(boot, 0)
            if known is None:
                raise LinkError(
                    "call", "the cloud's answer has no usable date, and this board no clock"
                )
        if known[1] and boot not in self._clock.ends:
            self._learn_ends()
            known = self._clock.utc_us(boot, 0)
        return known

    def _learn_ends(self):
        """Find how long boots without a clock lasted: until their last reading."""
        ends = self._clock.ends
        cursor = self._log.unsent()
        ref = cursor.next()
        while ref:
            payload = ref.boot not in self._clock.anchors and self._log.read(ref, self._buffer)
            if payload:
                for reading in Reader(read_definition(ref.definition)[1], payload):
                    ends[ref.boot] = max(ends.get(ref.boot, 0), reading[1])
            ref = cursor.next()

    def _expand(self, ref):
        """Iterate over the parcel's readings as fields 2 of a request, in pieces."""
        payload = self._log.read(ref, self._buffer)
        if payload is None:
            raise LinkError("call", "parcel %d.%d was overwritten" % (ref.sector, ref.index))
        return self._expander_of(ref).pieces(payload, self._starts[ref.boot])

    def _expander_of(self, ref):
        if not self._expander or self._expander.definition != ref.definition:
            self._expander = Expander(ref.definition, self._piece)
        return self._expander

    async def _size(self, ref):
        """Bytes of the parcel's readings. Expanding is as cheap as counting would be."""
        size = 0
        for piece in self._expand(ref):
            size += len(piece)
            # Between pieces capture has its turn.
            await self._port.sleep_ms(0)
        return size

    async def _upload(self, refs, size, bounded):
        try:
            await self._send(refs, size, bounded)
        except GrpcError as e:
            if e.status != INVALID_ARGUMENT:
                raise
            if len(refs) > 1:
                # One of them is bad: find it, so that the others arrive.
                for ref in refs:
                    await self._upload([ref], await self._size(ref), bounded)
                return
            self._give_up(refs[0], "the cloud refused it: %s" % e)

    def _give_up(self, ref, reason):
        self.set_aside += 1
        self._log.set_aside(ref)
        text = "parcel %d.%d (%d readings) is kept but not sent again: %s"
        self._port.log("error", text % (ref.sector, ref.index, ref.readings, reason))

    async def _send(self, refs, size, bounded):
        stream = self._expander_of(refs[0]).stream
        tags = stream.tags + ((BOUNDED_TAG,) if bounded else ())
        head = upload_metadata(self._cloud.part_id, stream, self._name(refs), tags)
        await self._cloud.call(UPLOAD, self._pieces(head, refs), len(head) + size)
        for ref in refs:
            if self._log.mark_sent(ref):
                self._on_synced(ref.definition, ref.readings)

    def _name(self, refs):
        """The names of the parcels, by which a receiver stores each once (docs/SPEC.md)."""
        log_id = str(hexlify(self._log.log_id), "ascii")
        names = ["%d.%d*%d" % (ref.sector, ref.index, ref.readings) for ref in refs]
        return "cistern1:" + log_id + ":" + ",".join(names)

    def _pieces(self, head, refs):
        yield head
        for ref in refs:
            yield from self._expand(ref)

    async def close(self):
        """Close the connection."""
        await self._cloud.close()
