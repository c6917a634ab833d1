"""A pool of worker processes that end with the stage, however it ends."""

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


def available_cores() -> int:
    """The cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def worker_pool(workers: int, fork: bool) -> Iterator[ProcessPoolExecutor]:
    """A pool of processes; an error in the block ends them at once.

    ``fork``: workers start as copies of this process and import nothing again. Not where it has used a GPU or started
    threads, which a copy lacks. Raises :class:`UserError` where a worker was killed.
    """
    context = get_context("fork" if fork and sys.platform == "linux" else "spawn")
    with ProcessPoolExecutor(workers, context, initializer=follow_parent) as pool:
        try:
            yield pool
        except BaseException as problem:
            for worker in active_children():
                worker.terminate()
            if isinstance(problem, BrokenProcessPool):
                raise UserError("a worker process was killed; is there enough memory?") from None
            raise


def follow_parent() -> None:
    """In a worker: leave Ctrl-C to the stage, and end where the stage was killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    assert parent is not None

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
