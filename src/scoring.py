"""Multi-label metrics from counts, as scikit-learn defines them with `zero_division=0`.

A score whose denominator is zero (a tag that no test post has, or that is never predicted) counts as 0.
"""

from typing import NamedTuple

import numpy as np


class Counts(NamedTuple):
    """What every score follows from; adds up over batches of posts."""

    tp: np.ndarray  # [tags] posts that have the tag and get it
    fp: np.ndarray  # [tags] posts that get it and do not have it
    fn: np.ndarray  # [tags] posts that have it and do not get it
    posts: int
    exact: int  # posts whose tags are all right, none missing and none too many


def count(labels: np.ndarray, guesses: np.ndarray) -> Counts:
    """Counts for boolean [posts, tags] arrays."""
    return Counts(
        tp=(labels & guesses).sum(axis=0),
        fp=(~labels & guesses).sum(axis=0),
        fn=(labels & ~guesses).sum(axis=0),
        posts=len(labels),
        exact=int((labels == guesses).all(axis=1).sum()),
    )


def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole, and 0 where the whole is 0."""
    return np.divide(part, whole, out=np.zeros(np.shape(whole)), where=np.asarray(whole) > 0)


def by_tag(counts: Counts) -> dict[str, np.ndarray]:
    """Precision, recall and F1, each [tags]."""
    return {
        "precision": ratio(counts.tp, counts.tp + counts.fp),
        "recall": ratio(counts.tp, counts.tp + counts.fn),
        "f1": ratio(2 * counts.tp, 2 * counts.tp + counts.fp + counts.fn),
    }


def scores(counts: Counts) -> dict[str, float]:
    """The scores of one run: micro (over all decisions), macro (mean over tags), Hamming loss, subset accuracy."""
    total = Counts(counts.tp.sum(), counts.fp.sum(), counts.fn.sum(), counts.posts, counts.exact)
    return {
        **{f"micro_{name}": float(value) for name, value in by_tag(total).items()},
        **{f"macro_{name}": float(value.mean()) for name, value in by_tag(counts).items()},
        "hamming_loss": float((total.fp + total.fn) / (counts.posts * len(counts.tp))),
        "subset_accuracy": counts.exact / counts.posts,
    }


def tune_threshold(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """The threshold with the highest micro-F1, one for all tags; both arguments [posts, tags].

    A post gets the tags whose probability is at least the threshold. Every distinct probability is tried, in one sort.
    """
    order = np.argsort(-probabilities, axis=None, kind="stable")
    ranked, hits = probabilities.ravel()[order], labels.ravel()[order]
    last = np.flatnonzero(np.append(np.diff(ranked) != 0, True))  # equal probabilities fall together
    true_positives, predicted = np.cumsum(hits)[last], last + 1
    best = np.argmax(2 * true_positives / (predicted + hits.sum()))
    return float(ranked[last[best]])
