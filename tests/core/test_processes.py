"""processes.py: a pool gives results and errors back, and leaves no process behind."""

import gc
import os
import signal
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import psutil
import pytest
from conftest import ROOT

from tagstudy.core.errors import UserError
from tagstudy.core.processes import available_cores, worker_pool

WAITS = f"""
import os, sys, time
sys.path.insert(0, {str(ROOT / "src")!r})
from tagstudy.core.processes import worker_pool

def work(number):
    os.write(1, b"working\\n")  # in one piece: two workers write
    time.sleep(60)

if __name__ == "__main__":
    with worker_pool(2, fork=True) as pool:
        list(pool.map(work, range(2)))
"""
LONG_RESULTS = f"""
import sys
sys.path.insert(0, {str(ROOT / "src")!r})
from tagstudy.core.config import Compute
from tagstudy.core.shards import map_in_order

if __name__ == "__main__":
    for _ in range(5):
        try:
            for result in map_in_order(bytes, [10_000_000] * 20, Compute(workers=2)):
                raise KeyboardInterrupt
        except KeyboardInterrupt:
            print("interrupted")
"""


def fail(number: int) -> int:
    raise UserError(f"number {number} cannot be used")


def end(number: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Garbage:
    """An object that ends the process that collects it, unless that is the one that made it."""

    def __init__(self) -> None:
        self.itself, self.made_in = self, os.getpid()

    def __del__(self) -> None:
        if os.getpid() != self.made_in:
            os._exit(1)


def collect(number: int) -> int:
    gc.collect()
    return number


def test_there_is_a_core() -> None:
    assert 1 <= available_cores() <= (os.cpu_count() or 1)


@pytest.mark.parametrize("fork", [True, False])
def test_results_come_in_order(fork: bool) -> None:
    with worker_pool(2, fork) as pool:
        assert list(pool.map(abs, [-3, 2, -1])) == [3, 2, 1]


def test_an_error_of_the_user_s_comes_through() -> None:
    with pytest.raises(UserError, match="number 1 cannot be used"), worker_pool(2, fork=True) as pool:
        list(pool.map(fail, [1, 2]))


def test_a_worker_that_is_killed_is_an_error() -> None:
    with pytest.raises(UserError, match="was killed; is there enough memory"), worker_pool(2, fork=True) as pool:
        list(pool.map(end, [1]))


def test_a_worker_leaves_the_garbage_of_its_parent_alone() -> None:
    # An ONNX session that a copy collects waits for threads that the copy lacks.
    gc.disable()
    try:
        Garbage()
        with worker_pool(2, fork=True) as pool:
            assert list(pool.map(collect, range(2))) == [0, 1]
    finally:
        gc.enable()


def test_what_a_worker_leaves_behind_is_removed() -> None:
    with worker_pool(2, fork=True) as pool:
        left = Path(pool.submit(tempfile.mkdtemp).result())
        assert left.exists()
    assert not left.exists()


def test_a_long_result_does_not_keep_an_error_waiting() -> None:
    """As it did where workers were terminated in the middle of sending it."""
    done = subprocess.run([sys.executable, "-c", LONG_RESULTS], capture_output=True, text=True, timeout=120)
    assert done.stdout == "interrupted\n" * 5, done.stderr


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_workers_end_with_the_process_that_started_them(how: signal.Signals, tmp_path: Path) -> None:
    (tmp_path / "waits.py").write_text(WAITS)
    process = subprocess.Popen(
        [sys.executable, tmp_path / "waits.py"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # also where what runs the tests ignores it
    )
    assert process.stdout is not None
    assert [process.stdout.readline() for _ in range(2)] == [b"working\n"] * 2  # both have started
    workers = psutil.Process(process.pid).children()
    assert workers
    process.send_signal(how)
    process.wait(30)
    _, alive = psutil.wait_procs(workers, timeout=30)
    assert not alive
