"""What the firmware must reach, for the workloads of the issue."""

from timing.run import EDGE

# Of all readings together that fell into no erase, and, with those, of each stream this fast.
P99_US = 2000
FAST_HZ = 100
CPU = 0.5
WINDOWS = 0.99


def _counted(report):
    """Every reading that is not there is counted, by the stream and in the log's drop records."""
    missed = []
    for s in report["streams"]:
        if s["uncounted"]:
            missed.append(f"{s['name']}: {s['uncounted']} readings are lost and not counted")
        if s["counted"] > s["missed"] + EDGE:
            missed.append(f"{s['name']}: {s['counted']} counted missed, {s['missed']} were")
    told = report["in_drop_records"]
    lost = sum(s["counted"] + s["dropped"] for s in report["streams"])
    if told != lost:
        missed.append(f"the log's drop records have {told} readings, the counters {lost}")
    return missed


def mixed(report):
    """3 collectors at 100 Hz and 10 at 1 Hz, with flash and sync."""
    missed = _counted(report)
    for s in report["streams"]:
        if s["outside"]:
            missed.append(f"{s['name']}: {s['outside']} missed outside of erases")
        if s["hz"] >= FAST_HZ and (s["p99_us"] is None or s["p99_us"] > P99_US):
            missed.append(f"{s['name']}: p99 of lateness {s['p99_us']} µs, not {P99_US}")
    if report["p99_us"] > P99_US:
        missed.append(f"all: p99 of lateness {report['p99_us']} µs, not {P99_US}")
    return missed


def fast(report):
    """4 ADC collectors at 1 kHz."""
    missed = _counted(report)
    if report["cpu"] > CPU:
        missed.append(f"CPU share {report['cpu']:.0%}, not {CPU:.0%}")
    return missed


def slow(report):
    """Rates up to 10 Hz: where erases fall."""
    missed = _counted(report)
    erases = report["erases"]
    if not erases or report["in_windows"] < WINDOWS * erases:
        missed.append(f"{report['in_windows']} of {erases} erases where nothing was due")
    return missed
