"""No configuration locks its repair out: a board gets wrong ones, and then a right one.

    python tests_host/chaos/configs.py [--steps N] [--seed N]

The receiver gives a simulated board configurations that are wrong in any way (configs_mutant.py).
The board is killed in between, restarted, its flash and what it keeps beside it are written over.
A board that hangs is killed, as a watchdog would. After each, the right one that the receiver then
has must run within DEADLINE_S: its readings are in the store.
"""

import argparse
import json
import random
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent)]

from bench_support import PART, Bench  # noqa: E402
from configs_mutant import KINDS, machine, sensor, write_models  # noqa: E402

DEADLINE_S = 150
# A board that says nothing for so long hangs; a chip's watchdog takes 60 s.
WATCHDOG_S = 8
_READINGS = "SELECT count(*) FROM readings WHERE component = ?"


class Board:
    """One board and its receiver, over any number of starts."""

    def __init__(self, folder, dice):
        self.dice = dice
        self.folder = folder
        self.bench = Bench(folder)
        self.bench.machine.write_text(json.dumps(machine([sensor("own")])))
        self.bench.start_receiver()
        self.models = write_models(folder / "models")
        self.remote = self.bench.data / "machines" / f"{PART}.json"
        self.board = None
        self.starts = 0
        self.start()

    def start(self):
        """Begin anew, by a power cut where it runs."""
        if self.board:
            self.board.close()
        self.board = self.bench.board("--models", str(self.models))
        self.starts += 1
        self._seen = 0
        self._seen_at = time.monotonic()

    def close(self):
        """End all of it."""
        self.board.close()
        self.bench.stop_receiver()

    def put(self, what):
        """Give the receiver a configuration for the board."""
        fresh = self.remote.with_suffix(".fresh")
        text = what if isinstance(what, str) else json.dumps(what)
        fresh.write_text(text, "utf-8", "surrogatepass")
        fresh.replace(self.remote)

    def watch(self):
        """What a watchdog does: a board that says nothing for long begins anew."""
        ended = self.board.process.poll()
        assert ended is None, f"the board ended by itself ({ended})"
        seen, now = len(self.board.statuses()), time.monotonic()
        if seen > self._seen:
            self._seen, self._seen_at = seen, now
        elif now - self._seen_at > WATCHDOG_S:
            self.start()

    def wait(self, seconds):
        """Let it run for so long."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.watch()
            time.sleep(0.1)

    def takes(self, name):
        """A right configuration must run, whatever came before."""
        self.put(machine([sensor(name)]))
        end = time.monotonic() + DEADLINE_S
        while not self.bench.rows(_READINGS, name)[0][0]:
            assert time.monotonic() < end, f"{name} does not run within {DEADLINE_S} s"
            self.watch()
            time.sleep(0.1)

    def spoil(self):
        """Write over the flash, or over what the board keeps; returns what."""
        self.board.close()
        files = sorted(self.folder.glob("board.flash*.json"))
        path = self.dice.choice([*files, self.bench.flash])
        data = path.read_bytes()
        size = len(data)
        at = self.dice.randrange(len(data) + 1)
        junk = self.dice.randbytes(self.dice.randrange(1, 200))
        how = self.dice.randrange(4)
        if how == 0 and path != self.bench.flash:
            data = data[:at]
        elif how == 1:
            data = data[:at] + junk + data[at + len(junk) :]
        elif how == 2:
            data = junk * (len(data) // len(junk) + 1)
        else:
            data = b"" if path != self.bench.flash else b"\x00" * len(data)
        path.write_bytes(data[:size] if path == self.bench.flash else data)
        self.start()
        return path.name

    def said(self):
        """The end of the log of the board."""
        return self.board.log()[-4000:]


def step(board, n, kind):
    """One wrong configuration, what happens then, and the right one; returns what it was."""
    dice = board.dice
    told = kind
    board.put(KINDS[kind](dice, board.folder))
    happens = dice.choice(("nothing", "kill", "kills", "spoil"))
    told += ", " + happens
    # In the middle of taking it, before or after.
    board.wait(dice.uniform(0, 3))
    if happens == "kill":
        board.start()
    elif happens == "kills":
        for _ in range(dice.randrange(2, 5)):
            board.start()
            board.wait(dice.uniform(0, 2.5))
    elif happens == "spoil":
        told += " " + board.spoil()
        board.wait(dice.uniform(0, 2))
    if kind == "slow":
        board.start()  # it would not ask before tomorrow, as it was told
    board.takes(f"good{n}")
    return told


def run(folder, seed, steps, progress=None, leave_out=()):
    """All of it; the number of starts. AssertionError: with what the board said. leave_out: kinds
    that take long.
    """
    dice = random.Random(seed)
    board = Board(folder, dice)
    told = []
    try:
        board.takes("first")
        kinds = []
        for n in range(steps):
            if not kinds:
                kinds = sorted(KINDS.keys() - set(leave_out))
                dice.shuffle(kinds)
            kind = kinds.pop()
            told.append(kind)
            told[-1] = step(board, n, kind)
            if progress:
                progress(n, told[-1], board.starts)
    except AssertionError as e:
        again = f"python tests_host/chaos/configs.py --seed {seed} --steps {steps}"
        raise AssertionError(f"{e}\nsteps {told}\n{board.said()}\nagain: {again}") from None
    finally:
        board.close()
    return board.starts


def main():
    """Run it and say how it went."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=60, help="configurations (%(default)s)")
    parser.add_argument(
        "--seed", type=int, default=random.randrange(1 << 32), help="default: another each time"
    )
    args = parser.parse_args()
    print(f"seed {args.seed}", flush=True)
    began = time.monotonic()

    def progress(n, told, starts):
        print(f"{time.monotonic() - began:6.0f} s {n + 1:4} {told}", flush=True)

    with tempfile.TemporaryDirectory() as folder:
        starts = run(Path(folder), args.seed, args.steps, progress)
    print(f"{args.steps} wrong configurations, {starts} starts: the right one ran after each")


if __name__ == "__main__":
    main()
