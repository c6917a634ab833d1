"""Multi-label scores from counts, as scikit-learn defines them with `zero_division=0`.

A score whose denominator is zero (a tag that no test post has, or that is never predicted) counts as 0.
"""

from collections.abc import Sequence
from operator import add
from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array

COMPARED = ("micro_f1", "macro_f1", "hamming_loss", "subset_accuracy")  # that arms are compared by


class Counts(NamedTuple):
    """What the scores of predicted tags follow from; adds up over blocks of posts. Axes in front stand for runs."""

    tp: np.ndarray  # [..., tags] posts that have the tag and get it
    fp: np.ndarray  # [..., tags] posts that get the tag and do not have it
    fn: np.ndarray  # [..., tags] posts that have the tag and do not get it
    posts: int | np.ndarray  # how many, or [...] the sum of their weights
    exact: np.ndarray  # [...] posts whose predicted tags are exactly theirs

    def __add__(self, other: "Counts") -> "Counts":  # type: ignore[override]
        """The counts of both together."""
        return Counts(*map(add, self, other))


def count_outcomes(labels: csr_array, decisions: csr_array) -> Counts:
    """The counts of some posts.

    labels: [posts, tags], an entry for each tag of a post
    decisions: [posts, tags] booleans, an entry for each predicted tag, true where the post has the tag
    """
    posts, tags = labels.shape
    tp, predicted, support = (
        np.bincount(indices, minlength=tags)
        for indices in (decisions.indices[decisions.data], decisions.indices, labels.indices)
    )
    return Counts(tp, predicted - tp, support - tp, posts, is_exact(labels, decisions).sum())


def is_exact(labels: csr_array, decisions: csr_array) -> np.ndarray:
    """[posts] Whether the predicted tags are exactly the post's; arguments as for :func:`count_outcomes`."""
    right = np.concatenate([[0], decisions.data.cumsum()])[decisions.indptr]
    per_post = [np.diff(offsets) for offsets in (right, decisions.indptr, labels.indptr)]
    return (per_post[0] == per_post[1]) & (per_post[1] == per_post[2])


def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole, and 0 where the whole is 0."""
    return np.divide(part, whole, out=np.zeros(np.shape(whole)), where=np.asarray(whole) > 0)[()]  # a number, not 0-d


def f1(counts: Counts) -> np.ndarray:
    """[..., tags] F1 of every tag, the harmonic mean of precision and recall."""
    return ratio(2 * counts.tp, 2 * counts.tp + counts.fp + counts.fn)


def by_tag(counts: Counts) -> dict[str, np.ndarray]:
    """Precision, recall and F1, each [..., tags]."""
    return {
        "precision": ratio(counts.tp, counts.tp + counts.fp),
        "recall": ratio(counts.tp, counts.tp + counts.fn),
        "f1": f1(counts),
    }


def total(counts: Counts) -> Counts:
    """Summed over tags: the micro-averaged scores follow from it."""
    tp, fp, fn = (part.sum(axis=-1) for part in (counts.tp, counts.fp, counts.fn))
    return counts._replace(tp=tp, fp=fp, fn=fn)


def hamming_loss(counts: Counts) -> np.ndarray:
    """[...] The fraction of all decisions, pairs of a post and a tag, that are wrong."""
    summed = total(counts)
    return (summed.fp + summed.fn) / (counts.posts * counts.tp.shape[-1])


def measure(counts: Counts) -> np.ndarray:
    """[..., metrics] Each of COMPARED."""
    values = [f1(total(counts)), f1(counts).mean(axis=-1), hamming_loss(counts), counts.exact / counts.posts]
    return np.stack(np.broadcast_arrays(*values), axis=-1)


def scores(by_metric: Sequence[Counts]) -> dict[str, np.ndarray]:
    """The scores of a run: micro (over all decisions), macro (mean over tags), Hamming loss, subset accuracy.

    ``by_metric`` are the counts at the threshold tuned for each of COMPARED. ``macro_f1_tested`` is the mean over the
    tags that a post has; in ``macro_f1`` the others count as 0.
    """
    micro, macro, hamming, subset = by_metric
    return {
        **{f"micro_{name}": value for name, value in by_tag(total(micro)).items()},
        **{f"macro_{name}": value.mean(axis=-1) for name, value in by_tag(macro).items()},
        "macro_f1_tested": ratio(f1(macro).sum(axis=-1), (macro.tp + macro.fn > 0).sum(axis=-1)),
        "hamming_loss": hamming_loss(hamming),
        "subset_accuracy": subset.exact / subset.posts,
    }
