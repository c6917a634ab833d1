"""The loop beside its floors: what a step must move through memory, what it must compute, and where its time goes.

`python benchmarks/limit.py --data FOLDER`. The rows of the table that a batch holds are read and written once at the
least, at the speed of a large copy; multiply-adds are done at best at the speed of a large matrix product. Both speeds
are measured here, on as many threads as the loop has.
"""

import contextlib
import cProfile
import inspect
import math
import pstats
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import torch

from compare import CORPORA, prepare
from dumps import arguments
from ours import Stopwatch, load  # isort: split

from tagstudy.core.paths import ARMS
from tagstudy.core.store import CsrMatrix
from tagstudy.model import optimizers, training


def main() -> None:
    chosen = arguments(__doc__)
    rows = []
    for corpus in CORPORA:
        with contextlib.chdir(prepare(corpus, chosen.data)):
            rows += [{"corpus": corpus, "arm": arm, **measure(arm)} for arm in ARMS]
    print("a step, on average; times in milliseconds\n" + pd.DataFrame(rows).to_string(index=False))


def measure(arm: str) -> dict[str, Any]:
    """An epoch of an arm: the sizes of its steps, their floors, and their time by parts."""
    settings, data, make = load(arm)
    rng = np.random.default_rng(0)
    posts = len(data["train"].labels)
    batches = np.array_split(rng.permutation(posts), math.ceil(posts / settings.batch_size))
    words = [data["train"].features.batch(rows)[0] for rows in batches]
    entries, distinct = (np.mean([len(each(own)) for own in words]) for each in (list, set))
    model = make()
    width = model.first.weight.shape[-1]
    layers = sum(parameter.numel() for parameter in model.parameters() if parameter is not model.first.weight)
    # A bag's sum forward and backward; a layer's product forward, and backward for its input and for its weights.
    multiply_adds = 2 * entries * width + 3 * settings.batch_size * layers

    with cProfile.Profile() as profiler:
        one_epoch = settings.model_copy(update={"epochs": 1})
        training.fit(model, data["train"], data["valid"], one_epoch, 0, Stopwatch(lambda: 0.0))
    times = Times(pstats.Stats(profiler))
    step = times.of(training.fit) - times.of(training.assess) - times.of(training.check_first_loss)
    parts = {
        "gather": times.of(CsrMatrix.batch, training.fit) + times.of(training.to, training.fit),
        "drop words": times.of(training.drop_words),
        "backward": times.of(torch.Tensor.backward),
        "clip": times.of(training.clip_gradients),
        "optimizers": times.of(optimizers.AdamW.step) + times.of(optimizers.RowwiseAdagrad.step),
    }
    parts["forward, loss"] = step - sum(parts.values())
    moved = 2 * distinct * width * 4
    return {
        "words": round(entries),
        "different": round(distinct),
        "MB": round(moved / 1e6, 2),
        "M multiply-adds": round(multiply_adds / 1e6),
        "memory": round(1000 * moved / memory_speed(), 2),
        "arithmetic": round(1000 * multiply_adds / arithmetic_speed(), 2),
        **{name: round(1000 * seconds / len(batches), 2) for name, seconds in {"step": step, **parts}.items()},
    }


class Times:
    """Seconds of functions and all that they called, from a profile."""

    def __init__(self, stats: pstats.Stats) -> None:
        self.stats = stats.stats  # type: ignore[attr-defined]

    def of(self, function: Callable, caller: Callable | None = None) -> float:
        *_, seconds, callers = self.stats.get(key(function), (0, 0, 0, 0.0, {}))
        return callers.get(key(caller), (0, 0, 0, 0.0))[-1] if caller else seconds


def key(function: Callable) -> tuple[str, int, str]:
    """A function as the profiler names it."""
    code = inspect.unwrap(function).__code__
    return code.co_filename, code.co_firstlineno, code.co_name


def memory_speed() -> float:
    """Bytes read and written a second by a copy much larger than the caches."""
    source = torch.ones(64_000_000)
    target = torch.zeros_like(source)
    return 2 * source.nbytes / fastest(lambda: target.copy_(source))


def arithmetic_speed() -> float:
    """Multiply-adds a second of a large matrix product."""
    matrix = torch.ones(1024, 1024)
    return 1024**3 / fastest(lambda: matrix @ matrix)


def fastest(work: Callable[[], object]) -> float:
    def seconds() -> float:
        start = time.perf_counter()
        work()
        return time.perf_counter() - start

    return min(seconds() for _ in range(10))


if __name__ == "__main__":
    main()
