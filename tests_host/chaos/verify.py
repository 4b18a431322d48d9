"""What must be true in the end, reading by reading; every broken promise is a sentence."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field

from cistern.cloud.verdict import BAD, DOUBT, KINDS
from cistern.sync.refused import TRIES

# What costs readings that were numbered; the other reasons are of deadlines that got no number.
COUNTED = ("log_full", "thinned", "ring_full", "flash_full", "refused", "other")
LATER = float("inf")
CLOCK_S = 0.2  # process start and clock against the board's own times
SHOWN = 12


@dataclass
class Tally:
    """Counts of one stream. wrong: broken promises, sentences.

    at_power_cuts: captured, and in RAM only when power went, by the rate.
    overlap: counted as lost or set aside, but also in the cloud, which the board could not know.
    gaps: what is missing below the last durable reading, sentences.
    """

    captured: int = 0
    durable: int = 0
    stored: int = 0
    doubled: int = 0
    aside: int = 0
    dropped: int = 0
    at_power_cuts: int = 0
    missing: int = 0
    overlap: int = 0
    gaps: list = field(default_factory=list)
    wrong: list = field(default_factory=list)


@dataclass
class Evidence:
    """All that is known in the end.

    boots: of rig. stored: rows (component, boot, n, time in ns, parcel "sector.index"). flash: a
    FlashLog, in the end. uploads: of exchange. sent: names of parcels that were seen marked as
    sent on the flash at any time. streams: {"#" and a definition's CRC32 in hex:
    "component/method"}, for losses of what is on the flash no more. drained: the board had said
    that nothing is pending. conflicts: parcels that came with other readings than those stored
    under their name. counted: what the firmware's own log says of the flash, {"unsent", "set
    aside", "lost": readings}. told: what the receiver heard of losses in the end, {("component/
    method", reason): readings}.
    """

    boots: list
    stored: list
    flash: object
    uploads: list
    sent: set = field(default_factory=set)
    streams: dict = field(default_factory=dict)
    drained: bool = True
    conflicts: int = 0
    counted: dict | None = None
    told: dict | None = None


def verify(evidence, sensors):
    """{component: Tally}. sensors: {component: Hz}, all counters."""
    tallies = {name: Tally() for name in sensors}
    stored = defaultdict(Counter)  # (component, boot): how often each n is there
    times = defaultdict(dict)
    for component, boot, n, time_ns, _ in evidence.stored:
        stored[component, boot][n] += 1
        times[component, boot].setdefault(n, time_ns)
    aside = _on_flash(evidence, "set aside")
    left = _on_flash(evidence, "unsent")
    for name, tally in tallies.items():
        for boot in evidence.boots:
            key = name, boot.number
            kept = aside[key], left[key]
            most = _most(boot, name, times[key], sensors[name])
            _boot(tally, boot, name, stored.pop(key, Counter()), kept, times[key], most)
        tally.aside = sum(len(n) for (c, _), n in aside.items() if c == name)
        unsent = sum(len(n) for (c, _), n in left.items() if c == name)
        if unsent and evidence.drained:
            tally.wrong.append(f"{name}: {unsent} readings are still on the flash, unsent")
        _losses(tally, name, evidence)
        tally.wrong += [text for boot in evidence.boots for text in boot.unbalanced.get(name, ())]
        if not tally.stored:
            tally.wrong.append(f"{name}: nothing is in the cloud at all")
    for (component, boot), numbers in stored.items():
        text = f"{component}: {len(numbers)} readings of a start {boot} that never was"
        tallies[next(iter(tallies))].wrong.append(text)
    _parcels(tallies, evidence)
    found = {
        "unsent": sum(map(len, left.values())),
        "set aside": sum(map(len, aside.values())),
        "lost": sum(loss["readings"] for loss in evidence.flash.losses),
    }
    if evidence.counted not in (None, found):
        text = f"the firmware counts {evidence.counted} on its flash, the decoder {found}"
        tallies[next(iter(tallies))].wrong.append(text)
    lost = Counter()
    for loss in evidence.flash.losses:
        stream = evidence.streams.get(loss["stream"], loss["stream"])
        lost[stream, loss["reason"]] += loss["readings"]
    if evidence.told is not None and not _same(evidence.told, lost):
        text = f"the receiver was told of the losses {evidence.told}, the flash has {dict(lost)}"
        tallies[next(iter(tallies))].wrong.append(text)
    return tallies


def _on_flash(evidence, state):
    found = defaultdict(set)
    for reading in evidence.flash.readings():
        if reading["state"] == state:
            data = reading["data"]["readings"]
            found[reading["component_name"], data["boot"]].add(data["n"])
    return found


def _most(boot, name, times, hz):
    """Readings that a start of the board has taken, by its end; only the clock can tell what it
    did in the moments before a power cut.
    """
    if boot.orderly or not times:
        return 0
    due = int((boot.end - min(times.values()) / 1e9) * hz) + 1
    return due - boot.streams.get(name, {}).get("missed", 0)


def _boot(tally, boot, name, stored, kept, times, most):
    """One start of the board: its numbers are 0, 1, 2, … without gap or double.

    kept: numbers on the flash, of parcels that are set aside and of those to be sent. most: of
    readings, by the clock.
    """
    aside, left = kept
    status = boot.streams.get(name, {})
    said = status.get("durable", 0)
    last = max([*stored, *aside, *left, said - 1, boot.flash.get(name, 0) - 1])
    captured = max(last + 1, status.get("captured", 0), most)
    missing = [n for n in range(last + 1) if not (n in stored or n in aside or n in left)]
    doubled = sum(count - 1 for count in stored.values())
    tally.captured += captured
    tally.durable += last + 1 - status.get("dropped", 0)
    tally.stored += len(stored)
    tally.doubled += doubled
    tally.missing += len(missing)
    tally.at_power_cuts += captured - last - 1
    tally.overlap += sum(n in stored for n in aside)
    where = f"{name}, start {boot.number} of the board"
    if boot.orderly and captured > last + 1:
        text = f"{where}: it ended by itself, and {captured - last - 1} readings were not durable"
        tally.wrong.append(text)
    if doubled:
        twice = [n for n, count in stored.items() if count > 1]
        tally.wrong.append(f"{where}: {doubled} doubled: {_some(twice)}")
    in_time = [t for _, t in sorted(times.items())]
    if in_time != sorted(in_time):
        tally.wrong.append(f"{where}: times are not in the order of the numbers")
    if in_time:
        first, end = boot.start - CLOCK_S, boot.end + CLOCK_S
        if not first < in_time[0] / 1e9 <= in_time[-1] / 1e9 < end:
            text = f"{where}: times from {in_time[0]} to {in_time[-1]} ns, it ran {first}-{end} s"
            tally.wrong.append(text)
    if missing:
        tally.gaps.append(f"{where}: {_some(missing)}")


def _losses(tally, name, evidence):
    """What is missing or set aside must have been counted as lost, and nothing else.

    A reading that the cloud has may be counted as lost if the log had to let it go before the
    answer came: the board could not know better.
    """
    for loss in evidence.flash.losses:
        stream = evidence.streams.get(loss["stream"], loss["stream"])
        if stream == f"{name}/Readings" and loss["reason"] in COUNTED:
            tally.dropped += loss["readings"]
    unsure = sum(c == name and p not in evidence.sent for c, _, _, _, p in evidence.stored)
    gone = tally.missing + tally.aside
    extra = tally.dropped - gone
    if extra < 0:
        where = "; ".join(tally.gaps)
        text = f"{name}: {-extra} of {gone} missing readings were never counted: {where}"
        tally.wrong.append(text)
    elif extra > unsure:
        text = f"{name}: {tally.dropped} counted as lost, only {gone} are missing"
        tally.wrong.append(text)
    else:
        tally.overlap += extra


def _kind(status):
    return KINDS[status] if status < len(KINDS) else DOUBT


def _same(told, lost):
    """Whether the receiver was told of what was lost. After a start the board has no name for a
    stream of which nothing is at hand any more: it is told by the CRC of its definition.
    """
    named = {key: n for key, n in told.items() if not key[0].startswith("#")}
    sums = [Counter(), Counter()]
    for total, rows in zip(sums, (told, lost), strict=True):
        for (_, reason), n in rows.items():
            total[reason] += n
    return sums[0] == sums[1] and all(n <= lost.get(key, 0) for key, n in named.items())


def _parcels(tallies, evidence):
    """Marks on the flash against what the receiver has and what it had answered."""
    wrong = tallies[next(iter(tallies))].wrong
    in_cloud = {row[4] for row in evidence.stored}
    lost = evidence.sent - in_cloud
    if lost:
        text = "parcels are marked as sent, but the cloud does not have them"
        wrong.append(f"{len(lost)} {text}: {_some(lost)}")
    refused = [u for u in evidence.uploads if u.told is not None and _kind(u.told) >= DOUBT]
    alone = [u for u in refused if u.parcels and len(u.parcels) == 1]
    aside = {parcel.name for parcel in evidence.flash.parcels if parcel.state == "set aside"}
    tries = Counter(u.parcels[0] for u in alone)
    bad = {u.parcels[0] for u in alone if _kind(u.told) == BAD}
    odd = {name for name in aside - bad if tries[name] < TRIES}
    # An early refusal may have been of any.
    if len(odd) > sum(u.parcels is None for u in refused):
        text = "parcels are set aside that the cloud never refused by themselves"
        wrong.append(f"{text}: {_some(odd)}")
    surely = {u.parcels[0]: u.ended for u in alone if u.sure and _kind(u.told) == BAD}
    again = {
        name
        for u in evidence.uploads
        for name in u.parcels or ()
        if u.began > surely.get(name, LATER)
    }
    if again:
        wrong.append(f"{len(again)} parcels were sent again after a refusal: {_some(again)}")
    if evidence.conflicts:
        wrong.append(f"{evidence.conflicts} parcels came again with other readings")


def _some(things):
    shown = sorted(things)
    more = f" and {len(shown) - SHOWN} more" if len(shown) > SHOWN else ""
    return ", ".join(map(str, shown[:SHOWN])) + more
