"""`make bench`: every figure that README and docs give, measured here, one after another."""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
NOT_ALONE = {"__main__.py", "net_device.py"}  # parts of the others


def main():
    """Run each program of this folder; the exit status is the first that is not 0."""
    status = 0
    for program in sorted(p for p in HERE.glob("*.py") if p.name not in NOT_ALONE):
        print(f"\n== {program.stem}", flush=True)
        status = subprocess.run([sys.executable, str(program)]).returncode or status
    return status


if __name__ == "__main__":
    sys.exit(main())
