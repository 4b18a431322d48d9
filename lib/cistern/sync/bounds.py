"""When boots were that never learned the time: at the latest.

A boot ended before the next one began, and so did all boots between them.
"""

from cistern.sync.uploader import BadParcelError

# Readings are expanded as if the boot had begun then, for the time of the last one.
_START_US = 1 << 50


async def learn(uploader, starts):
    """Put into `starts` when each boot without an anchor began at the latest: {boot: UTC in µs}.

    What is in it stays: readings were sent with it. uploader: a sync.Uploader that has nothing
    under way.
    """
    log = uploader.log
    anchors = dict(log.anchors())
    ends = {}  # boot: uptime of its last reading, as far as that is not sent yet
    cursor = log.unsent()
    ref = await uploader.next(cursor)
    while ref:
        if ref.boot not in anchors:
            for anchor in log.recall(ref.boot):
                if anchor:
                    anchors[ref.boot] = anchor
                await uploader.turn()
        if ref.boot not in anchors:
            try:
                await uploader.size_of(ref, _START_US)
                end = uploader.expander.last_us - _START_US
                ends[ref.boot] = max(ends.get(ref.boot, 0), end)
            except BadParcelError:
                pass  # is set aside when its turn comes
        ref = await uploader.next(cursor)
    began = 0
    for boot in sorted(set(ends) | set(anchors), reverse=True):
        if boot in anchors:
            began = anchors[boot][1] - anchors[boot][0]
        elif boot in starts:
            began = starts[boot]
        elif began:
            starts[boot] = began = began - ends[boot]
