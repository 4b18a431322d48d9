"""Partition tables that a chip would accept."""

import csv

import pytest

from support import ROOT

BOARDS = sorted(p.parent for p in (ROOT / "boards").glob("*/partitions.csv"))
FLASH = {"esp32_generic": 4 * 1024 * 1024}


def _rows(board):
    lines = [
        x for x in (board / "partitions.csv").read_text().splitlines() if not x.startswith("#")
    ]
    return [[cell.strip() for cell in row] for row in csv.reader(lines)]


@pytest.mark.parametrize("board", BOARDS, ids=lambda p: p.name)
def test_partitions_do_not_overlap_and_fit_the_flash(board):
    end = 0x9000  # below it: bootloader and the table itself
    for name, kind, _, offset, size in _rows(board):
        at, n = int(offset, 0), int(size, 0)
        assert at >= end, name
        assert at % (0x10000 if kind == "app" else 0x1000) == 0, f"{name} is not aligned"
        end = at + n
    assert end <= FLASH[board.name]


@pytest.mark.parametrize("board", BOARDS, ids=lambda p: p.name)
def test_the_capture_log_has_a_mebibyte_of_its_own(board):
    rows = {row[0]: row for row in _rows(board)}
    assert rows["capture"][1:3] == ["data", "0x40"]
    assert int(rows["capture"][4], 0) >= 1024 * 1024
    assert {"nvs", "factory", "vfs"} <= set(rows)
