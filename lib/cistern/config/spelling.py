"""Which known name is meant by one that is not known."""

# Longer names are not compared for a "did you mean": that takes length times length steps.
_COMPARED = 40


def near(name, known):
    """The known name that is nearest, or None."""
    best = None
    distance = min(3, len(name) // 2 + 1)  # as many slips as that are taken for a slip
    for other in known:
        if max(len(other), len(name)) <= _COMPARED:
            d = _distance(name.lower(), other)
            if d < distance:
                best, distance = other, d
            elif not best and len(name) > 3 and other.startswith(name):
                best = other
    if not best and ":" in name:
        # A triplet of somebody's module, viam:raspberry:ina219, or one of the user's without it.
        last = name.rsplit(":", 1)[1]
        best = near(last, [other for other in known if ":" not in other])
    if not best and ":" not in name:
        for other in known:
            if ":" in other and other.rsplit(":", 1)[1] == name:
                best = other
    if not best:
        for other in known:
            if len(other) > 4 and other in name[-_COMPARED:]:
                best = other  # ina219-power
    return best


def _distance(a, b):
    """Levenshtein's distance: how many letters to insert, drop or change."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a):
        before = row[0]
        row[0] = i + 1
        for j, y in enumerate(b):
            before, row[j + 1] = row[j + 1], min(before + (x != y), row[j] + 1, row[j + 1] + 1)
    return row[-1]
