"""The scores of a run at each of several thresholds, on posts that may be weighted.

Thresholds are tuned on valid, one for each of COMPARED. A resample is a weight for each post (how often it was drawn);
one sparse product gives the counts of many resamples.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array

from tagstudy.evaluation.blocks import Block, search_thresholds
from tagstudy.evaluation.scoring import COMPARED, Counts, measure
from tagstudy.predictions.thresholds import Threshold

LOWER_IS_BETTER = np.array([metric == "hamming_loss" for metric in COMPARED])
# Candidates predict between a thirtieth and four times as many tags as the best threshold for micro-F1. Where that is
# low, Hamming loss and subset accuracy want far fewer tags, or hardly one; there, wider steps do.
RATIOS = 2 ** np.concatenate([np.arange(-20, -4) / 4, np.arange(-8, 17) / 8])
# On resampled posts the best threshold is near that on all of them: at most so many candidates lower (a factor of 1.7).
NEAR = 6


def candidate_thresholds(valid: Iterable[Block]) -> np.ndarray:
    """Thresholds from the highest down; the best for micro-F1 on valid is one of them."""
    search = search_thresholds(valid)
    best: Threshold = search.best()
    scores, predicted, _ = search.curve()
    thresholds = search.below(scores)[scores > 0]  # at 0 every stored tag would be predicted
    at_best = predicted[np.searchsorted(-thresholds, -best.value)]
    places = np.searchsorted(predicted, RATIOS * at_best)
    return np.unique([best.value, *thresholds[:1], *thresholds[places[places < len(thresholds)]]])[::-1]


class Outcomes:
    """What a run gets right and wrong on a split at each of some thresholds, from the highest down."""

    def __init__(self, labels: csr_array, blocks: Iterable[Block], thresholds: Sequence[float] | np.ndarray) -> None:
        """``labels`` [posts, tags] are those of all of the blocks."""
        self.posts, self.tags = labels.shape
        self.thresholds = len(thresholds)
        self.labels = csr_array(labels.T, dtype=np.float32)
        # For each threshold a row for each kind of outcome: right and wrong decisions by tag, exact posts.
        kinds = 2 * self.tags + 1
        ascending = np.asarray(thresholds)[::-1]
        rows, columns, values, start = [], [], [], 0
        for block in blocks:
            # The first threshold that a decision passes.
            first = self.thresholds - np.searchsorted(ascending, block.probabilities, side="right")
            passing = np.flatnonzero(first < self.thresholds)
            post = np.searchsorted(block.logits.indptr, passing, side="right") - 1
            kind = block.logits.indices[passing] + self.tags * ~block.relevant[passing]
            exact = exact_changes(block, passing, post, first[passing], self.thresholds)
            rows += [np.int32(first[passing] * kinds + kind), np.int32(exact.at * kinds + kinds - 1)]
            columns += [np.int32(start + post), np.int32(start + exact.post)]
            values += [np.ones(len(passing), dtype=np.float32), exact.change]
            start += block.labels.shape[0]
        shape = (self.thresholds * kinds, self.posts)
        entries = np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))
        self.matrix = csr_array(entries, shape=shape, dtype=np.float32)

    def keep(self, thresholds: int) -> None:
        """Forget all but the first thresholds."""
        self.matrix = self.matrix[: self.matrix.shape[0] // self.thresholds * thresholds]
        self.thresholds = thresholds

    def totals(self) -> Counts:
        """[thresholds, 1, tags] The counts of all posts, each once, in float64: their sums over tags are exact, too."""
        return Counts(*(np.asarray(part, float) for part in self.counts(np.ones((self.posts, 1), dtype=np.float32))))

    def counts(self, weights: np.ndarray) -> Counts:
        """[thresholds, resamples, tags] The counts of weighted posts; ``weights`` [posts, resamples] float32.

        Sums of weights are exact up to 2**24 posts.
        """
        counts = (self.matrix @ weights).reshape(self.thresholds, -1, weights.shape[1])
        for above, here in pairwise(counts):
            here += above  # many times as fast as cumsum
        counts = counts.transpose(0, 2, 1)
        tp, fp, exact = counts[..., : self.tags], counts[..., self.tags : -1], counts[..., -1]
        return Counts(tp, fp, (self.labels @ weights).T - tp, weights.sum(axis=0), exact)


class ExactChanges(NamedTuple):
    """Where a post's prediction becomes exact, going down the thresholds, and where it stops; each [changes]."""

    post: np.ndarray
    at: np.ndarray  # the number of the threshold
    change: np.ndarray  # 1 or -1


def exact_changes(
    block: Block, passing: np.ndarray, post: np.ndarray, first: np.ndarray, thresholds: int
) -> ExactChanges:
    """A post is exact from where its last right tag is predicted to before its first wrong one is.

    ``passing`` [decisions] are places in the block's entries, ``post`` and ``first`` their posts and first thresholds.
    """
    posts = block.labels.shape[0]
    right = block.relevant[passing]
    hits = np.bincount(post[right], minlength=posts)
    begin = np.zeros(posts, dtype=np.int64)
    np.maximum.at(begin, post[right], first[right])
    begin[hits < np.diff(block.labels.indptr)] = thresholds  # a tag of the post is never predicted
    end = np.full(posts, thresholds)
    np.minimum.at(end, post[~right], first[~right])
    exact = np.flatnonzero(begin < end)
    ceasing = exact[end[exact] < thresholds]
    at = np.concatenate([begin[exact], end[ceasing]])
    change = np.repeat(np.array([1, -1], dtype=np.float32), [len(exact), len(ceasing)])
    return ExactChanges(np.concatenate([exact, ceasing]), at, change)


def best_thresholds(valid: Counts) -> np.ndarray:
    """[metrics, resamples] The number of the best threshold for each of COMPARED; of equals the highest threshold.

    ``valid`` are the counts that :meth:`Outcomes.counts` gives.
    """
    scores = measure(valid)  # [thresholds, resamples, metrics]
    return np.where(LOWER_IS_BETTER, -scores, scores).argmax(axis=0).T


def at_thresholds(test: Counts, chosen: np.ndarray) -> list[Counts]:
    """For each of COMPARED the counts [resamples, tags] at its threshold; ``chosen`` [metrics, resamples]."""
    resamples = np.arange(chosen.shape[1])
    tp, fp, fn, posts, exact = test
    return [
        Counts(tp[best, resamples], fp[best, resamples], fn[best, resamples], posts, exact[best, resamples])
        for best in chosen
    ]
