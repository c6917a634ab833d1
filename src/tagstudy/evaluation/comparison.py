"""Is one arm better than the other, or is it chance: of the posts that fell to test, and of the seeds of the runs?

The difference of two arms is a mean over runs. Its variance has two parts, as in studies where several readers judge
the same cases: Obuchowski and Rockette (Communications in Statistics, 1995), with runs as readers, each of one arm, and
posts as cases.

    variance = posts + runs
    posts: covariance of two runs of the dense arm + that of two of the sparse one − 2 × that of one of each,
           all over bootstrap replicates of the test posts, the same ones for every run (the paired bootstrap)
    runs:  variance over the dense arm's runs / their number + the same of the sparse one's

Two runs of an arm have only the posts in common, so their covariance holds the variance that comes from the posts and
none that comes from the seeds, which the second line counts once. The interval is Student's t, with Satterthwaite's
degrees of freedom: few runs make it wide.

A run of the fusion holds a run of each arm, so a fusion and an arm are not independent. Their runs are paired, and the
difference of a pair takes the place of a run: posts is the covariance of two pairs, runs their variance / number.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.sparse import csr_array, vstack
from scipy.special import stdtr, stdtrit  # Student's t; importing scipy.stats for it would take a second

from tagstudy.evaluation import scoring

METRICS = ("micro_f1", "macro_f1", "hamming_loss", "subset_accuracy")
LEVEL = 0.05  # of the test; the interval's is 1 − this
REPLICATES = 50  # at a time


class Scores(NamedTuple):
    """METRICS, and F1 of every tag, of an arm's runs."""

    observed: np.ndarray  # [runs, metrics + tags] on the posts as they are
    replicates: np.ndarray  # [resamples, runs, metrics + tags] on resampled posts
    posts: int


def score(labels: csr_array, arms: Mapping[str, Sequence[csr_array]], resamples: int) -> dict[str, Scores]:
    """Scores of the decisions of each arm's runs; arguments as for :func:`scoring.count`. All on the same resamples."""
    every = resample(labels, [run for runs in arms.values() for run in runs], resamples, seed=0)
    ends = np.cumsum([len(runs) for runs in arms.values()])
    return {
        arm: Scores(np.stack([measure(scoring.count(labels, run)) for run in runs]), replicates, labels.shape[0])
        for (arm, runs), replicates in zip(arms.items(), np.split(every, ends[:-1], axis=1), strict=True)
    }


def resample(labels: csr_array, runs: Sequence[csr_array], resamples: int, seed: int) -> np.ndarray:
    """Bootstrap replicates of the scores of every run: [resamples, runs, metrics + tags].

    A resample weighs every post by how often it holds the post, so that all counts are one product of sparse matrices
    with the weights.
    """
    posts, tags = labels.shape
    have = csr_array(labels.T, dtype=np.float32)
    outcomes = vstack([outcomes_by_tag(labels, run) for run in runs], format="csr")
    replicates = np.empty((resamples, len(runs), len(METRICS) + tags))
    start = 0
    for weights in resampled_weights(posts, resamples, seed):
        size = weights.shape[1]
        support = (have @ weights).T[:, None]  # [size, 1, tags]
        counts = (outcomes @ weights).reshape(len(runs), 2 * tags + 1, size).transpose(2, 0, 1)
        fp, tp, exact = counts[..., :tags], counts[..., tags:-1], counts[..., -1]
        replicates[start : start + size] = measure(scoring.Counts(tp, fp, support - tp, posts, exact))
        start += size
    return replicates


def outcomes_by_tag(labels: csr_array, decisions: csr_array) -> csr_array:
    """[2 tags + 1, posts] A one for a wrong decision, in the row of its tag; for a right one; for an exact post."""
    posts, tags = labels.shape
    exact = np.flatnonzero(scoring.is_exact(labels, decisions))
    rows = np.concatenate([decisions.indices + tags * decisions.data, np.full(len(exact), 2 * tags)])
    columns = np.concatenate([np.repeat(np.arange(posts), np.diff(decisions.indptr)), exact])
    return csr_array((np.ones(len(rows), dtype=np.float32), (rows, columns)), shape=(2 * tags + 1, posts))


