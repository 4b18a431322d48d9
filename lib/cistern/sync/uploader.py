"""The uploader: parcels from the log to the cloud, oldest first, acknowledged one by one."""

from binascii import hexlify

from cistern.borrow import borrow
from cistern.cloud.datasync import UPLOAD, upload_metadata
from cistern.cloud.expand import PIECE, Expander
from cistern.errors import CisternError, LinkError
from cistern.sync.backoff import MAX_PARCELS, OFFLINE_MS, Backoff
from cistern.sync.clock import DOUBTED_US

# Sensor data of one upload: what micro-rdk sends at most (Viam recommends 64 KB; halved for RAM).
MAX_UPLOAD = 32000
# Records that are passed over in a step, up to a millisecond each.
RECORDS = 2
# On readings of a boot that did not learn the time: docs/SPEC.md says what theirs is.
BOUNDED_TAG = "time-bounded"
# Percent of the log's sectors in use from which on each further one is reason to sync at once;
# from 90 % on the log is thinned.
HIGH_WATER = 75
# How often the log's fill and wishes to sync are looked at.
LOOK_MS = 500


class BadParcelError(CisternError):
    """What is in a parcel cannot be sent, whatever the cloud says."""


class Doubts:
    """What the uploads of a log share about parcels that the cloud may not want (refused.py).

    accepted: uploads that it took since start. suspects: {name(ref): [tries, `accepted` before
    the first one]}: not sent with others. held: definitions of streams that wait for the next
    sync. refusal: the first error of this sync that did not end it, or None. strikes: parcels in a
    row that were refused alone. last: the definition of the upload that ended the last sync, if
    that may have been the reason. said: of a stream that waits, to say it once. until: where the
    log was written when the sync began, (sector, index).
    """

    accepted = strikes = 0
    refusal = last = said = None
    until = 0, 0

    def __init__(self):
        self.suspects = {}
        self.held = set()


def name(ref):
    """A parcel's name as one number."""
    return ref.sector << 12 | ref.index


