"""Is one arm better than the other, or is it chance: of the posts that fell to test, and of the seeds of the runs?

The difference of two arms is a mean over runs, and so is its error of two kinds, as in studies where several readers
judge the same cases: Obuchowski and Rockette (Communications in Statistics, 1995), with runs as readers, each of one
arm, and posts as cases.

    variance = posts + runs
    posts: covariance of two runs of the dense arm + that of two of the sparse one − 2 × that of one of each,
           all over resampled test posts, the same ones for every run (the paired bootstrap)
    runs:  variance over the dense arm's runs / their number + the same of the sparse one's

Two different runs share nothing but the posts, so their covariance holds what is owed to the posts and nothing of what
is owed to the seeds, which the second line counts once. The interval is Student's t, with Satterthwaite's degrees of
freedom: few runs make it wide.

A fusion and one of its arms are no two arms: a run of the one holds a run of the other. They are paired, and their
difference in a run takes the place of an arm: posts is the covariance of two of these, runs their variance / number.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import t as student

from tagstudy.evaluation import scoring

METRICS = ("micro_f1", "macro_f1", "hamming_loss", "subset_accuracy")
LEVEL = 0.05  # of the test; the interval's is 1 − this
BLOCK = 50  # resamples at a time


class Scores(NamedTuple):
    """METRICS, and F1 of every tag, of an arm's runs."""

    found: np.ndarray  # [runs, metrics + tags] on the posts as they are
    drawn: np.ndarray  # [resamples, runs, metrics + tags] on posts drawn anew
    posts: int


def score(labels: np.ndarray, arms: Mapping[str, Sequence[np.ndarray]], resamples: int) -> dict[str, Scores]:
    """Of the guesses of each arm's runs; these and the labels are boolean [posts, tags]. All on the same resamples."""
    drawn = resample(labels, [run for runs in arms.values() for run in runs], resamples, seed=0)
    ends = np.cumsum([len(runs) for runs in arms.values()])
    return {
        arm: Scores(np.stack([measure(scoring.count(labels, run)) for run in runs]), own, len(labels))
        for (arm, runs), own in zip(arms.items(), np.split(drawn, ends[:-1], axis=1), strict=True)
    }


def resample(labels: np.ndarray, runs: Sequence[np.ndarray], resamples: int, seed: int) -> np.ndarray:
    """The scores of every run on posts drawn anew: [resamples, runs, metrics + tags].

    A resample weighs every post by how often it was drawn, so that its counts are one matrix product.
    """
    rng = np.random.default_rng(seed)
    posts = len(labels)
    drawn = np.empty((resamples, len(runs), len(METRICS) + labels.shape[1]))
    for start in range(0, resamples, BLOCK):
        block = range(start, min(start + BLOCK, resamples))
        weights = np.stack([np.bincount(rng.integers(posts, size=posts), minlength=posts) for _ in block])
        weights = weights.astype(np.float32)  # sums are exact up to 2**24 posts
        have = weights @ labels.astype(np.float32)
        for run, guesses in enumerate(runs):
            tp, given = (weights @ part.astype(np.float32) for part in (labels & guesses, guesses))
            exact = weights @ (labels == guesses).all(axis=1).astype(np.float32)
            drawn[block, run] = measure(scoring.Counts(tp, given - tp, have - tp, posts, exact))
    return drawn


def measure(counts: scoring.Counts) -> np.ndarray:
    """[..., metrics + tags] METRICS, and F1 of every tag."""
    found = scoring.scores(counts)
    return np.concatenate([np.stack([found[name] for name in METRICS], -1), scoring.by_tag(counts)["f1"]], axis=-1)


def compare(dense: Scores, sparse: Scores, *, paired: bool = False) -> pd.DataFrame:
    """Dense − sparse, a row for each of METRICS and then for each tag's F1: dense, sparse, difference, low, high, p.

    The rows of tags are corrected for looking at all of them (Bonferroni): their intervals hold all together with 95%.
    With a single run of an arm nothing is known of its seeds, and the interval is one over posts. ``paired``: in the
    dense arm's place is a fusion, each of whose runs is compared with the run of the other that it holds.
    """
    of_dense, of_sparse = (own.drawn - own.drawn.mean(axis=0) for own in (dense, sparse))
    if paired:
        of_posts, of_runs = shared(of_dense - of_sparse), [dense.found - sparse.found]
    else:
        between = covariance(of_dense.mean(axis=1), of_sparse.mean(axis=1))
        of_posts, of_runs = shared(of_dense) + shared(of_sparse) - 2 * between, [dense.found, sparse.found]
    parts = [np.maximum(of_posts, 0), *map(spread, of_runs)]
    variance = sum(parts)
    sizes = (dense.posts, *map(len, of_runs))
    doubt = sum(part**2 / max(size - 1, 1) for part, size in zip(parts, sizes, strict=True))
    freedom = np.maximum(scoring.ratio(variance**2, doubt), 1)
    error = np.sqrt(variance)

    means = [own.found.mean(axis=0) for own in (dense, sparse)]
    difference = means[0] - means[1]
    tags = len(difference) - len(METRICS)
    looks = np.repeat([1, tags], [len(METRICS), tags])
    margin = student.ppf(1 - LEVEL / 2 / looks, freedom) * error
    with np.errstate(divide="ignore", invalid="ignore"):  # without variance: certain, or no difference at all
        p = np.nan_to_num(2 * student.sf(np.abs(difference) / error, freedom), nan=1.0)
    columns = [*means, difference, difference - margin, difference + margin, np.minimum(p * looks, 1)]
    return pd.DataFrame(dict(zip(("dense", "sparse", "difference", "low", "high", "p"), columns, strict=True)))


def shared(drawn: np.ndarray) -> np.ndarray:
    """[metrics] Mean covariance of two different runs of an arm, centred [resamples, runs, metrics].

    Of a single run its variance.
    """
    runs = drawn.shape[1]
    own = covariance(drawn, drawn)  # [runs, metrics]
    together = covariance(drawn.sum(axis=1), drawn.sum(axis=1))
    return (together - own.sum(axis=0)) / (runs * (runs - 1)) if runs > 1 else own[0]


def spread(found: np.ndarray) -> np.ndarray:
    """[metrics] Variance of the mean over runs, [runs, metrics]; 0 where there is but one."""
    runs = len(found)
    return found.var(axis=0, ddof=1) / runs if runs > 1 else np.zeros(found.shape[1])


def covariance(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """[...] Over resamples, of two centred [resamples, ...]."""
    return (left * right).sum(axis=0) / (len(left) - 1)


def verdict(micro_f1: pd.Series, dense_runs: int, sparse_runs: int) -> str:
    """The row of micro-F1 in a sentence."""
    dense, sparse, difference, low, high, p = micro_f1[["dense", "sparse", "difference", "low", "high", "p"]]
    if p < LEVEL:
        winner = "The dense arm is better" if difference > 0 else "The sparse arm is better"
    else:
        winner = "These data do not tell the arms apart"
    covered = "posts and seeds" if min(dense_runs, sparse_runs) > 1 else "posts, but not over seeds: a single run,"
    chance = f"p = {p:.3f}" if p >= 0.001 else "p < 0.001"
    return (
        f"{winner}: test micro-F1 {dense:.4f} dense, {sparse:.4f} sparse, difference {difference:+.4f} "
        f"({1 - LEVEL:.0%} interval over {covered} {low:+.4f} to {high:+.4f}, {chance})"
    )
