"""Several processes that train one network: each has a replica of it, and computes its share of every batch.

torchrun starts them; a process is known by its rank. All replicas start with the same weights and add up the same
gradients in the same order, so that they stay equal bit for bit. Without torchrun there is one process, and these
functions do nothing.
"""

import os
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from tagstudy.core.errors import UserError
from tagstudy.core.processes import follow_launcher

FOREVER = timedelta(days=365)  # rank 0 may predict for hours; torchrun ends those who wait for one that is gone
GONE = ("closed by peer", "reset by peer", "remote process exited")  # what gloo and NCCL say of a process that is


@contextmanager
def replicas() -> Iterator[None]:
    """A context in which the processes that torchrun has started know one another.

    Rank 0 prints for all. An error in any process ends all; only the first is reported.
    """
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        yield
        return
    follow_launcher()  # torchrun has started this process in a session of its own
    store, own_rank, size = next(dist.rendezvous("env://"))
    dist.init_process_group(backend(), store=store, rank=own_rank, world_size=size, timeout=FOREVER)
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere) if own_rank else nullcontext():
        try:
            yield
        except BaseException as problem:
            if store.add("errors", 1) > 1:
                if not isinstance(problem, KeyboardInterrupt):
                    time.sleep(60)  # until the one that speaks has ended, and torchrun ends this one
                sys.exit(1)
            if any(sign in str(problem) for sign in GONE):
                raise UserError("another process of the training was killed; is there enough memory?") from None
            raise
    dist.destroy_process_group()


def backend() -> str:
    """What carries tensors between processes. On a machine with a GPU torch's default carries those of GPUs alone."""
    return "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"


def rank() -> int:
    """Of this process, from 0 on. Rank 0 writes, assesses and speaks."""
    return dist.get_rank() if dist.is_initialized() else 0


def ranks() -> int:
    """How many processes there are."""
    return dist.get_world_size() if dist.is_initialized() else 1


def share(posts: int) -> slice:
    """The posts of a batch that are this process's: as many as any other's, give or take one."""
    return slice(posts * rank() // ranks(), posts * (rank() + 1) // ranks())


def check_shares(posts: int, place: str) -> None:
    """Raise :class:`UserError` where batches of so many posts, which ``place`` sets, leave a process without one."""
    if posts < ranks():
        raise UserError(f"{place}: a batch has {posts} posts, for {ranks()} processes; raise it, or start fewer")


def draw_own_noise(seed: int, epoch: int) -> None:
    """From here on torch's random bits are this process's own, known from these numbers and its rank."""
    if ranks() > 1:
        torch.manual_seed(int(np.random.SeedSequence([seed, epoch, rank()]).generate_state(1)[0]))


class Sum(torch.autograd.Function):
    """The sum of every process's tensor; the gradient of each is the sum of the sum's gradients."""

    @staticmethod
    def forward(ctx: Any, part: Tensor) -> Tensor:
        total = part.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone()
        dist.all_reduce(total)
        return total


def sum_gradients(model: nn.Module) -> None:
    """Replace every gradient by the sum of all processes'. One of an embedding matrix stays sparse and coalesced."""
    if ranks() == 1:
        return
    gradients = {parameter: parameter.grad for parameter in model.parameters() if parameter.grad is not None}
    dense = [gradient for gradient in gradients.values() if not gradient.is_sparse]
    flat = parameters_to_vector(dense)
    dist.all_reduce(flat)
    vector_to_parameters(flat, dense)
    for parameter, gradient in gradients.items():
        if gradient.is_sparse:
            parameter.grad = sum_sparse(gradient)


def sum_sparse(gradient: Tensor) -> Tensor:
    """The sum of all processes' gradients of some rows of a matrix, added in the order of ranks."""
    parts = gradient._indices()[0], gradient._values()
    counts = [int(count) for count in gather(torch.tensor(len(parts[0]), device=gradient.device))]
    gathered = []
    for part in parts:
        padded = part.new_zeros(max(counts), *part.shape[1:])
        padded[: len(part)] = part
        gathered.append(torch.cat([other[:count] for other, count in zip(gather(padded), counts, strict=True)]))
    rows, values = gathered
    return torch.sparse_coo_tensor(rows[None], values, gradient.shape, check_invariants=False).coalesce()


def gather(part: Tensor) -> list[Tensor]:
    """Every process's tensor, in the order of ranks; all are of one shape."""
    parts = [torch.empty_like(part) for _ in range(ranks())]
    dist.all_gather(parts, part)
    return parts


def add_up(value: float) -> float:
    """The sum of every process's number."""
    return value if ranks() == 1 else float(sum(gather(torch.tensor(value, dtype=torch.float64))))


def by_first(compute: Callable[[], dict[str, float]]) -> dict[str, float]:
    """What rank 0 computes, while the others wait for it: another processor's last digits might differ."""
    if ranks() == 1:
        return compute()
    scores = [compute() if rank() == 0 else {}]
    dist.broadcast_object_list(scores, src=0)
    return scores[0]


def check_equal(model: nn.Module) -> None:
    """Raise :class:`UserError` where the replicas are not equal bit for bit."""
    if ranks() == 1:
        return
    checksum = 0
    for weights in model.state_dict().values():
        checksum = zlib.crc32(weights.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy(), checksum)
    if len({int(other) for other in gather(torch.tensor(checksum))}) > 1:
        raise UserError("the weights of the processes differ; use identical machines that read the same folder")
