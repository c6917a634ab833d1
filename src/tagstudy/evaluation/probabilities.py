"""How good the systems' probabilities are: Brier score and log loss, with intervals, and the arms' difference.

Both are means over posts, so that their variance over the choice of posts follows from the posts' own values: what the
bootstrap of comparison.py would find, without drawing. The rest of the interval is as there. Calibration and thresholds
are held as they are.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from tagstudy.evaluation.comparison import interval
from tagstudy.evaluation.meters import LOSSES
from tagstudy.evaluation.systems import System


def loss_table(systems: Mapping[str, System]) -> pd.DataFrame:
    """A row for each system, and one for the arms' difference, and each of LOSSES: system, score, value, low, high."""
    by_fold = {name: losses_by_fold(system) for name, system in systems.items()}
    units = {
        name: np.stack([part.mean(axis=0) for part in (by_fold[name] if system.folds > 1 else run_losses(system))])
        for name, system in systems.items()
    }
    by_fold["dense - sparse"] = [one - other for one, other in zip(by_fold["dense"], by_fold["sparse"], strict=True)]
    pairs = min(len(units["dense"]), len(units["sparse"]))
    units["dense - sparse"] = units["dense"][:pairs] - units["sparse"][:pairs]
    tables = [mean_with_interval(by_fold[name], units[name]).assign(system=name) for name in by_fold]
    return pd.concat(tables)[["system", "score", "value", "low", "high"]]


def run_losses(system: System) -> list[np.ndarray]:
    return [run.losses for run in system.runs]


def losses_by_fold(system: System) -> list[np.ndarray]:
    """Of each fold the LOSSES of its posts [posts, LOSSES], means over its runs."""
    return [np.mean(run_losses(system)[fold :: system.folds], axis=0) for fold in range(system.folds)]


def mean_with_interval(by_fold: list[np.ndarray], units: np.ndarray) -> pd.DataFrame:
    """The mean over the posts of all folds, [posts, LOSSES] each; ``units`` are as :func:`interval` takes them."""
    posts = sum(len(fold) for fold in by_fold)
    observed = np.concatenate(by_fold).mean(axis=0)
    variance = sum(((fold - fold.mean(axis=0)) ** 2).sum(axis=0) for fold in by_fold) / posts**2
    replicates = observed + np.sqrt(variance) * np.array([[-1], [1]])  # two that have this variance
    low, high, _ = interval(observed, replicates, units, posts=posts, folds=len(by_fold))
    return pd.DataFrame({"score": LOSSES, "value": observed, "low": low, "high": high})
