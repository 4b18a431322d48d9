"""Power cuts of the real process: the simulated board under MicroPython, killed at random moments.

    python tests_host/powercut/process.py [--cuts N] [--seed N]

After each cut the flash image is decoded by cistern_tools.flashlog, which shares no code with the
board: within each boot no reading may be missing or double, and nothing may be gone that the board
had said was durable. Only the oldest boot may lack its beginning, where the log has gone round.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent)]

from bench_support import machine  # noqa: E402
from cistern_tools import mpy, paths  # noqa: E402
from cistern_tools.flashlog import read_image  # noqa: E402

FLASH = 128 * 1024  # the log goes round several times in 500 cuts
HEAP = 320 * 1024
LONGEST_S = 1.3  # from the first byte of start-up to beyond the first status line
RATES = {"slow": 20, "fast": 200}


class Board:
    """Starts the board of one flash image, over and over."""

    def __init__(self, folder):
        self.flash = folder / "flash.bin"
        wanted = machine(RATES)
        service = wanted["services"][0]["attributes"]
        service["flush_interval_ms"] = 100
        # Or it would be thinned when it is nearly full, which leaves gaps on purpose.
        service["delete_every_nth_when_disk_full"] = 0
        (folder / "machine.json").write_text(json.dumps(wanted))
        settings = {
            "machine": str(folder / "machine.json"),
            "flash": str(self.flash),
            "flash_size": FLASH,
            "seconds": 0,
            "json": True,
            "log_level": "info",
            "models": None,
        }
        library = mpy.compile_library(mpy.host_architecture(), (paths.SIM_MAIN,))
        self._environment = {
            **os.environ,
            "MICROPYPATH": f".frozen:{library}",
            "CISTERN_SIM": json.dumps(settings),
        }
        self._command = [*paths.micropython(), "-X", f"heapsize={HEAP}", str(library / "sim.py")]

    def cut(self, after_s):
        """Run for a while, then cut the power; the board's last words: (status or None, log)."""
        process = subprocess.Popen(
            self._command,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        time.sleep(after_s)  # when the cut comes is what the seed decides
        process.kill()
        out, err = process.communicate()
        lines = [line for line in out.splitlines(keepends=True) if line.endswith("\n")]
        return (json.loads(lines[-1]) if lines else None), err


def counters(image):
    """{(component, boot of the log): [n, …]} of an image; AssertionError if it is damaged."""
    if not image.strip(b"\xff"):
        return {}  # no start came as far as to begin a log
    log = read_image(image)
    found = {}
    for reading in log.readings():
        key = reading["component_name"], reading["boot"]
        found.setdefault(key, []).append(reading["data"]["readings"]["n"])
    assert not log.damage or all("torn" in d["what"] for d in log.damage), log.damage
    return found


def check(image, said):
    """said: {boot: {component: readings that were durable}}. Raises AssertionError."""
    found = counters(image)
    for component in RATES:
        boots = sorted(boot for name, boot in found if name == component)
        for boot in boots:
            numbers = found[component, boot]
            first = numbers[0]
            assert numbers == list(range(first, first + len(numbers))), (component, boot, numbers)
            assert first == 0 or boot == boots[0], f"{component}: boot {boot} begins at {first}"
            durable = said.get(boot, {}).get(component, 0)
            assert first + len(numbers) >= durable, f"{component}: boot {boot} lost {durable}"
        for boot in said:
            gone = boot not in boots and (not boots or boot > boots[0])
            assert not (gone and said[boot].get(component)), f"{component}: boot {boot} is gone"


def run(cuts, seed, progress=None):
    """Make `cuts` cuts; the number of readings found at the end. Raises AssertionError."""
    dice = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        board = Board(Path(folder))
        said = {}
        for n in range(cuts):
            status, log = board.cut(dice.uniform(0.02, LONGEST_S))
            assert "Traceback" not in log and "error" not in log, log
            if status:
                rows = status["streams"]
                said[status["boot"]] = {
                    name: rows[f"{name}/Readings"]["durable"] for name in RATES
                }
            if board.flash.exists() and board.flash.stat().st_size == FLASH:
                check(board.flash.read_bytes(), said)
            if progress:
                progress(n + 1)
        return sum(len(numbers) for numbers in counters(board.flash.read_bytes()).values())


def main():
    """The command."""
    parser = argparse.ArgumentParser(description="Kill the simulated board at random moments.")
    parser.add_argument("--cuts", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()

    def progress(n):
        if n % 50 == 0:
            print(f"{n} of {args.cuts} cuts", flush=True)

    try:
        left = run(args.cuts, args.seed, progress)
    except AssertionError as e:
        print(f"seed {args.seed}: {e}")
        return 1
    print(
        f"{args.cuts} power cuts of the process, 0 violations; {left} readings in the last image"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
