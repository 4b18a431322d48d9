"""Reports as text."""


def _us(us):
    if us is None:
        return "-"
    return f"{us}" if us < 100000 else f"{us / 1000:.0f}k"


def _late(stream, key):
    return "blocks" if stream["blocks"] else _us(stream[key])


def streams(report):
    """A line for each stream."""
    lines = [
        f"{'stream':34} {'Hz':>5} {'p50 µs':>7} {'p99 µs':>7} {'max µs':>7} {'missed':>7} "
        f"{'erase':>7} {'late':>7} {'dropped':>7} {'CPU':>6} {'ring B':>6}"
    ]
    lines += [
        f"{s['name']:34} {s['hz']:>5g} {_late(s, 'p50_us'):>7} {_late(s, 'p99_us'):>7} "
        f"{_late(s, 'max_us'):>7} {s['missed']:>7} {s['missed'] - s['outside']:>7} "
        f"{s['late']:>7} {s['dropped']:>7} {s['cpu']:>6.1%} {s['ring']:>6}"
        for s in report["streams"]
    ]
    rings = sum(s["ring"] for s in report["streams"])
    spent = ", ".join(f"{k} {v:.1%}" for k, v in report["spent"].items() if k != "idle")
    lines += [
        f"all together, outside of erases: p99 {_us(report['p99_us'])} µs; "
        f"CPU {report['cpu']:.1%} and flash {report['flash']:.1%} of the time; of these: {spent}",
        f"{report['erases']} erases, {report['in_windows']} where nothing was due for 45 ms, "
        f"{report['forced']} that an append had to wait for; rings {rings} B of heap; "
        f"{report['calls']} uploads, {report['sent']} B sent; "
        f"{report['in_drop_records']} readings in drop records",
    ]
    return lines


def beside(reports):
    """Programs on the same workload, [(name, report)]."""
    lines = [
        f"{'program':34} {'readings':>9} {'missed':>7} {'p50 µs':>7} {'p99 µs':>8} {'max µs':>8} "
        f"{'B each':>7} {'CPU':>6} {'flash':>6}  power cut"
    ]
    for name, r in reports:
        fast = [s for s in r["streams"] if s["hz"] == max(x["hz"] for x in r["streams"])]
        expected = sum(s["expected"] for s in r["streams"])
        missed = sum(s["missed"] for s in r["streams"]) / expected
        worst = [max(s[k] or 0 for s in fast) for k in ("p50_us", "p99_us", "max_us")]
        cpu = f"{r['cpu']:.1%}" if r.get("counts_cpu", True) else "-"
        lines.append(
            f"{name:34} {expected:>9} {missed:>7.1%} {worst[0]:>7} {worst[1]:>8} {worst[2]:>8} "
            f"{r['bytes']:>7.1f} {cpu:>6} {r['flash']:>6.1%}  {r['survives']}"
        )
    return lines


def profile(counts, report, most=30):
    """Where bytecode spent its time."""
    whole = report["seconds"] * 1e9
    return [f"{ns / whole:7.2%} {name}" for name, ns in counts.most_common(most)]
