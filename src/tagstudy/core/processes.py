"""A pool of worker processes that never outlive the stage."""

import gc
import os
import signal
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import active_children, get_context, parent_process
from multiprocessing.connection import wait

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
    used a GPU, nor where workers need threads that it has started: a copy lacks them. Raises :class:`WorkerKilled`
    if one is killed.
    """
    context = get_context("fork" if fork and sys.platform == "linux" else "spawn")
    gc.freeze()  # a fork that collected this process's garbage could wait forever for threads that it lacks
    with ProcessPoolExecutor(workers, context, initializer=follow_parent) as pool:
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


def follow_parent() -> None:
    """In a worker: ignore Ctrl-C, which the stage handles, and exit if the stage is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    assert parent is not None

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
