"""Code is heap on stock firmware: what it takes is held in budget.json."""

import json

import pytest

from bench.size import BUDGET, KEPT, measure


@pytest.fixture(scope="module")
def found():
    return measure()


@pytest.mark.parametrize("kind", ["rooms", "files"])
def test_nothing_takes_more_than_its_budget(found, kind):
    budget = json.loads(BUDGET.read_text())[kind]
    over = {
        n: (size, budget.get(n, 0)) for n, size in found[kind].items() if size > budget.get(n, 0)
    }
    assert not over, (
        f"(bytes, budget) of {over}: make it smaller, or say why it is worth its heap and run "
        "python tests_host/bench/size.py --write"
    )


def test_what_a_board_keeps_stays_within_its_budget(found):
    assert set(KEPT) <= set(found["files"])
    budget = json.loads(BUDGET.read_text())
    for what in ("kept", "record and store"):
        assert found[what] <= budget[what], what
