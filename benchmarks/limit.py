"""A training step compared with what it must move through memory and must compute, and where its time goes.

`python benchmarks/limit.py --data FOLDER`. A step must read and write the rows of the embedding matrix that its batch
holds, at best at the speed of a large copy. It must do its multiply-adds, at best at the speed of a large matrix
product. Both speeds are measured here, on as many threads as training has.
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

from bench import CORPORA, prepare
from common import arguments
from ours import Arm, Stopwatch
from tagstudy.core.paths import ARMS
from tagstudy.model import batches, optimizers, training


def main() -> None:
    options = arguments(__doc__)
    rows = []
    for corpus in CORPORA:
        with contextlib.chdir(prepare(corpus, options.data)):
            rows += [{"corpus": corpus, "arm": arm, **measure(arm)} for arm in ARMS]
    print("means of a step; times in milliseconds\n" + pd.DataFrame(rows).to_string(index=False))


def measure(name: str) -> dict[str, Any]:
    """An epoch of an arm: the sizes of its steps, their lower bounds, and their time by parts."""
    arm = Arm(name)
    train, settings = arm.posts["train"], arm.settings
    steps = math.ceil(len(train) / settings.batch_size)
    order = np.random.default_rng(0).permutation(len(train))
    words = [train.features_of(chosen)[0] for chosen in np.array_split(order, steps)]
    entries, distinct = (np.mean([len(kind(indices)) for indices in words]) for kind in (list, set))
    model = arm.untrained(settings.seed)
    width = model.first.weight.shape[-1]
    layers = sum(parameter.numel() for parameter in model.parameters() if parameter is not model.first.weight)
    # EmbeddingBag: a sum forward and one backward. A layer: a product forward, and two backward, for its input and its
    # weights.
    multiply_adds = 2 * entries * width + 3 * settings.batch_size * layers

    with cProfile.Profile() as profiler:
        one_epoch = settings.model_copy(update={"epochs": 1})
        training.fit(model, train, arm.posts["valid"], one_epoch, settings.seed, Stopwatch(lambda: 0.0))
    times = Times(pstats.Stats(profiler))
    step, in_step = times.of(training.Run.train_epoch), training.Run.batch_loss
    parts = {
        "gather": sum(
            times.of(part, in_step) for part in (batches.Posts.features_of, batches.Posts.labels_of, batches.to)
        ),
        "drop words": times.of(batches.drop_words),
        "backward": times.of(torch.Tensor.backward),
        "clip": times.of(training.clip_gradients),
        "optimizers": times.of(optimizers.AdamW.step) + times.of(optimizers.RowwiseAdagrad.step),
    }
    parts["forward, loss, rest"] = step - sum(parts.values())
    moved = 2 * distinct * width * 4  # bytes
    return {
        "words": round(entries),
        "distinct": round(distinct),
        "MB": round(moved / 1e6, 2),
        "M multiply-adds": round(multiply_adds / 1e6),
        "memory": round(1000 * moved / memory_speed(), 2),
        "arithmetic": round(1000 * multiply_adds / arithmetic_speed(), 2),
        **{name: round(1000 * seconds / steps, 2) for name, seconds in {"step": step, **parts}.items()},
    }


class Times:
    """Seconds of functions, with all that they call, from a profile."""

    def __init__(self, stats: pstats.Stats) -> None:
        self.stats = stats.stats  # type: ignore[attr-defined]

    def of(self, function: Callable, caller: Callable | None = None) -> float:
        *_, seconds, callers = self.stats.get(key(function), (0, 0, 0, 0.0, {}))
        return callers.get(key(caller), (0, 0, 0, 0.0))[-1] if caller else seconds


def key(function: Callable) -> tuple[str, int, str]:
    """How the profiler names a function."""
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
