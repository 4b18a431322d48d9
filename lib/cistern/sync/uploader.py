"""The uploader: parcels from the log to the cloud, oldest first, acknowledged one by one."""

from binascii import hexlify

from cistern.borrow import borrow
from cistern.cloud.datasync import UPLOAD, upload_metadata
from cistern.cloud.expand import PIECE, Expander
from cistern.errors import GrpcError, LinkError
from cistern.sync.backoff import MAX_PARCELS, Backoff

# Sensor data of one upload: what micro-rdk sends at most (Viam recommends 64 KB; halved for RAM).
MAX_UPLOAD = 32000
# Records that are passed over in a step, up to a millisecond each.
RECORDS = 2
INVALID_ARGUMENT = 3
# On readings of a boot that never learned the time: they were taken at this time at the latest.
BOUNDED_TAG = "time-bounded"
# Percent of the log's sectors in use from which on each further one is reason to sync at once;
# from 90 % on the log is thinned.
HIGH_WATER = 75
# How often the log's fill and wishes to sync are looked at.
LOOK_MS = 500


class Uploader:
    """Syncs `log` to `cloud` every `interval_ms`, or where that is 0 only when asked.

    on_synced(definition, readings): told of each parcel that was acknowledged. memory: makes a
    bytearray of a size.
    asked: set it to sync at once. allowed: None, or called before each sync that is due by the
    clock, an awaitable bool. before: None, or awaited before a sync, unless the last one failed;
    it makes what was captured durable. threads: uploads at once.
    link: what to tell the user: "idle", "up", or "down: " and the reason; error: the last one.
    wait_ms: until it is tried or done again. synced_us: uptime of the last upload that succeeded.
    """

    interval_ms = wait_ms = 0

    link = "idle"
    error = None
    allowed = before = None
    asked = False
    synced_us = None
    set_aside = 0
    threads = 1

    def __init__(self, port, log, cloud, parcel_size, on_synced, memory=bytearray):
        self.port = port
        self.log = log
        self.cloud = cloud
        self.on_synced = on_synced
        # For good, since a KB in one piece may be hard to find later.
        self.buffer = memory(parcel_size)
        self._piece = memory(PIECE)
        self.expander = None
        self._bounds = {}  # boots without a clock: when they began at the latest
        self._backoff = Backoff(lambda: port.urandom(1)[0])
        self._reported = None

    async def run(self):
        """Sync for ever."""
        # The first time at a random point of the interval, so that a fleet does not come at once.
        self.wait_ms = self.interval_ms * self.port.urandom(1)[0] // 256
        full = len(self.log.sequence) * HIGH_WATER // 100
        while True:
            mark = max(full, self.log.used())
            while not self.asked and (self.wait_ms > 0 or not self.interval_ms):
                step = LOOK_MS
                if 0 < self.wait_ms < step:
                    step = self.wait_ms
                await self.port.sleep_ms(step)
                self.wait_ms -= step
                # A cloud that does not answer is not asked more often for it.
                if not self._reported and self.log.used() > mark:
                    self.wait_ms = 0
            self.wait_ms = self.interval_ms
            if self.asked or await self.may():
                self.asked = False
                self.wait_ms = await self.sync()

    async def may(self):
        """Whether a sync that is due by the clock is wanted."""
        try:
            return not self.allowed or await self.allowed()
        except Exception as e:  # a driver may raise anything
            self._report("the selective_syncer: %s" % e, self.interval_ms)

    async def sync(self):
        """Upload all that is unsent; milliseconds until it should be tried or done again."""
        try:
            if self.before and not self._reported:
                await self.before()
            if self.threads > 1:
                from cistern.sync.threads import drain

                await drain(self)
            else:
                await self.drain()
            self._report(None)
            return self.interval_ms
        except (LinkError, MemoryError) as e:
            if isinstance(e, MemoryError):
                e = LinkError("call", "not enough memory: %s" % e)
            wait = self._backoff.failed(e)
            self.error = str(e)
            self.link = "down: " + self.error
            self._report(self.error, wait)
            return wait

    def _report(self, error, wait=0):
        if error == self._reported:
            return
        self._reported = error
        if error:
            text = "sync: %s; next try in %.1f s, capture goes on"
            self.port.log("warning", text % (error, wait / 1000))
        else:
            self.port.log("info", "sync: works again")

    async def drain(self):
        """Upload all that is unsent. Raises LinkError."""
        while True:
            refs, size, bounded = await self._gather()
            if not refs:
                return
            try:
                try:
                    await self.send(refs, size, bounded)
                except GrpcError as e:
                    if e.status != INVALID_ARGUMENT:
                        raise
                    await borrow("cistern.sync.refused").find(self, refs, size, bounded, e)
            except LinkError:
                if not self._gone:
                    raise
                continue  # the log came round: what it has now is sent at once
            self._backoff.success()
            self.link = "up"
            self.synced_us = self.port.uptime_us()

    async def turn(self):
        """Let others run; the App puts something better here."""
        await self.port.sleep_ms(0)

    async def next(self, cursor, definition=None):
        """The cursor's next parcel, or None."""
        ref = False
        while ref is False:
            await self.turn()
            ref = cursor.next(definition, RECORDS)
        return ref

    async def _gather(self):
        """([Ref], bytes of sensor data, whether times are bounded) of the next upload."""
        refs, total, bounded = [], 0, False
        self._gone = False
        # For the whole upload: a clock that is set meanwhile must not change what was counted.
        self.starts = {}
        most = self._backoff.most
        cursor = self.log.unsent()
        ref = await self.next(cursor)
        while ref and len(refs) < most:
            if ref.boot not in self.starts:
                self.starts[ref.boot] = await self._start_of(ref.boot)
            start = self.starts[ref.boot]
            if refs and start[1] != bounded:
                break
            bounded = start[1]
            try:
                size = await self.size_of(ref, start[0])
            except (IndexError, ValueError, LinkError) as e:
                self._gone = False
                borrow("cistern.sync.refused").give_up(self, ref, e)
                ref = await self.next(cursor, ref.definition if refs else None)
                continue
            if refs and total + size > MAX_UPLOAD // MAX_PARCELS * most:
                break
            total += size
            refs.append(ref)
            ref = await self.next(cursor, ref.definition)
        return refs, total, bounded

    async def _start_of(self, boot):
        """(UTC of the boot's start in µs, whether it is only a bound)."""
        anchors = self.log.anchors()
        if not self.cloud.token or self.log.boot not in anchors:
            # Any answer of the cloud carries the time; the first one settles the clock.
            await self.cloud.login()
        anchor = anchors.get(boot)
        if not anchor:
            for step in self.log.recall(boot):
                anchor = step
                await self.turn()
        if anchor:
            return anchor[1] - anchor[0], False
        if boot not in self._bounds:
            from cistern.sync.bounds import learn

            await learn(self, self._bounds)
        if boot not in self._bounds:
            raise LinkError("call", "the cloud's answer has no date, and this board no clock")
        return self._bounds[boot], True

    def _expand(self, ref, start_us):
        """Iterate over the parcel's readings as fields 2 of a request, in pieces."""
        if ref.size > len(self.buffer):  # not written by this firmware
            self.buffer = bytearray(ref.size)
        payload = self.log.read(ref, self.buffer)
        if payload is None:
            self._gone = True
            raise LinkError("call", "parcel %d.%d is gone or damaged" % (ref.sector, ref.index))
        return self._expander_of(ref).pieces(payload, start_us)

    def _expander_of(self, ref):
        if not self.expander or self.expander.definition != ref.definition:
            self.expander = Expander(ref.definition, self._piece)
        return self.expander

    async def size_of(self, ref, start_us):
        """Bytes of the parcel's readings. Expanding is as cheap as counting would be."""
        size = 0
        for piece in self._expand(ref, start_us):
            size += len(piece)
            # Between pieces capture has its turn.
            await self.turn()
        return size

    async def send(self, refs, size, bounded):
        """Upload these parcels. Raises LinkError."""
        stream = self._expander_of(refs[0]).stream
        tags = stream.tags + ((BOUNDED_TAG,) if bounded else ())
        head = upload_metadata(self.cloud.part_id, stream, self._name(refs), tags)
        await self.cloud.call(UPLOAD, lambda: self._pieces(head, refs), len(head) + size)
        for ref in refs:
            if self.log.mark_sent(ref):
                self.on_synced(ref.definition, ref.readings)
            await self.turn()

    def _name(self, refs):
        """The names of the parcels, by which a receiver stores each once (docs/SPEC.md)."""
        name = bytearray(b"cistern1:" + hexlify(self.log.log_id))
        separator = ":"
        for ref in refs:
            parcel = separator, ref.sector, ref.index, ref.readings
            name.extend(("%s%d.%d*%d" % parcel).encode())
            separator = ","
        return str(name, "ascii")

    def _pieces(self, head, refs):
        yield head
        for ref in refs:
            yield from self._expand(ref, self.starts[ref.boot][0])
