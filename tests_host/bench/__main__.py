"""`make bench`: every figure that README and docs give, measured here, one after another."""

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from support import LIB, micropython_command  # noqa: E402

NOT_ALONE = {"__main__.py", "net_device.py", "wire_device.py"}  # parts of the others
ON_MICROPYTHON = {"mount.py"}


def main():
    """Run each program of this folder; the exit status is the first that is not 0."""
    status = 0
    for program in sorted(p for p in HERE.glob("*.py") if p.name not in NOT_ALONE):
        print(f"\n== {program.stem}", flush=True)
        command = [sys.executable]
        if program.name in ON_MICROPYTHON:
            found = micropython_command()
            if found is None:
                print("needs MicroPython: set CISTERN_MICROPYTHON")
                continue
            command = [*found, "-X", "heapsize=4M"]
        environment = {**os.environ, "MICROPYPATH": f".frozen:{LIB}"}
        done = subprocess.run([*command, str(program)], env=environment)
        status = done.returncode or status
    return status


if __name__ == "__main__":
    sys.exit(main())
