"""No configuration locks its repair out, and none has more of a board than there is."""

import json
import random
import re

import pytest

from bench_support import Bench, running
from chaos import configs
from configs_mutant import machine, sensor

# Those that take long: make chaos has them.
SLOW = ("hang", "slow")


def test_after_each_wrong_configuration_the_right_one_runs(tmp_path):
    """Reduced from make chaos."""
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    configs.run(tmp_path, seed, 6, leave_out=SLOW)


@pytest.mark.parametrize("streams", [85, 118])
def test_a_board_captures_what_its_memory_allows_and_names_the_rest(tmp_path, streams):
    bench = Bench(tmp_path)
    bench.machine.write_text(
        json.dumps(machine([sensor(f"s{i}", hz=1) for i in range(streams)]), separators=(",", ":"))
    )
    with running(bench.board("--for", "4", cloud=False)) as board:
        assert board.wait() == 0, board.log()
        last = board.statuses()[-1]
        runs = {name.partition("/")[0] for name, row in last["streams"].items() if row["captured"]}
        refused = set(re.findall(r"components\[(\d+)\]", board.log()))
        assert len(runs) >= 40
        assert runs | {f"s{i}" for i in refused} == {f"s{i}" for i in range(streams)}
        assert last["problems"]


def test_a_folder_that_was_sent_and_is_not_there_costs_no_reading(tmp_path):
    """The case capture-dir-gone, over several starts."""
    dice = random.Random(1)
    board = configs.Board(tmp_path, dice)
    try:
        board.takes("before")
        board.put(machine([sensor("folder")], capture_dir="/proc/nothing/here"))
        for _ in range(3):
            board.wait(2)
            board.start()
        board.wait(4)
        assert board.board.stream("folder/Readings")["durable"] > 20, board.said()
        assert any("capture_dir" in text for text in board.board.statuses()[-1]["problems"])
        sql = "SELECT message FROM logs WHERE message LIKE '%capture_dir%cannot have the log%'"
        assert board.bench.rows(sql)
        board.takes("after")
    finally:
        board.close()
