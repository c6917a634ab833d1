"""shards.py: results come in the order of the shards, whoever works on them, and whoever is killed."""

import os
import signal
from contextlib import closing
from functools import partial
from multiprocessing import active_children
from pathlib import Path

import pytest

from tagstudy.core.config import Compute
from tagstudy.core.errors import UserError
from tagstudy.core.shards import AHEAD, RETRIES, map_in_order

TWO = Compute(workers=2)


def fail(number: int) -> int:
    raise UserError(f"number {number} cannot be used")


def killed(folder: Path, times: int, number: int) -> int:
    """The number; before that, the process that works on number 7 is killed some times."""
    if number == 7 and len(kills := list(folder.iterdir())) < times:
        (folder / str(len(kills))).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_results_come_in_order(workers: int) -> None:
    compute = Compute(workers=workers)
    assert list(map_in_order(abs, iter(range(-50, 0)), compute)) == list(range(50, 0, -1))
    assert list(map_in_order(abs, [-1], compute)) == [1]
    assert list(map_in_order(abs, [], compute)) == []


def test_few_shards_are_taken_ahead_of_the_results() -> None:
    taken = []
    with closing(map_in_order(abs, (taken.append(number) or number for number in range(1000)), TWO)) as results:
        assert next(results) == 0
        assert len(taken) <= 2 * AHEAD + 1


def test_the_first_error_is_raised_and_no_process_is_left() -> None:
    with closing(map_in_order(fail, range(1000), TWO)) as results, pytest.raises(UserError, match="number 0 "):
        list(results)
    assert not active_children()


def test_no_process_is_left_where_not_all_is_taken() -> None:
    with closing(map_in_order(abs, range(1000), TWO)) as results:
        next(results)
    assert not active_children()


def test_a_shard_whose_worker_is_killed_is_done_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert list(map_in_order(partial(killed, tmp_path, RETRIES), range(50), TWO)) == list(range(50))
    assert capsys.readouterr().out.count("a worker process was killed") == RETRIES


def test_a_shard_whose_worker_is_killed_each_time_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="was killed; is there enough memory"):
        list(map_in_order(partial(killed, tmp_path, 1000), range(50), TWO))
    assert len(list(tmp_path.iterdir())) > RETRIES
    assert not active_children()
