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
    losses = {name: run_losses(system) for name, system in systems.items()}
    runs = min(len(losses["dense"]), len(losses["sparse"]))
    pairs = zip(losses["dense"][:runs], losses["sparse"][:runs], strict=True)
    losses["dense - sparse"] = [one - other for one, other in pairs]
    tables = [mean_with_interval(posts, systems["dense"].folds).assign(system=name) for name, posts in losses.items()]
    return pd.concat(tables)[["system", "score", "value", "low", "high"]]


def run_losses(system: System) -> list[np.ndarray]:
    return [run.losses for run in system.runs]


def mean_with_interval(runs: list[np.ndarray], folds: int) -> pd.DataFrame:
    """The mean over posts, and over the repeats of each fold; ``runs`` are [posts, LOSSES], fold by fold."""
    by_fold = [np.mean(runs[fold::folds], axis=0) for fold in range(folds)]
    posts = sum(len(fold) for fold in by_fold)
    observed = np.concatenate(by_fold).mean(axis=0)
    variance = sum(((fold - fold.mean(axis=0)) ** 2).sum(axis=0) for fold in by_fold) / posts**2
    replicates = observed + np.sqrt(variance) * np.array([[-1], [1]])  # two that have this variance
    units = np.stack([part.mean(axis=0) for part in (by_fold if folds > 1 else runs)])
    low, high, _ = interval(observed, replicates, units, posts)
    return pd.DataFrame({"score": LOSSES, "value": observed, "low": low, "high": high})
