"""`make powercut`: every operation of many runs, pairs of cuts, deep random ones, bad blocks.

    python tests_host/powercut [--cuts N] [--processes N] [--seed N]

Exit 0 if no promise was broken in at least N cuts.
"""

import argparse
import sys
import time
from multiprocessing import Pool
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parents[1] / "lib")]

from powercut.engine import PLANS, run_plan  # noqa: E402


def main():
    """Run until enough cuts were made."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--cuts", type=int, default=100_000)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    start = time.monotonic()
    cuts, by_plan, violations = 0, {}, []
    jobs = ((PLANS[i % len(PLANS)], args.seed + i) for i in range(1_000_000))
    with Pool(args.processes) as pool:
        for plan, seed, n, found in pool.imap_unordered(run_plan, jobs):
            cuts += n
            by_plan[plan] = by_plan.get(plan, 0) + n
            violations += [(plan, seed, *v) for v in found]
            for v in found:
                print("VIOLATION", plan, seed, *v, flush=True)
            print(
                f"\r{cuts} cuts, {len(violations)} violations", end="", file=sys.stderr, flush=True
            )
            if cuts >= args.cuts or len(violations) > 20:
                break
        pool.terminate()
    print(file=sys.stderr)
    for plan in PLANS:
        print(f"{by_plan.get(plan, 0):8} cuts  {plan}")
    took = time.monotonic() - start
    print(f"{cuts} cuts in {took:.0f} s, {len(violations)} violations")
    return int(bool(violations))


if __name__ == "__main__":
    sys.exit(main())
