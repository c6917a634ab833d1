"""The losses that a network may be trained with, and the probability that a logit stands for.

Both are proper: their expectation is least where the probability is the true one. Both put a probability of 0.5 at a
logit of 0. predictions/links.py has the same probabilities for numpy.
"""

import math
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits


class Loss(Protocol):
    untrained: float  # the loss where every logit is 0

    def __call__(self, logits: Tensor, labels: Tensor, pos_weight: Tensor | None = None) -> Tensor:
        """Mean over two [posts, tags]; pos_weight [tags] multiplies the terms of the tags that a post has."""

    def probability(self, logits: Tensor) -> Tensor: ...

    def logit(self, probability: Tensor) -> Tensor: ...


class CrossEntropy:
    """Binary cross-entropy."""

    untrained = math.log(2)

    def __call__(self, logits: Tensor, labels: Tensor, pos_weight: Tensor | None = None) -> Tensor:
        return binary_cross_entropy_with_logits(logits, labels, pos_weight=pos_weight)

    def probability(self, logits: Tensor) -> Tensor:
        return torch.sigmoid(logits)

    def logit(self, probability: Tensor) -> Tensor:
        return torch.logit(probability)


class SquaredHinge:
    """Squared hinge: a decision that is right by a margin of 1 costs nothing, so training turns to the uncertain ones.

    A logit stands for the probability (1 + logit) / 2, clipped to 0 and 1 (Zhang, Annals of Statistics, 2004).
    """

    untrained = 1.0

    def __call__(self, logits: Tensor, labels: Tensor, pos_weight: Tensor | None = None) -> Tensor:
        terms = (1 - (2 * labels - 1) * logits).clamp(min=0).square()
        return (terms if pos_weight is None else terms * (1 + labels * (pos_weight - 1))).mean()

    def probability(self, logits: Tensor) -> Tensor:
        return ((1 + logits) / 2).clamp(0, 1)

    def logit(self, probability: Tensor) -> Tensor:
        return 2 * probability - 1


LOSSES: dict[str, Loss] = {"cross_entropy": CrossEntropy(), "squared_hinge": SquaredHinge()}
