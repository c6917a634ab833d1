"""Is one system better than another, or is it chance: of the posts, of the training sets and of the seeds?

Every post is tested once, by the run of its fold. The difference of two systems is that of their scores on all of these
posts. Its interval is the wider of two:

    posts: the bootstrap. Posts are drawn within each fold, the same ones for both systems, and thresholds are tuned
           again on the valid posts of each resample.
    folds: Student's t, from the differences in the folds. Each has test posts, a training set and a seed of its own, so
           that this one covers the choice of all three; of a few folds it is wide.

So p is small no more often than the folds alone make it. On a single split, runs with different seeds take the place of
folds. These have the same test posts, so that the two parts do not overlap: the squares of the half-widths are added
(Banerjee, Sankhya 1960), and the interval does not cover the choice of the split.

Not used: one Student's interval of the sum of both variances, with Satterthwaite's degrees of freedom. It is too narrow
where the folds are alike by luck, most of all in the tail that p corrected for many pairs comes from.
"""

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial, reduce
from operator import add
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.sparse import csr_array
from scipy.special import stdtrit  # of Student's t; importing scipy.stats for it would take a second

from tagstudy.core.corpus import Corpus
from tagstudy.core.processes import available_cores
from tagstudy.evaluation import scoring
from tagstudy.evaluation.outcomes import at_thresholds, best_thresholds
from tagstudy.evaluation.scoring import COMPARED, Counts
from tagstudy.evaluation.systems import Run, System

LEVEL = 0.05  # of the test; the interval's is 1 − this
POSITIVES = 10  # test posts that have a tag: with fewer its F1 has no interval
# Posts that two systems treat differently: with fewer no sign test could reach LEVEL, and there is no interval.
DISCORDANT = 6
SMALLEST_P, BISECTIONS = 1e-16, 60  # of the search for p: where it begins, and its steps
AT_A_TIME = 50  # resamples
WEIGHTS = 2**26  # of posts in the resamples of a time, at most: 256 MB


Rows = Mapping[str, np.ndarray]  # of the corpus, by split


class Scores(NamedTuple):
    """COMPARED, and F1 of every tag, of a system."""

    observed: np.ndarray  # [metrics + tags]
    units: np.ndarray  # [units, metrics + tags] of each fold; on a single split, of each run
    replicates: np.ndarray  # [resamples, metrics + tags] on resampled posts
    decisions: list[csr_array]  # of each repeat, [posts, tags]
    positives: np.ndarray  # [tags] test posts that have the tag
    folds: int


