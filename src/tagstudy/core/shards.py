"""A map over shards of the data, by processes of this machine or of a Ray cluster. Results come in the shards' order.

What is made of a shard depends on nothing but the shard, and results are merged in their order: so how many processes
there are, and which of them does what and when, changes nothing.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import chain, islice
from typing import TypeVar

from tagstudy.core.cluster import RayPool, ray_pool
from tagstudy.core.config import Compute
from tagstudy.core.printing import print_visible
from tagstudy.core.processes import WorkerKilled, available_cores, by_file, from_file, worker_pool

AHEAD = 4  # shards for each worker
RETRIES = 3  # times in a row that a killed worker is replaced
Shard = TypeVar("Shard")
Result = TypeVar("Result")


def map_in_order(
    function: Callable[[Shard], Result], shards: Iterable[Shard], compute: Compute
) -> Generator[Result, None, None]:
    """What a function makes of each shard, in their order; by worker processes, unless there is one shard or worker.

    Close it if not all of it is taken: that ends the processes. Few shards are taken ahead of the results. Where a
    worker is killed, its shard is done again; raises :class:`UserError` after RETRIES times.
    """
    shards = iter(shards)
    first = list(islice(shards, 2))
    shards = chain(first, shards)
    workers = available_cores() if compute.workers == "auto" else compute.workers
    if len(first) < 2 or (compute.engine == "local" and workers == 1):
        yield from map(function, shards)
    elif compute.engine == "ray":
        with ray_pool(compute.address, workers, RETRIES) as ray:
            yield from map_by_pool(function, shards, deque(), ray, ray.workers)
    else:
        yield from map_by_processes(function, shards, workers)


def map_by_processes(function: Callable[[Shard], Result], shards: Iterator[Shard], workers: int) -> Iterator[Result]:
    """The results, from a pool of local processes; if one is killed, from a new pool."""
    waiting: deque[Shard] = deque()
    killed = 0
    while True:
        try:
            with worker_pool(workers, fork=True) as pool:
                for path in map_by_pool(partial(by_file, function), shards, waiting, pool, workers):
                    killed = 0
                    yield from_file(path)
            return
        except WorkerKilled:
            killed += 1
            if killed > RETRIES:
                raise
            print_visible(f"a worker process was killed; its work is retried ({killed} of at most {RETRIES} times)")


def map_by_pool(
    function: Callable[[Shard], Result],
    shards: Iterator[Shard],
    waiting: deque[Shard],
    pool: ProcessPoolExecutor | RayPool,
    workers: int,
) -> Iterator[Result]:
    """The results, from a pool. ``waiting``: shards taken earlier without a result yet; they come first."""
    results = deque(pool.submit(function, shard) for shard in waiting)
    while True:
        for shard in islice(shards, AHEAD * workers + 1 - len(waiting)):
            waiting.append(shard)
            results.append(pool.submit(function, shard))
        if not waiting:
            return
        result = results.popleft().result()
        waiting.popleft()
        yield result
