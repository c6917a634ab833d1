"""The probability that a logit stands for, by the loss that the network was trained with (its inverse link)."""

from collections.abc import Callable

import numpy as np
from scipy.special import expit


def squared_hinge(logits: np.ndarray) -> np.ndarray:
    """(1 + logit) / 2, clipped to 0 and 1 (Zhang, Annals of Statistics, 2004)."""
    return ((1 + logits) / 2).clip(0, 1)


PROBABILITIES: dict[str, Callable[[np.ndarray], np.ndarray]] = {"cross_entropy": expit, "squared_hinge": squared_hinge}