def score(corpus: Corpus, systems: Mapping[str, System], resamples: int) -> dict[str, Scores]:
    """The scores of each system. All are taken on the same resamples, which are shared out among the cores."""
    rows: list[Rows] = [
        {split: corpus.rows(split, fold) for split in ("valid", "test")} for fold in range(corpus.folds)
    ]
    at_a_time = max(1, min(AT_A_TIME, WEIGHTS // len(corpus)))
    batches = [range(start, min(start + at_a_time, resamples)) for start in range(0, resamples, at_a_time)]
    workers = min(available_cores(), len(batches))
    shares = [batches[len(batches) * n // workers : len(batches) * (n + 1) // workers] for n in range(workers)]
    with ThreadPoolExecutor(workers) as threads:  # scipy and numpy let go of Python's lock
        parts = list(threads.map(partial(replicate, systems, rows), shares))
    positives = np.bincount(corpus.labels.batch(corpus.tested())[0], minlength=len(corpus.tags))
    scores = {}
    for name, system in systems.items():
        runs = np.stack([measure(run.counts) for run in system.runs])
        units = runs.reshape(-1, system.folds, runs.shape[1]).mean(axis=0) if system.folds > 1 else runs
        observed = np.mean([measure(at) for at in system.counts()], axis=0)
        replicates = np.concatenate([part[name] for part in parts])
        scores[name] = Scores(observed, units, replicates, system.decisions(), positives, corpus.folds)
    return scores


def measure(counts: Sequence[Counts]) -> np.ndarray:
    """[..., metrics + tags] Each of COMPARED at its threshold, and F1 of every tag at the first one."""
    metrics = [scoring.measure(at)[..., place] for place, at in enumerate(counts)]
    return np.concatenate([np.stack(metrics, axis=-1), scoring.f1(counts[0])], axis=-1)


def replicate(systems: Mapping[str, System], rows: Sequence[Rows], batches: Iterable[range]) -> dict[str, np.ndarray]:
    """[resamples, metrics + tags] The scores of each system on the resamples with these numbers.

    ``rows`` are the posts of each fold's valid and test.
    """
    replicates: dict[str, list[np.ndarray]] = {name: [] for name in systems}
    for numbers in batches:
        weights = resampled_weights(rows, numbers)
        for name, system in systems.items():
            replicates[name].append(np.mean([resampled(runs, weights) for runs in system.repeats()], axis=0))
    return {name: np.concatenate(parts) for name, parts in replicates.items()}


def resampled_weights(rows: Sequence[Rows], numbers: range) -> list[dict[str, np.ndarray]]:
    """How often each post of a fold's valid and test is in each resample, float32 [posts, resamples].

    Posts are drawn within the test posts of each fold; of a single split, within test and within valid. A resample
    depends on its number alone.
    """
    drawn_from = [fold["test"] for fold in rows] + ([rows[0]["valid"]] if len(rows) == 1 else [])
    weights = np.zeros((max(int(posts.max()) for posts in drawn_from) + 1, len(numbers)), dtype=np.float32)
    for column, number in zip(weights.T, numbers, strict=True):
        rng = np.random.default_rng([0, number])
        for posts in drawn_from:
            column[posts] = np.bincount(rng.integers(len(posts), size=len(posts)), minlength=len(posts))
    return [{split: weights[posts] for split, posts in fold.items()} for fold in rows]


def resampled(runs: list[Run], weights: list[dict[str, np.ndarray]]) -> np.ndarray:
    """[resamples, metrics + tags] Scores of a run of each fold, with thresholds tuned on the resampled valid posts."""
    folds = []
    for run in runs:
        chosen = best_thresholds(run.valid.counts(weights[run.fold]["valid"]))
        folds.append(at_thresholds(run.test.counts(weights[run.fold]["test"]), chosen))
    return measure([reduce(add, at) for at in zip(*folds, strict=True)])


class Interval(NamedTuple):
    """Each [...]: NaN where there is no variance to judge by."""

    low: np.ndarray
    high: np.ndarray
    p: np.ndarray  # of the hypothesis that the value is 0


def interval(
    observed: np.ndarray,
    replicates: np.ndarray,
    units: np.ndarray,
    *,
    posts: int,
    folds: int,
    comparisons: np.ndarray | int = 1,
) -> Interval:
    """The interval of a score or difference [...] with its ``replicates`` [resamples, ...] and ``units`` [units, ...].

    ``units`` are folds or, on a single split, runs. Corrected for the number of ``comparisons`` (Bonferroni): with 95%
    probability all intervals hold.
    """
    over_posts = np.sqrt(np.mean((replicates - observed) ** 2, axis=0))  # standard errors
    over_units = np.sqrt(units.var(axis=0, ddof=1) / len(units)) if len(units) > 1 else np.full(observed.shape, np.nan)
    known = over_posts + over_units > 0
    combined = np.maximum if folds > 1 else np.hypot

    def margin(level: np.ndarray | float) -> np.ndarray:
        """Half the width of an interval of 1 − level."""
        of_posts = -stdtrit(max(posts - 1, 1), level / 2) * over_posts
        of_units = -stdtrit(max(len(units) - 1, 1), level / 2) * over_units
        return np.where(known, combined(of_posts, of_units), np.nan)

    half = margin(LEVEL / comparisons)
    # p is the level whose interval ends at 0, between these two logarithms.
    low, high = np.full(observed.shape, np.log(SMALLEST_P)), np.zeros(observed.shape)
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        excludes = margin(np.exp(middle)) < np.abs(observed)
        low, high = np.where(excludes, low, middle), np.where(excludes, middle, high)
    p = np.where(known, np.minimum(np.exp(high) * comparisons, 1), np.nan)
    return Interval(observed - half, observed + half, p)


def compare(one: Scores, other: Scores, comparisons: int = 1) -> pd.DataFrame:
    """One − other, a row for each of COMPARED and then for each tag's F1: one, other, difference, low, high, p.

    Intervals and p are corrected for the number of ``comparisons``, those of tags also for the number of tags. Where
    there is too little to tell, low, high and p are NaN: for all with less than two runs or DISCORDANT posts that the
    systems treat differently, for a tag also with less than POSITIVES posts that have it.
    """
    discordant_posts, discordant = count_discordant(one.decisions, other.decisions)
    enough_for_tag = (one.positives >= POSITIVES) & (discordant >= DISCORDANT)
    enough = np.concatenate([np.repeat(discordant_posts >= DISCORDANT, len(COMPARED)), enough_for_tag])
    together = comparisons * np.repeat([1, max(1, enough_for_tag.sum())], [len(COMPARED), len(discordant)])
    units = min(len(one.units), len(other.units))
    difference = one.observed - other.observed
    low, high, p = (
        np.where(enough, part, np.nan)
        for part in interval(
            difference,
            one.replicates - other.replicates,
            one.units[:units] - other.units[:units],
            posts=one.decisions[0].shape[0],
            folds=one.folds,
            comparisons=together,
        )
    )
    columns = {"one": one.observed, "other": other.observed, "difference": difference}
    return pd.DataFrame({**columns, "low": np.maximum(low, -1), "high": np.minimum(high, 1), "p": p})


def count_discordant(one: Sequence[csr_array], other: Sequence[csr_array]) -> tuple[float, np.ndarray]:
    """Posts whose predicted tags differ, and those [tags] where a tag's decision does; means over repeats."""
    posts, tags = [], []
    for left, right in zip(one, other, strict=False):
        differ = predicted(left) != predicted(right)
        posts.append(np.count_nonzero(np.diff(differ.indptr)))
        tags.append(np.bincount(differ.indices, minlength=left.shape[1]))
    return float(np.mean(posts)), np.mean(tags, axis=0)


def predicted(decisions: csr_array) -> csr_array:
    """[posts, tags] True for each predicted tag."""
    ones = np.ones(len(decisions.indices), dtype=bool)
    return csr_array((ones, decisions.indices, decisions.indptr), shape=decisions.shape)
