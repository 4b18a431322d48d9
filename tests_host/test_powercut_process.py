"""Power cuts of the real process; `make powercut` has the long run."""

import random

import pytest

from cistern.port.nor import NorFile
from cistern.record import Ring, Stream
from cistern.store import Log
from powercut.process import FLASH, check, run

CUTS = 12


def test_a_board_killed_at_random_keeps_all_that_was_durable():
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    assert run(CUTS, seed) > 0


def _image(tmp_path, numbers):
    flash = NorFile(str(tmp_path / "flash.bin"), FLASH)
    log = Log.mount(flash, lambda n: bytes(range(n)))
    ring = Ring(Stream("rdk:component:sensor", "slow", "Readings"), 4000, 50000)
    for at, n in enumerate(numbers):
        ring.put_payload(at * 50000, 20, {"readings": {"n": n, "boot": 7}})
    sealed = ring.seal(bytearray(2048), 10000000, 10000000)
    log.append(sealed.definition, sealed.payload, sealed.readings)
    return (tmp_path / "flash.bin").read_bytes()


def test_the_check_takes_a_whole_image(tmp_path):
    check(_image(tmp_path, [0, 1, 2]), {1: {"slow": 3}})


def test_the_check_takes_an_empty_chip_where_nothing_was_durable():
    check(b"\xff" * FLASH, {})
    with pytest.raises(AssertionError):
        check(b"\xff" * FLASH, {1: {"slow": 3}})


@pytest.mark.parametrize(
    ("numbers", "durable"),
    [([0, 1, 3], 0), ([0, 1, 1, 2], 0), ([0, 1, 2], 4)],
    ids=["gap", "double", "durable but gone"],
)
def test_the_check_sees_what_is_wrong(tmp_path, numbers, durable):
    with pytest.raises(AssertionError):
        check(_image(tmp_path, numbers), {1: {"slow": durable}})
