"""The uploader: parcels from the log to the cloud, oldest first, acknowledged one by one."""

from binascii import hexlify

from cistern.cloud.datasync import UPLOAD, sensor_data, upload_metadata
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
        cursor = self._log.unsent()
        ref = cursor.next()
        while ref and len(refs) < MAX_PARCELS:
            start = await self._start_of(ref.boot)
            if refs and start[1] != bounded:
                break
            bounded = start[1]
            size = sum([len(x) for x in self._expand(ref)])
            if refs and total + size > MAX_UPLOAD:
                break
            total += size
            refs.append(ref)
            await self._port.sleep_ms(0)
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
        """The parcel's readings, each as the bytes of a request's field 2."""
        payload = self._log.read(ref, self._buffer)
        if payload is None:
            raise LinkError("call", "parcel %d.%d was overwritten" % (ref.sector, ref.index))
        shape = read_definition(ref.definition)[1]
        start = self._clock.utc_us(ref.boot, 0)[0]
        for requested, received, values in Reader(shape, payload):
            yield sensor_data(start + requested, start + received, shape.payload(values))

    async def _upload(self, refs, size, bounded):
        try:
            await self._send(refs, size, bounded)
        except GrpcError as e:
            if e.status != INVALID_ARGUMENT:
                raise
            if len(refs) > 1:
                # One of them is bad: find it, so that the others arrive.
                for ref in refs:
                    await self._upload([ref], sum([len(x) for x in self._expand(ref)]), bounded)
                return
            self.set_aside += 1
            self._log.set_aside(refs[0])
            text = (
                "parcel %d.%d (%d readings) is kept but not sent again, the cloud refused it: %s"
            )
            ref = refs[0]
            self._port.log("error", text % (ref.sector, ref.index, ref.readings, e))

    async def _send(self, refs, size, bounded):
        stream = read_definition(refs[0].definition)[0]
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
            for piece in self._expand(ref):
                yield piece

    async def close(self):
        """Close the connection."""
        await self._cloud.close()
