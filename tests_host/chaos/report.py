"""The tables that the experiment ends with."""

from collections import defaultdict


def faults(met):
    """Faults by kind: how many hit, how often the receiver had stored the request all the same."""
    rows = defaultdict(lambda: [0, 0, 0])
    for one in met:
        row = rows[one.fault.kind]
        row[0] += 1
        row[1] += one.committed is True
        row[2] += one.told is None or one.told != 0
    lines = [f"{'fault':34}{'hit':>7}{'stored':>9}{'no OK':>8}"]
    for kind, row in sorted(rows.items(), key=lambda item: -item[1][0]):
        lines.append(f"{kind:34}{row[0]:7}{row[1]:9}{row[2]:8}")
    total = [sum(column) for column in zip(*rows.values(), strict=True)] or [0, 0, 0]
    lines.append(f"{'all':34}{total[0]:7}{total[1]:9}{total[2]:8}")
    return "\n".join(lines)


_ROWS = (
    ("captured", "captured", "captured"),
    ("durable, the board said or left", "durable", None),
    ("in the cloud", "stored", "stored"),
    ("set aside (refused), on the board", "aside", "left"),
    ("dropped and counted", "dropped", None),
    ("  of these in the cloud all the same", "overlap", None),
    ("in RAM at a power cut", "at_power_cuts", None),
    ("LOST", None, "lost"),
    ("DOUBLED", "doubled", "doubled"),
)


def readings(tallies, rivals):
    """Readings: the board's streams, their sum, and the models with the same workload.

    rivals: {name: Result}.
    """
    names = [*tallies, "Cistern", *rivals]
    lines = [f"{'readings':38}" + "".join(f"{name:>13}" for name in names)]
    for title, ours, theirs in _ROWS:
        cells = [_ours(tally, ours) for tally in tallies.values()]
        cells.append(sum(cells))
        for result in rivals.values():
            value = getattr(result, theirs) if theirs else "-"
            cells.append(len(value) if theirs == "stored" else value)
        lines.append(f"{title:38}" + "".join(f"{cell:>13}" for cell in cells))
    return "\n".join(lines)


def _ours(tally, field):
    """A count of a stream; lost is what was durable, is nowhere and was not counted."""
    return getattr(tally, field) if field else max(tally.missing - tally.dropped, 0)
