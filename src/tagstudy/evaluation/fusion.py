"""The fusion of both arms: a mean of what they say of the same posts, in the shares that do best on valid."""

from typing import NamedTuple

import numpy as np

from tagstudy.evaluation.scoring import best_micro_f1

WEIGHTS = (0.5, 0.1, 0.2, 0.3, 0.4, 0.6, 0.7, 0.8, 0.9)  # of the dense arm; of equals the first


class Answer(NamedTuple):
    """What a run says of some posts, each [posts, tags]."""

    logits: np.ndarray
    probabilities: np.ndarray


def mean(dense: Answer, sparse: Answer, share: float) -> Answer:
    """Of logits and of probabilities; ``share`` is the dense arm's."""
    return Answer(*(share * own + (1 - share) * other for own, other in zip(dense, sparse, strict=True)))


def best_weight(labels: np.ndarray, dense: Answer, sparse: Answer) -> float:
    """The one of WEIGHTS with the highest micro-F1, at its best threshold, on valid; ``labels`` [posts, tags]."""
    return max(WEIGHTS, key=lambda share: best_micro_f1(labels, mean(dense, sparse, share).probabilities))