def resampled_weights(posts: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """How often each post is in each resample, float32 [posts, REPLICATES]; sums of it are exact up to 2**24 posts."""
    rng = np.random.default_rng(seed)
    for start in range(0, resamples, REPLICATES):
        weights = np.empty((posts, min(REPLICATES, resamples - start)), dtype=np.float32)
        for column in weights.T:
            column[:] = np.bincount(rng.integers(posts, size=posts), minlength=posts)
        yield weights


def measure(counts: scoring.Counts) -> np.ndarray:
    """[..., metrics + tags] METRICS, and F1 of every tag."""
    f1 = scoring.f1(counts)
    metrics = [
        scoring.f1(scoring.total(counts)),
        f1.mean(axis=-1),
        scoring.hamming_loss(counts),
        counts.exact / counts.posts,
    ]
    return np.concatenate([np.stack(metrics, axis=-1), f1], axis=-1)


def compare(dense: Scores, sparse: Scores, *, paired: bool = False) -> pd.DataFrame:
    """Dense − sparse, a row for each of METRICS and then for each tag's F1: dense, sparse, difference, low, high, p.

    The rows of tags are corrected for the number of comparisons (Bonferroni): with 95% probability all their intervals
    hold. With a single run of an arm the variance over seeds is unknown, and the interval covers the posts alone.
    ``paired``: in the dense arm's place is a fusion, and each of its runs is compared with the run that it holds.
    """
    centred = [arm.replicates - arm.replicates.mean(axis=0) for arm in (dense, sparse)]
    if paired:
        over_posts, observed = run_covariance(centred[0] - centred[1]), [dense.observed - sparse.observed]
    else:
        between = covariance(*(arm.mean(axis=1) for arm in centred))
        over_posts = run_covariance(centred[0]) + run_covariance(centred[1]) - 2 * between
        observed = [dense.observed, sparse.observed]
    parts = [np.maximum(over_posts, 0), *map(variance_of_mean, observed)]
    sizes = (dense.posts, *map(len, observed))
    variance = sum(parts)
    # Satterthwaite's: the variance squared, over the sum of each part squared over its own degrees of freedom.
    weighed = sum(part**2 / max(size - 1, 1) for part, size in zip(parts, sizes, strict=True))
    freedom = np.maximum(scoring.ratio(variance**2, weighed), 1)
    error = np.sqrt(variance)

    means = [arm.observed.mean(axis=0) for arm in (dense, sparse)]
    difference = means[0] - means[1]
    tags = len(difference) - len(METRICS)
    comparisons = np.repeat([1, tags], [len(METRICS), tags])
    margin = stdtrit(freedom, 1 - LEVEL / 2 / comparisons) * error
    with np.errstate(divide="ignore", invalid="ignore"):  # without variance: certain, or no difference at all
        p = np.nan_to_num(2 * stdtr(freedom, -np.abs(difference) / error), nan=1.0)
    columns = [*means, difference, difference - margin, difference + margin, np.minimum(p * comparisons, 1)]
    return pd.DataFrame(dict(zip(("dense", "sparse", "difference", "low", "high", "p"), columns, strict=True)))


def run_covariance(centred: np.ndarray) -> np.ndarray:
    """[metrics] Mean covariance of two different runs of an arm, from centred replicates [resamples, runs, metrics].

    Of a single run its variance.
    """
    runs = centred.shape[1]
    variances = covariance(centred, centred)  # [runs, metrics]
    together = covariance(centred.sum(axis=1), centred.sum(axis=1))
    return (together - variances.sum(axis=0)) / (runs * (runs - 1)) if runs > 1 else variances[0]


def variance_of_mean(observed: np.ndarray) -> np.ndarray:
    """[metrics] Variance of the mean over runs, [runs, metrics]; 0 where there is but one."""
    runs = len(observed)
    return observed.var(axis=0, ddof=1) / runs if runs > 1 else np.zeros(observed.shape[1])


def covariance(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """[...] Over replicates, of two centred [resamples, ...]."""
    return (left * right).sum(axis=0) / (len(left) - 1)


def verdict(micro_f1: pd.Series, dense_runs: int, sparse_runs: int) -> str:
    """The row of micro-F1 in a sentence."""
    dense, sparse, difference, low, high, p = micro_f1[["dense", "sparse", "difference", "low", "high", "p"]]
    if p < LEVEL:
        winner = "The dense arm is better" if difference > 0 else "The sparse arm is better"
    else:
        winner = "No significant difference"
    covered = "posts and seeds" if min(dense_runs, sparse_runs) > 1 else "posts, but not over seeds: a single run,"
    chance = f"p = {p:.3f}" if p >= 0.001 else "p < 0.001"
    return (
        f"{winner}: test micro-F1 {dense:.4f} dense, {sparse:.4f} sparse, difference {difference:+.4f} "
        f"({1 - LEVEL:.0%} interval over {covered} {low:+.4f} to {high:+.4f}, {chance})"
    )
