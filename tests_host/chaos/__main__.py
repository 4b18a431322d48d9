"""`make chaos`: the loss experiment, 2,000 faults in 15 minutes.

A board under MicroPython captures counters at 1, 20 and 100 Hz and syncs them to the receiver
through a proxy that fails all the time; board and receiver are killed and started again. At the
end every reading is accounted for. Printed: what failed and how often, what became of the
readings, and what became of the same readings with the same faults in models of micro-rdk and
viam-server. docs/CHAOS.md explains each line.

Exit status 0: every promise was kept, and as many faults as wanted took effect, of every kind.

A failure prints its seed. The same seed, length and rate give the same faults in the same order;
what each of them hits depends on timing, so run it again more than once:

    make chaos SEED=1234        or        python tests_host/chaos --seed 1234 --keep FOLDER

FOLDER then has the board's flash (`cistern log dump FOLDER/board.flash`), its log of each start
(board.flash-out), the receiver's store (`cistern query --data FOLDER/cloud "SELECT ..."`) and
faults.txt, a line for each fault that took effect.
"""

import argparse
import random
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parents[1] / "lib")]

from chaos.faults import WAYS  # noqa: E402
from chaos.run import experiment  # noqa: E402

SECONDS = 840  # with the start, the calm at the end and the comparison below 900
FAULTS_S = 2.4  # that must take effect a second: 2,016 in a whole run
# The network is away for longer than the flash lasts: 14 of 16 sectors take 121 readings/s of 9 B,
# in parcels of 300 ms, for 52 s.
OUTAGE_S = 70


def main():
    """Run it and print the tables."""
    parser = argparse.ArgumentParser(
        prog="chaos", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--seed", type=int, default=random.randrange(1 << 32), help="default: another each time"
    )
    parser.add_argument("--seconds", type=float, default=SECONDS, help="default: %(default)s")
    parser.add_argument(
        "--rate", type=float, default=8.0, help="faults a second that are due (%(default)s)"
    )
    parser.add_argument(
        "--faults", type=int, help=f"how many must take effect (default: {FAULTS_S} a second)"
    )
    parser.add_argument("--keep", type=Path, help="an empty folder, for all that was written")
    args = parser.parse_args()
    print(f"seed {args.seed}", flush=True)
    whole = args.seconds > 4 * OUTAGE_S
    with tempfile.TemporaryDirectory() as scratch:
        folder = args.keep or Path(scratch)
        folder.mkdir(exist_ok=True)
        outage = OUTAGE_S if whole else 0
        outcome = experiment(folder, args.seed, args.seconds, args.rate, _progress, outage=outage)
    print(file=sys.stderr)
    print(outcome)
    wanted = int(FAULTS_S * args.seconds) if args.faults is None else args.faults
    missed = [] if not whole else sorted(WAYS.keys() - {one.fault.kind for one in outcome.met})
    for kind in missed:
        print(f"never took effect: {kind}")
    if len(outcome.met) < wanted:
        print(f"only {len(outcome.met)} of {wanted} faults took effect: is the machine too slow?")
    if outcome.wrong:
        print(f"again: python tests_host/chaos --seed {args.seed} --seconds {args.seconds:g}")
    return int(bool(outcome.wrong or missed) or len(outcome.met) < wanted)


def _progress(one):
    text = f"\r{one.weather.now():6.0f} s {len(one.weather.met):6} faults"
    print(f"{text} {len(one.device.boots):4} starts", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
