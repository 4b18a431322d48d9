"""The tables that the experiment ends with."""

from chaos.faults import WAYS, way


def faults(met):
    """Faults by kind: how many took effect, in how many of the ways that there are; how often the
    receiver had taken the request all the same, and how often the board got no OK.
    """
    rows = {kind: [0, 0, 0, set()] for kind in WAYS}
    for one in met:
        row = rows[one.fault.kind]
        row[0] += 1
        row[1] += one.committed is True
        row[2] += one.told is None or one.told != 0
        row[3].add(way(one.fault))
    lines = [f"{'fault':34}{'hit':>7}{'ways':>10}{'taken':>8}{'no OK':>8}"]
    for kind, (hit, taken, bad, ways) in sorted(rows.items(), key=lambda item: -item[1][0]):
        of = f"{len(ways)}/{len(WAYS[kind])}"
        lines.append(f"{kind:34}{hit:7}{of:>10}{taken:8}{bad:8}")
    hit, taken, bad = (sum(row[i] for row in rows.values()) for i in range(3))
    lines.append(f"{'all':34}{hit:7}{'':10}{taken:8}{bad:8}")
    return "\n".join(lines)


_ROWS = (
    ("captured", "captured", "captured"),
    ("durable, the board said or left", "durable", None),
    ("in the cloud", "stored", "stored"),
    ("kept on the device, refused or cut off", "aside", "left"),
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
