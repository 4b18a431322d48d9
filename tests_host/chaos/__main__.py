"""`make chaos`: the loss experiment. Exit 0 when every promise was kept in enough faults.

    python -m chaos [--seconds 900] [--seed N] [--faults 2000] [--keep FOLDER]
"""

import argparse
import random
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parents[1] / "lib")]

from chaos.run import experiment  # noqa: E402

# The network is away for longer than the flash lasts: 64 KB take 121 readings/s of 6 B for 90 s.
OUTAGE_S = 120
RATE = 2.4  # faults a second: 2,016 in the 840 seconds of a whole run


def main():
    """Run it and print the tables."""
    parser = argparse.ArgumentParser(
        prog="chaos", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=840)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--faults", type=int, help=f"how many must hit (default {RATE} a second)")
    parser.add_argument("--rate", type=float, default=8.0, help="faults a second that are due")
    parser.add_argument("--keep", type=Path, help="an empty folder for all that was written")
    args = parser.parse_args()
    print(f"seed {args.seed}", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        folder = args.keep or Path(scratch)
        folder.mkdir(exist_ok=True)
        outage = OUTAGE_S if args.seconds > 4 * OUTAGE_S else 0
        outcome = experiment(folder, args.seed, args.seconds, args.rate, _progress, outage=outage)
    print(file=sys.stderr)
    print(outcome)
    wanted = int(RATE * args.seconds) if args.faults is None else args.faults
    if len(outcome.met) < wanted:
        print(f"only {len(outcome.met)} of {wanted} faults hit: is the machine too slow?")
        return 1
    return int(bool(outcome.wrong))


def _progress(one):
    text = f"\r{one.weather.now():6.0f} s {len(one.weather.met):6} faults"
    print(f"{text} {len(one.device.boots):4} starts", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
