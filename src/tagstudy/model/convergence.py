"""How long a run may train, and whether that was enough: an arm whose runs have not converged may not lose."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tagstudy.core.config import Train

TOLERANCE = 0.005  # micro-F1
STILL_IMPROVING = "still improving"
NOTHING_LEARNED = "no better than tag frequencies"


class Budget(NamedTuple):
    """How long a run may train."""

    epochs: int
    patience: int  # epochs without a higher micro-F1 on valid
    batches: int  # of an epoch
    posts: int  # of an epoch

    @classmethod
    def of(cls, posts: int, settings: Train) -> "Budget":
        """The budget in epochs, bounded in steps; patience grows with the number of epochs."""
        batches = math.ceil(posts / settings.batch_size)
        if settings.epochs == 0:
            return cls(0, settings.patience, batches, posts)
        batches = min(batches, settings.max_steps // settings.epochs)
        epochs = max(settings.epochs, min(math.ceil(settings.min_steps / batches), settings.max_steps // batches))
        patience = math.ceil(settings.patience * epochs / settings.epochs)
        return cls(epochs, patience, batches, min(posts, batches * settings.batch_size))

    def remedy(self, best_epoch: int, posts: int, settings: Train) -> str:
        """What helps a run on so many posts that has not converged."""
        if best_epoch + self.patience < self.epochs:  # early stopping has ended it
            return f"raise {settings.place('patience')}, or change {settings.place('lr')}"
        if self.batches < math.ceil(posts / settings.batch_size):
            return f"raise {settings.place('max_steps')}"
        return f"raise {settings.place('min_steps' if self.epochs > settings.epochs else 'epochs')}"


def problem_of(micro_f1: Sequence[float], epochs: int, from_frequencies: float) -> str | None:
    """Why a run has not converged, or None.

    A run that early stopping ended has converged. One that used up its epochs has too, unless the last third of them
    gained more than TOLERANCE: the learning rates fall to 0, so the last epoch alone says little.

    micro_f1: [epochs + 1] on valid, of the untrained network first
    epochs: how many were allowed
    from_frequencies: what tag frequencies alone reach
    """
    best = int(np.argmax(micro_f1))
    if micro_f1[best] == 1:  # as where every post has the same tags
        return None
    if best == 0 or micro_f1[best] <= from_frequencies:
        return NOTHING_LEARNED
    before = max(micro_f1[: len(micro_f1) * 2 // 3])
    return STILL_IMPROVING if len(micro_f1) > epochs and micro_f1[best] > before + TOLERANCE else None


def micro_f1_from_frequencies(train: np.ndarray, valid: np.ndarray, posts: int) -> float:
    """Micro-F1 on valid if every post gets the k most frequent tags of train, for the best k.

    ``train``, ``valid`` [tags] count the posts that have each tag; ``posts`` those of valid.
    """
    right = valid[np.argsort(-train, kind="stable")].cumsum()
    given = posts * np.arange(1, len(train) + 1)
    return float((2 * right / (given + valid.sum())).max())
