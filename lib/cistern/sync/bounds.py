"""When boots were that did not learn the time: at the latest, or where no later one learned it
either, at the earliest.

A boot ended before the next one began, and so did all boots between them.
"""

import json
from binascii import a2b_base64

from cistern.errors import LinkError
from cistern.sync.clock import DOUBTED_US, OWN_US
from cistern.sync.uploader import BadParcelError

# Readings are expanded as if the boot had begun then, for the time of the last one.
_START_US = 1 << 50
# How long a board that reaches its cloud, and has no clock, tries for a time before it sends
# readings without one. A router that comes back with it after a power cut has its uplink, and with
# it a time server, a minute or two later. Nothing is lost by waiting, unless the log is nearly
# full.
PATIENCE_US = 120000000
# And how often it tries after that.
AGAIN_US = 600000000
HIGH_WATER = 75
_EARLIEST_US = 1767225600000000  # 2026-01-01: Cistern is no older
# A login that is said to be later than the board's clock by more is none: a CA has ended then.
_MOST_AHEAD_US = 315360000000000


async def start_of(uploader, boot):
    """As Uploader.start_of(), where this boot or that one did not learn the time."""
    log = uploader.log
    anchors = log.anchors()
    if log.boot not in anchors and uploader.port.uptime_us() >= uploader.again_us:
        await this_boot(uploader)
    anchor = anchors.get(boot)
    if not anchor:
        for step in log.recall(boot):
            anchor = step
            await uploader.turn()
    if is_time(anchor):
        return anchor[1] - anchor[0], False
    if boot not in uploader.bounds:
        await learn(uploader, uploader.bounds)
    return uploader.bounds[boot], True


async def this_boot(uploader):
    """Learn the time of this boot, where the answers of the cloud have no `date`: from the board's
    clock, a time server, another answer.

    Raises LinkError while it pays to wait for it.
    """
    port, log = uploader.port, uploader.log
    now = port.uptime_us()
    first = uploader.timeless_us is None
    if first:
        uploader.timeless_us = now
    if port.utc_us() is None and hasattr(port, "learn_time"):
        await port.learn_time()
    if port.utc_us() is None and not first:
        await uploader.cloud.login()  # it has a date, or the next token
        if log.boot in log.anchors():
            return
    if port.utc_us() is not None:
        log.append_anchor(port.uptime_us(), port.utc_us(), OWN_US)
        return
    why = "no clock: the cloud's answers have no date, and no time server gave the time (%s): %s; "
    why += "cistern sync --port PORT sets the clock from a PC"
    nobody = getattr(port, "no_time", None) or "none was asked"
    in_time = now - uploader.timeless_us < PATIENCE_US
    if in_time and log.used() * 100 < len(log.sequence) * HIGH_WATER:
        patience = "readings wait %d s for it" % (PATIENCE_US // 1000000)
        raise LinkError("call", why % (nobody, patience))
    if not uploader.again_us:
        port.log("warning", why % (nobody, "readings are sent with the tag time-bounded"))
    uploader.again_us = now + AGAIN_US
    if hasattr(port, "raise_clock"):
        port.raise_clock(port.at_least_us())


async def learn(uploader, starts):
    """Put into `starts` when each boot without an anchor began: {boot: UTC in µs}. At the latest,
    or where this boot has no anchor, it began no earlier than what is in it then, and those before
    it at the latest before that.

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
        if not is_time(anchors.get(ref.boot)):
            ends.setdefault(ref.boot, 0)
            try:
                await uploader.size_of(ref, _START_US)
                end = uploader.expander.last_us - _START_US
                ends[ref.boot] = max(ends[ref.boot], end)
            except BadParcelError:
                pass  # is set aside when its turn comes
        ref = await uploader.next(cursor)
    anchors = {boot: anchors[boot] for boot in anchors if is_time(anchors[boot])}
    if log.boot not in anchors and log.boot not in starts:
        starts[log.boot] = _earliest(uploader, anchors, ends)
    began = 0
    for boot in sorted(set(ends) | set(anchors) | set(starts), reverse=True):
        if boot in anchors:
            began = anchors[boot][1] - anchors[boot][0]
        elif boot in starts:
            began = starts[boot]
        elif began:
            starts[boot] = began = began - ends[boot]


def is_time(anchor):
    """Whether an anchor of the log, or None, tells when its boot was."""
    return bool(anchor) and anchor[2] != DOUBTED_US


def _earliest(uploader, anchors, ends):
    """When this boot began at the earliest: by what the board remembers, by when its token was
    issued, and because boots before it, of which some knew the time, were over.
    """
    port, log = uploader.port, uploader.log
    chip = hasattr(port, "at_least_us")
    now = max(_EARLIEST_US, port.at_least_us() if chip else 0)
    issued = issued_us(uploader.cloud.token)
    if now < issued < now + _MOST_AHEAD_US:
        now = issued
    if chip:
        port.raise_clock(now)
    start = now - port.uptime_us()
    before = [boot for boot in anchors if boot < log.boot]
    if before:
        last = max(before)
        over = anchors[last][1]
        for boot in ends:
            if last < boot < log.boot:
                over += ends[boot]
        start = max(start, over)
    return start


def issued_us(token):
    """UTC in µs at which a token was issued (RFC 7519, section 4.1.6: `iat`); 0 where it does not
    say.
    """
    try:
        claims = token.split(".")[1].replace("-", "+").replace("_", "/")
        claims = json.loads(a2b_base64(claims + "===="[: -len(claims) % 4]))
        return int(claims["iat"]) * 1000000
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError):
        return 0
