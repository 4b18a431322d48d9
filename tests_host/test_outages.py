"""A board whose cloud is away, in every way and for long: it never restarts, and loses nothing.

The files of an image run on the stand-in of a chip, against the real receiver, on a clock that
jumps to when somebody need not wait. OUTAGE_HOURS=2 makes each outage so long (make chaos).
"""

import json
import os
import re
import subprocess

import pytest

from bench_support import PART, SECRET, Bench, machine
from chip_stand_in import chip, images
from cistern_tools import mpy
from cistern_tools.image import order
from support import micropython_command

pytestmark = pytest.mark.skipif(
    micropython_command() is None or mpy.host_architecture() is None,
    reason="no MicroPython for this machine that loads machine code",
)
NET = "greenhouse net"
WAYS = (
    *("refused", "hung", "silent", "resetting", "certificate", "no_dns", "no_network"),
)
OUTAGE_S = int(float(os.environ.get("OUTAGE_HOURS", "0.025")) * 3600)
UP_S = 100
INTERVAL_S = 60
HZ = 0.5
# Joining the network again, a name, TLS and the upload itself.
ROUND_S = 25


@pytest.fixture
def bench(tmp_path):
    made = Bench(tmp_path)
    made.start_receiver()
    yield made
    made.stop_receiver()


def play(bench, outside, until_s):
    """(exit status, what it says) of a new chip that is stopped after `until_s`."""
    port = bench.url.rpartition(":")[2]
    ordered = order.Order(
        machine=json.dumps(machine({"greenhouse": HZ}, INTERVAL_S / 60)).encode(),
        ssid=NET,
        psk=images.PSK,
        url=f"https://cloud.test:{port}",
        server_name="127.0.0.1",
        part_id=PART,
        secret=SECRET,
        ca=order.ca_files(order.read_file(bench.ca, "CA")),
        ntp="127.0.0.1:1",
    )
    image = images.an_image(ordered, architecture=mpy.host_architecture())
    jumps = {"until_s": until_s, "outside": outside}
    command = chip.command(bench.folder, image, NET, images.PSK, jumps=jumps)
    done = subprocess.run(command, capture_output=True, text=True, timeout=3600)
    return done.returncode, done.stdout + done.stderr


def seconds(said, text):
    """When each line with this was said."""
    return [float(at) for at in re.findall(rf"^ *(\d+\.\d+) .*{text}", said, re.M)]


def test_a_cloud_that_is_away_in_any_way_costs_nothing(bench):
    period = UP_S + OUTAGE_S
    outside = []
    for i, way in enumerate(WAYS):
        outside += [[period * i + UP_S, way], [period * (i + 1), "up"]]
    end = period * len(WAYS) + UP_S
    code, said = play(bench, outside, end)
    assert code == 0, said[-3000:]
    assert said.count("start after") == 1 and "restarts" not in said, said
    assert "Traceback" not in said, said
    changes = seconds(said, "outside ")
    assert len(changes) == len(outside), said
    down, back = seconds(said, "sync: .*next try"), seconds(said, "sync: works again")
    for i, way in enumerate(WAYS):
        begin, over = changes[2 * i : 2 * i + 2]
        if way != "no_dns":  # a connection goes on without the name server
            assert [t for t in down if begin < t < over], (way, said)
            assert [t for t in back if over < t < over + INTERVAL_S + ROUND_S], (way, said)
    # The last ones may only be on flash.
    (numbers,) = bench.counters("greenhouse").values()
    assert numbers == list(range(len(numbers)))
    assert len(numbers) >= (end - 2 * INTERVAL_S) * HZ
    assert "readings lost" not in said, said
