"""h2specd, the client side of h2spec: all of its 57 cases, on both interpreters."""

import concurrent.futures
import os
import re
import subprocess

import pytest

from net_support import HERE, INTERPRETERS, free_port, go_tool, interpreter

# Each group in a process of its own, because most of the time is waiting.
GROUPS = (
    ("client/1", "client/4"),
    ("client/5.1",),
    ("client/5.4", "client/5.5", "client/6.1", "client/6.2", "client/6.3"),
    ("client/6.4", "client/6.5"),
    ("client/6.7", "client/6.8"),
    ("client/6.9",),
    ("client/6.10",),
)
CASES = 57


def run(name, groups):
    command, env = interpreter(name)
    done = subprocess.run(
        [
            go_tool("h2specd"), "--exec", " ".join([*command, str(HERE / "net_probe.py")]),
            "--from-port", str(free_port()), *groups,
        ],
        env={**os.environ, **env}, capture_output=True, text=True, timeout=120, check=False,
    )
    return done.stdout


@pytest.mark.parametrize("name", INTERPRETERS)
def test_h2specd(name):
    go_tool("h2specd")
    with concurrent.futures.ThreadPoolExecutor(len(GROUPS)) as pool:
        outputs = list(pool.map(lambda groups: run(name, groups), GROUPS))
    failed = [line for out in outputs for line in out.splitlines() if "×" in line]
    passed = sum(int(re.search(r"(\d+) passed", out)[1]) for out in outputs)
    print(f"h2specd: {passed} of {CASES} passed on {name}")
    assert not failed and passed == CASES, "\n".join([*failed, *outputs])
