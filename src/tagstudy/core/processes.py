"""A pool of worker processes that never outlive the stage."""

import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import chain, islice
from multiprocessing import active_children, get_context, parent_process
from multiprocessing.connection import wait
from typing import TypeVar

from tagstudy.core.errors import UserError

AHEAD = 4  # items for each worker
Item = TypeVar("Item")
Result = TypeVar("Result")


def available_cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def worker_pool(workers: int, fork: bool) -> Iterator[ProcessPoolExecutor]:
    """A pool of processes; an error in the block terminates them at once.

    ``fork``: workers start as copies of this process, which saves their imports. Do not use it after this process has
    used a GPU, nor where workers need threads that it has started: a copy lacks them. Raises :class:`UserError` if a
    worker was killed.
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


def map_in_order(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int
) -> Generator[Result, None, None]:
    """What a function makes of each item, in their order; by forked processes, unless there is a single item or worker.

    Close it if not all of it is taken: that ends the processes. Few items are taken ahead of the results.
    """
    items = iter(items)
    first = list(islice(items, 2))
    items = chain(first, items)
    if workers == 1 or len(first) < 2:
        yield from map(function, items)
        return
    waiting: deque[Future[Result]] = deque()
    with worker_pool(workers, fork=True) as pool:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > AHEAD * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def follow_parent() -> None:
    """In a worker: ignore Ctrl-C, which the stage handles, and exit if the stage is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    assert parent is not None

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
