"""Multi-label scores: from counts, as scikit-learn defines them with `zero_division=0`, and from rankings.

A score whose denominator is zero (a tag that no test post has, or that is never predicted) counts as 0.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd

BINS = 10  # of probabilities, all of the same width


class Counts(NamedTuple):
    """What the scores of guesses follow from; adds up over batches of posts. Counts of many runs have axes in front."""

    tp: np.ndarray  # [..., tags] posts that have the tag and get it
    fp: np.ndarray  # [..., tags] posts that get it and do not have it
    fn: np.ndarray  # [..., tags] posts that have it and do not get it
    posts: int
    exact: np.ndarray  # [...] posts whose tags are all right, none missing and none too many


def count(labels: np.ndarray, guesses: np.ndarray) -> Counts:
    """Counts for boolean [posts, tags] arrays."""
    return Counts(
        tp=(labels & guesses).sum(axis=0),
        fp=(~labels & guesses).sum(axis=0),
        fn=(labels & ~guesses).sum(axis=0),
        posts=len(labels),
        exact=(labels == guesses).all(axis=1).sum(),
    )


def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole, and 0 where the whole is 0."""
    return np.divide(part, whole, out=np.zeros(np.shape(whole)), where=np.asarray(whole) > 0)[()]  # a number, not 0-d


def by_tag(counts: Counts) -> dict[str, np.ndarray]:
    """Precision, recall and F1, each [..., tags]."""
    return {
        "precision": ratio(counts.tp, counts.tp + counts.fp),
        "recall": ratio(counts.tp, counts.tp + counts.fn),
        "f1": ratio(2 * counts.tp, 2 * counts.tp + counts.fp + counts.fn),
    }


def scores(counts: Counts) -> dict[str, np.ndarray]:
    """The scores of a run, each [...]: micro (over all decisions), macro (mean over tags), Hamming, subset accuracy."""
    tp, fp, fn = (part.sum(axis=-1) for part in (counts.tp, counts.fp, counts.fn))
    return {
        **{f"micro_{name}": value for name, value in by_tag(counts._replace(tp=tp, fp=fp, fn=fn)).items()},
        **{f"macro_{name}": value.mean(axis=-1) for name, value in by_tag(counts).items()},
        "hamming_loss": (fp + fn) / (counts.posts * counts.tp.shape[-1]),
        "subset_accuracy": counts.exact / counts.posts,
    }


def best_threshold(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """The threshold with the highest micro-F1, one for all tags; both arguments [posts, tags].

    A post gets the tags whose probability is at least the threshold. Every distinct probability is tried, in one sort.
    """
    curve = precision_recall(labels, probabilities)
    return float(curve["threshold"][micro_f1(labels, curve).idxmax()])


def best_micro_f1(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """The micro-F1 at that threshold."""
    return float(micro_f1(labels, precision_recall(labels, probabilities)).max())


def micro_f1(labels: np.ndarray, curve: pd.DataFrame) -> pd.Series:
    """At each threshold of :func:`precision_recall`."""
    return 2 * curve["tp"] / (curve["given"] + labels.sum())


def precision_recall(labels: np.ndarray, found: np.ndarray) -> pd.DataFrame:
    """At every threshold, from the highest: how many tags are given, and how many of them are right (tp).

    ``found`` [posts, tags] are probabilities or logits: only their order counts.
    """
    threshold, given = np.unique(found, return_counts=True)  # from the lowest
    below = np.searchsorted(np.sort(found[labels]), threshold)
    counts = {"threshold": threshold, "given": given[::-1].cumsum()[::-1], "tp": labels.sum() - below}
    return pd.DataFrame(counts)[::-1].reset_index(drop=True)


def ranking(labels: np.ndarray, logits: np.ndarray) -> dict[str, float]:
    """For those who suggest tags: precision of the first 1, 3 and 5, and label-ranking average precision (LRAP).

    Both arguments are [posts, tags]. Posts without a tag count in none of them; equal logits stay in the order of the
    tags. Where there are fewer than k tags, the first k are all of them.
    """
    tagged = labels.any(axis=1)
    order = np.argsort(-logits[tagged], axis=1, kind="stable")
    hits = np.take_along_axis(labels[tagged], order, axis=1)
    precision = hits.cumsum(axis=1) / np.arange(1, labels.shape[1] + 1)  # of the first 1, 2, …
    average = ratio((precision * hits).sum(axis=1), hits.sum(axis=1))
    at = {f"precision_at_{k}": precision[:, min(k, labels.shape[1]) - 1] for k in (1, 3, 5)}
    return {name: float(value.mean()) if len(value) else 0.0 for name, value in (at | {"lrap": average}).items()}


def reliability(labels: np.ndarray, probabilities: np.ndarray) -> pd.DataFrame:
    """For each bin of probabilities: how many decisions (posts × tags), their mean probability, the share that is true.

    A bin without any has a mean and a share of 0.
    """
    bins = np.minimum((probabilities * BINS).astype(np.int64), BINS - 1).ravel()
    decisions = np.bincount(bins, minlength=BINS)
    sums = (np.bincount(bins, weights=of.ravel(), minlength=BINS) for of in (probabilities, labels))
    mean, share = (ratio(of, decisions) for of in sums)
    return pd.DataFrame({"bin": np.arange(BINS) / BINS, "decisions": decisions, "probability": mean, "share": share})


def calibration_error(bins: pd.DataFrame) -> float:
    """Expected calibration error (Naeini et al., AAAI 2015): mean gap of a decision's bin between its two columns."""
    gaps = (bins["probability"] - bins["share"]).abs()
    return float((gaps * bins["decisions"]).sum() / bins["decisions"].sum())
