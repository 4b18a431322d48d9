"""The timing harness. Exit 0 when every bar is reached.

    python tests_host/timing [--seed N] [--hours H] [--json] [--only mixed,fast,slow,beside]
"""

import argparse
import json
import sys
import time
from collections import Counter
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parents[1] / "lib")]
# The folder of this file would put its modules before others of the same names.
sys.path.remove(str(HERE)) if str(HERE) in sys.path else None

from timing import bars, mutants, tables, workloads  # noqa: E402
from timing.run import Bench, firmware  # noqa: E402

# Others' programs show all there is to see in ten minutes.
BESIDE_S = 600
# A MiB of log takes a minute of 4 kHz; without sync the rest would be about a log that is full.
FAST_S = 45
PARTS = ("mixed", "fast", "slow", "beside")
TITLES = {
    "mixed": "3 collectors at 100 Hz, 10 at 1 Hz, sync every 6 s",
    "fast": "4 ADC collectors at 1 kHz, no sync",
    "slow": "11 collectors at 0.5 to 10 Hz, sync every 6 s",
}


class Run:
    """The parts of one command."""

    def __init__(self, args):
        self._args = args
        self.bench = Bench(Counter() if args.profile else None)
        if args.mutant:
            mutants.apply(args.mutant)
        self.out = {}

    def part(self, name, collectors, seconds, sync_s=6, **board):
        """Run the firmware on a workload, and judge it."""
        begin = time.monotonic()
        text = workloads.machine(collectors, sync_s)
        rates = workloads.rates(collectors)
        seed = self._args.seed
        report = firmware(
            self.bench, text, rates, seconds, seed, bool(sync_s), self._args.tick_us, **board
        )
        report["missed_bars"] = getattr(bars, name)(report)
        report["took_s"] = time.monotonic() - begin
        self.out[name] = report
        return report

    def beside(self, seconds):
        """The same workload by others."""
        from timing.rivals import micro_rdk, naive

        text, rates = workloads.machine(workloads.MIXED), workloads.rates(workloads.MIXED)
        ours = firmware(self.bench, text, rates, seconds, self._args.seed)
        stored = sum(s["captured"] for s in ours["streams"])
        ours.update(bytes=ours["programmed"] / stored, survives="all but the last second")
        found = [("Cistern", ours)]
        for name, run, more in (
            ("naive, file closed each time", naive, {}),
            ("naive, file kept open", naive, {"kept_open": True}),
            ("micro-rdk's schedule", micro_rdk, {}),
        ):
            found.append((name, run(self.bench, text, rates, seconds, self._args.seed, **more)))
        self.out["beside"] = dict(found)
        return found


def main():
    """Run the parts and print them."""
    parser = argparse.ArgumentParser(prog="timing", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--hours", type=float, default=1.0, help="of the board's time")
    parser.add_argument("--only", default=",".join(PARTS))
    parser.add_argument("--json", action="store_true", help="the whole report, on stdout")
    parser.add_argument("--tick-us", type=int, default=1000, help="what waits are rounded up to")
    parser.add_argument("--handshake-ms", type=float, default=0, help="of TLS, in one piece")
    parser.add_argument("--profile", action="store_true", help="where bytecode spends its time")
    parser.add_argument("--mutant", choices=sorted(mutants.ALL), help="firmware that is wrong")
    args = parser.parse_args()
    run = Run(args)
    seconds = args.hours * 3600
    wanted = args.only.split(",")
    said = print if not args.json else _silent
    plan = {
        "mixed": (workloads.MIXED, seconds, 6, {"handshake_ms": args.handshake_ms}),
        "fast": (workloads.FAST, min(seconds, FAST_S), 0, {}),
        "slow": (workloads.SLOW, seconds, 6, {}),
    }
    for name in PARTS:
        if name not in wanted:
            continue
        if name == "beside":
            said("\n== beside others, on the first workload\n", flush=True)
            said("\n".join(tables.beside(run.beside(min(seconds, BESIDE_S)))), flush=True)
            continue
        collectors, length, sync_s, board = plan[name]
        report = run.part(name, collectors, length, sync_s, **board)
        said(f"\n== {TITLES[name]}: {length:.0f} s of the board in {report['took_s']:.0f} s\n")
        said("\n".join(tables.streams(report)), flush=True)
        for line in report["missed_bars"]:
            said("MISSED: " + line, flush=True)
        if args.profile:
            said("\n".join(tables.profile(run.bench.clock.t[3], report)), flush=True)
    if args.json:
        print(json.dumps(run.out))
    return int(any(r.get("missed_bars") for r in run.out.values()))


def _silent(*args, **kw):
    pass


if __name__ == "__main__":
    sys.exit(main())
