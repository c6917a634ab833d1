"""A pool of Ray workers with the interface of a local process pool."""

import logging
import os
import re
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from tagstudy.core.errors import UserError, needs

PATIENCE = 10  # seconds until a cluster has to answer


class RayPool(NamedTuple):
    workers: int
    remote: Any  # run_in, as a task of Ray

    def submit(self, function: Callable, shard: Any) -> Future:
        return self.remote.remote(Path.cwd(), function, shard).future()


def run_in(folder: Path, function: Callable, shard: Any) -> Any:
    """What a function makes of a shard in a working directory, which all machines of a cluster have to share."""
    os.chdir(folder)
    return function(shard)


def unreachable(address: str | None, problem: Exception) -> UserError:
    """The error that says why no cluster can be used."""
    where = f"compute.address: no cluster at {address!r:.100}" if address else "compute.engine: ray does not start"
    return UserError(f"{where} ({' '.join(str(problem).split()):.200})")


@contextmanager
def ray_pool(address: str | None, workers: int, retries: int) -> Iterator[RayPool]:
    """The workers of the cluster at ``address``, or ``workers`` of a local one that ends with this process.

    Ray does a task again whose worker is killed, ``retries`` times. Raises :class:`UserError` after that, and where Ray
    is not installed or there is no cluster at the address. An error of a task comes through as it was raised.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # a study does not phone home
    os.environ.setdefault("RAY_task_oom_retries", str(retries))  # for lack of memory, Ray would retry for ever
    try:
        if place := re.fullmatch(r"(?:ray://)?(.+):(\d+)", address or ""):
            socket.create_connection((place[1], int(place[2])), PATIENCE).close()  # Ray itself tries for minutes
    except (OSError, OverflowError) as problem:
        raise unreachable(address, problem) from None
    with needs("ray", "compute.engine: ray"):
        import ray
        from ray.exceptions import RayError
    try:
        if not ray.is_initialized():
            options: dict[str, Any] = {"num_cpus": workers, "include_dashboard": False} if address is None else {}
            ray.init(address or "local", log_to_driver=False, logging_level=logging.ERROR, **options)
    except (OSError, ValueError, RuntimeError, RayError) as problem:  # RuntimeError: another version of Ray there
        raise unreachable(address, problem) from None
    try:
        yield RayPool(int(ray.cluster_resources().get("CPU", 1)), ray.remote(max_retries=retries)(run_in))
    except RayError as problem:
        cause = getattr(problem, "cause", problem)
        if not isinstance(cause, RayError):
            raise cause from None
        message = str(cause).partition("\n")[0]
        raise UserError(
            f"a Ray worker failed ({message:.200}); check that its machine has enough memory, this folder and the "
            "packages"
        ) from None
