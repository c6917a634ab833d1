"""Processes that never outlive the one that started them: the workers of a pool, and a stage."""

import gc
import os
import pickle
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import active_children, get_context, parent_process
from multiprocessing.connection import wait
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryDirectory
from typing import Any

from tagstudy.core.errors import UserError


class WorkerKilled(UserError):
    """A worker process ended before its work did."""


def available_cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def worker_pool(workers: int, fork: bool) -> Iterator[ProcessPoolExecutor]:
    """A pool of processes; an error in the block terminates them at once.

    ``fork``: workers start as copies of this process, which saves their imports. Do not use it after this process has
    used a GPU, nor where workers need threads that it has started: a copy lacks them. Results of more than some KB come
    :func:`by_file`. What workers leave in their temporary folder is removed. Raises :class:`WorkerKilled` if one is
    killed.
    """
    context = get_context("fork" if fork and sys.platform == "linux" else "spawn")
    gc.freeze()  # a fork that collected this process's garbage could wait forever for threads that it lacks
    with (
        TemporaryDirectory(ignore_cleanup_errors=True) as scratch,
        ProcessPoolExecutor(workers, context, initializer=start_worker, initargs=(scratch,)) as pool,
    ):
        try:
            yield pool
        except BaseException as problem:
            for worker in active_children():
                worker.terminate()
            if isinstance(problem, BrokenProcessPool):
                raise WorkerKilled("a worker process was killed; is there enough memory?") from None
            raise
        finally:
            gc.unfreeze()


def by_file(function: Callable, *arguments: Any) -> Path:
    """Call a function in a worker and keep its result in a file, which :func:`from_file` reads.

    A worker that ended while it sends a long result through the pool's pipe would leave the pool waiting for the rest.
    """
    with NamedTemporaryFile(delete=False) as file:
        pickle.dump(function(*arguments), file, pickle.HIGHEST_PROTOCOL)
    return Path(file.name)


def from_file(path: Path) -> Any:
    """The result in a file, which is then removed."""
    result = pickle.loads(path.read_bytes())  # noqa: S301 - a worker of this process has written it
    path.unlink()
    return result


def start_worker(scratch: str) -> None:
    """In a worker: temporary files go into ``scratch``; Ctrl-C is the stage's to handle; end if the stage is killed."""
    tempfile.tempdir = scratch
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    assert parent is not None

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def follow_launcher() -> None:
    """Exit when the process that has started this one is gone: what a stage writes must not replace later results."""
    launcher = os.getppid()

    def watch() -> None:
        while os.getppid() == launcher:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