class Uploader:
    """Syncs `log` to `cloud` every `interval_ms`, or where that is 0 only when asked.

    on_synced(definition, readings): told of each parcel that was acknowledged. memory: makes a
    bytearray of a size.
    asked: set it to sync at once; None while a sync is under way. allowed: None, or called with
    the uploader before each sync that is due by the clock, an awaitable bool. before: None, or
    awaited before a sync, unless the last one failed; it makes what was captured durable. threads:
    uploads at once.
    link: what to tell the user: "idle", "up", or "down: " and the reason; error: the last one;
    reported: the one that was said since it worked.
    wait_ms: until it is tried or done again. synced_us: uptime of the last upload that succeeded.
    """

    interval_ms = wait_ms = 0

    link = "idle"
    error = None
    allowed = before = reported = None
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
        self.bounds = {}  # boots without a clock: when they began, see bounds.py
        self.timeless_us = None  # uptime at which the cloud answered, and there was no time
        self.again_us = 0  # and from which another one is looked for
        self.doubts = Doubts()
        self.backoff = Backoff(lambda: port.urandom(1)[0])

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
                if not self.reported and self.log.used() > mark:
                    self.wait_ms = 0
            self.wait_ms = self.interval_ms
            if self.asked or not self.allowed or await self.allowed(self):
                self.asked = None
                self.wait_ms = await self.sync()
                self.asked = self.asked or False

    async def sync(self):
        """Upload all that is unsent; milliseconds until it should be tried or done again."""
        try:
            if self.before and not self.reported:
                await self.before()
            await self._sync()
            if self.reported:
                self.reported = None
                self.port.log("info", "sync: works again")
            return self.interval_ms
        except Exception as e:  # a sync must not end what syncs
            try:
                return borrow("cistern.sync.failed").failed(self, e)
            except MemoryError:
                self.link = "down: not enough memory"
                return OFFLINE_MS

    async def _sync(self):
        doubts = self.doubts
        accepted = doubts.accepted
        doubts.refusal = None
        doubts.strikes = 0
        doubts.held.clear()
        doubts.until = self.log.next, self.log.at
        if doubts.last:
            doubts.held.add(doubts.last)  # the others first
            await self._drain_all()
            doubts.held.discard(doubts.last)
            doubts.last = None
        await self._drain_all()
        if doubts.suspects and (accepted < doubts.accepted or not doubts.refusal):
            await borrow("cistern.sync.refused").again(self)
        if doubts.refusal and accepted == doubts.accepted:
            raise doubts.refusal  # it may well be the cloud's fault

    async def _drain_all(self):
        if self.threads > 1:
            from cistern.sync.threads import drain

            await drain(self)
        else:
            await self.drain()

    async def drain(self):
        """Upload all that is unsent, but for what is suspect or held. Raises LinkError for what
        ends a sync, and MemoryError.
        """
        while True:
            refs, size, bounded = await self._gather()
            if not refs:
                return
            before = self.doubts.accepted
            self.gone = False
            try:
                await self.send(refs, size, bounded)
            except (BadParcelError, LinkError) as e:
                if self.gone:
                    continue  # the log came round: what it has now is sent at once
                if isinstance(e, LinkError) and e.layer in ("dns", "connect", "tls"):
                    raise
                await borrow("cistern.sync.refused").find(self, refs, bounded, e, before)

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
        self.gone = False
        # For the whole upload: a clock that is set meanwhile must not change what was counted.
        self.starts = {}
        most = self.backoff.most
        cursor = self.log.unsent()
        ref = await self._next(cursor)
        while ref and len(refs) < most:
            if ref.boot not in self.starts:
                self.starts[ref.boot] = await self.start_of(ref.boot)
            start = self.starts[ref.boot]
            if refs and start[1] != bounded:
                break
            bounded = start[1]
            try:
                size = await self.size_of(ref, start[0])
            except (BadParcelError, MemoryError) as e:
                self.gone = False
                borrow("cistern.sync.refused").cannot(self, ref, e)
                ref = await self._next(cursor, ref.definition if refs else None)
                continue
            if refs and total + size > MAX_UPLOAD // MAX_PARCELS * most:
                break
            total += size
            refs.append(ref)
            ref = await self._next(cursor, ref.definition)
        return refs, total, bounded

    async def _next(self, cursor, definition=None):
        """next() but for what is suspect or held. Where there is such, what came since the sync
        began waits for the next one, or what is held would wait for ever.
        """
        doubts = self.doubts
        while True:
            ref = await self.next(cursor, definition)
            if not ref or not (doubts.held or doubts.suspects):
                return ref
            if (ref.sector, ref.index) >= doubts.until:
                return None
            if ref.definition not in doubts.held and name(ref) not in doubts.suspects:
                return ref

    async def start_of(self, boot):
        """(UTC of the boot's start in µs, whether it is only a bound)."""
        anchors = self.log.anchors()
        if not self.cloud.token:
            # Any answer of the cloud carries the time; the first one settles the clock.
            await self.cloud.login()
        anchor = anchors.get(boot)
        if self.log.boot in anchors and anchor and anchor[2] != DOUBTED_US:
            return anchor[1] - anchor[0], False
        return await borrow("cistern.sync.bounds").start_of(self, boot)

    def _expand(self, ref, start_us):
        """Iterate over the parcel's readings as fields 2 of a request, in pieces. Raises
        BadParcelError.
        """
        try:
            yield from self._pieces_of(ref, start_us)
        except (BadParcelError, MemoryError):
            raise
        except Exception as e:  # whatever is on flash, it costs itself only
            raise BadParcelError("%s: %s" % (type(e).__name__, e))  # noqa: B904 - see own.py

    def _pieces_of(self, ref, start_us):
        if ref.size > len(self.buffer):  # not written by this firmware
            self.buffer = bytearray(ref.size)
        payload = self.log.read(ref, self.buffer)
        if payload is None:
            self.gone = True
            raise BadParcelError("it is gone or damaged")
        return self.expander_of(ref).pieces(payload, start_us)

    def expander_of(self, ref):
        """The Expander of a parcel's stream."""
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
        """Upload these parcels. Raises LinkError, BadParcelError, and MemoryError, after which
        nothing is known of any of them.
        """
        try:
            stream = self.expander_of(refs[0]).stream
            tags = stream.tags + ((BOUNDED_TAG,) if bounded else ())
            head = upload_metadata(self.cloud.part_id, stream, self._name(refs), tags)
        except MemoryError:
            raise
        except Exception as e:
            raise BadParcelError("%s: %s" % (type(e).__name__, e))  # noqa: B904
        await self.cloud.call(UPLOAD, lambda: self._pieces(head, refs), len(head) + size)
        self.doubts.accepted += 1
        self.doubts.strikes = 0
        for ref in refs:
            if self.log.mark_sent(ref):
                self.on_synced(ref.definition, ref.readings)
            await self.turn()
        self.backoff.success()
        self.link = "up"
        self.synced_us = self.port.uptime_us()

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
