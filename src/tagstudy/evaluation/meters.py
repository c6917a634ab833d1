"""Metrics of scores that accumulate: `update` with a block of posts, then `compute`.

A block holds the scores of the stored tags of each post. A tag without a stored score is never predicted: its
probability is 0, and it stands behind all stored tags of its post.
"""

import numpy as np
import pandas as pd
from scipy.sparse import csr_array

from tagstudy.evaluation.scoring import ratio
from tagstudy.predictions.thresholds import ThresholdSearch

BINS = np.array([0, 0.05, *np.arange(1, 10) / 10])  # of probabilities: the lower edges
CUTOFFS = (1, 3, 5)  # k of precision at k
CURVE_BINS = 2**16  # of logits, for a curve to look at
RECALLS = np.arange(1, 101) / 100
CLIP = float(np.finfo(np.float32).eps)  # probabilities are clipped to [CLIP, 1 - CLIP] for the log loss
LOSSES = ("brier", "log_loss")


class Ranking:
    """For those who suggest tags: precision, recall, F1 and nDCG of the first k tags, and label-ranking average
    precision (LRAP).

    All are means over the posts that have a tag. Equal logits rank in the order of the tags. Where there are fewer than
    k tags, the first k are all of them. A post's tag without a stored score counts as not found. F1 at k is a post's
    harmonic mean of the first two. nDCG at k (Järvelin and Kekäläinen, TOIS 2002) counts a tag of the post by
    1 / log2(1 + its rank), and divides by the highest sum that the post's number of tags allows.
    """

    def __init__(self, tags: int) -> None:
        self.cutoffs = {k: min(k, tags) for k in CUTOFFS}
        self.posts = 0  # that have a tag
        self.sums = {f"{score}_at_{k}": 0.0 for score in ("precision", "recall", "f1", "ndcg") for k in CUTOFFS}
        self.sums["lrap"] = 0.0  # each summed over posts

    def update(self, labels: csr_array, logits: csr_array, relevant: np.ndarray) -> None:
        """Rank the stored tags of some posts.

        labels, logits: [posts, tags], columns in ascending order
        relevant: [entries of logits] whether the post has the tag
        """
        positives = np.diff(labels.indptr)
        self.posts += int(np.count_nonzero(positives))
        posts, ranks = relevant_ranks(logits, relevant)
        # A tag's precision: which of the post's tags it is, in the order of the ranks, divided by its rank.
        order = np.lexsort((ranks, posts))
        posts, ranks = posts[order], ranks[order]
        place = np.arange(1, len(posts) + 1) - np.searchsorted(posts, posts)
        self.sums["lrap"] += float((place / ranks / positives[posts]).sum())
        gains = 1 / np.log2(1 + np.arange(1, max(CUTOFFS) + 1))
        for k, first in self.cutoffs.items():
            within = ranks <= k
            of_post, rank = positives[posts[within]], ranks[within]
            ideal = gains.cumsum()[np.minimum(of_post, first) - 1]
            self.sums[f"precision_at_{k}"] += len(rank) / first
            self.sums[f"recall_at_{k}"] += float((1 / of_post).sum())
            self.sums[f"f1_at_{k}"] += float((2 / (first + of_post)).sum())
            self.sums[f"ndcg_at_{k}"] += float((gains[rank - 1] / ideal).sum())

    def compute(self) -> dict[str, float]:
        return {name: value / max(self.posts, 1) for name, value in self.sums.items()}


def relevant_ranks(logits: csr_array, relevant: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The post [relevant entries] and the rank in it, from 1, of each relevant entry; arguments as for Ranking."""
    stored = np.diff(logits.indptr)
    padded = np.full((logits.shape[0], stored.max(initial=0)), -np.inf, dtype=logits.dtype)
    columns = np.arange(padded.shape[1])
    padded[columns < stored[:, None]] = logits.data  # both in the order of posts, then of tags
    entries = np.flatnonzero(relevant)
    posts = np.searchsorted(logits.indptr, entries, side="right") - 1
    others, logit = padded[posts], logits.data[entries, None]
    earlier = columns < (entries - logits.indptr[posts])[:, None]
    return posts, 1 + np.count_nonzero((others > logit) | ((others == logit) & earlier), axis=1)


class Losses:
    """Brier score (Brier, 1950) and log loss (Good, 1952): proper scoring rules, lower is better.

    Brier score: the squared difference between the probability and the label (1 or 0). Log loss: minus the log of the
    probability given to the true label, clipped as scikit-learn clips a float32.
    """

    def __init__(self) -> None:
        self.posts: list[np.ndarray] = []

    def update(self, labels: csr_array, logits: csr_array, probabilities: np.ndarray, relevant: np.ndarray) -> None:
        """Add some posts.

        labels, logits: [posts, tags]; a post has at least one stored score
        probabilities, relevant: [entries of logits] the probability of a tag, and whether the post has it
        """
        given = probabilities.astype(np.float64)
        true = np.where(relevant, given, 1 - given).clip(CLIP, 1 - CLIP)
        stored = np.stack([(given - relevant) ** 2, -np.log(true)], axis=1)
        missed = np.diff(labels.indptr) - np.add.reduceat(relevant.astype(np.int64), logits.indptr[:-1])
        others = labels.shape[1] - np.diff(logits.indptr) - missed  # without a stored score, and not the post's
        sums = np.add.reduceat(stored, logits.indptr[:-1])
        sums += np.outer(missed, [1, -np.log(CLIP)]) + np.outer(others, [0, -np.log1p(-CLIP)])
        self.posts.append(sums / labels.shape[1])

    def compute(self) -> np.ndarray:
        """[posts, LOSSES] Means over tags."""
        return np.concatenate(self.posts)


class Reliability:
    """How often decisions are true, by bins of their probability; meters of several runs can be added."""

    def __init__(self) -> None:
        self.decisions = np.zeros(len(BINS), dtype=np.int64)  # pairs of a post and a tag
        self.probability = np.zeros(len(BINS))  # summed over decisions
        self.positives = np.zeros(len(BINS), dtype=np.int64)  # decisions whose post has the tag

    def update(self, labels: csr_array, probabilities: np.ndarray, relevant: np.ndarray) -> None:
        """Count the decisions of some posts.

        labels: [posts, tags]
        probabilities, relevant: [stored scores] the probability of a tag, and whether the post has it
        """
        bins = np.searchsorted(BINS, probabilities, side="right") - 1
        self.decisions += np.bincount(bins, minlength=len(BINS))
        self.probability += np.bincount(bins, weights=probabilities, minlength=len(BINS))
        self.positives += np.bincount(bins[relevant], minlength=len(BINS))
        self.decisions[0] += labels.shape[0] * labels.shape[1] - len(bins)  # without a stored score: probability 0
        self.positives[0] += labels.nnz - np.count_nonzero(relevant)

    def __add__(self, other: "Reliability") -> "Reliability":
        both = Reliability()
        for name in vars(both):
            setattr(both, name, getattr(self, name) + getattr(other, name))
        return both

    def compute(self) -> pd.DataFrame:
        """For each bin its lower edge, decisions, mean probability, the fraction that is true; 0 without decisions."""
        mean, fraction = (ratio(part, self.decisions) for part in (self.probability, self.positives))
        return pd.DataFrame({"bin": BINS, "decisions": self.decisions, "probability": mean, "fraction": fraction})

    def calibration_error(self) -> float:
        """The mean gap between probability and fraction, over decisions with a probability of .05 or more.

        Over all decisions (Naeini et al., AAAI 2015) it says little: most are easy negatives, and predicting the tag
        frequencies for every post already gives an error near 0.
        """
        bins = self.compute()[1:]
        gaps = (bins["probability"] - bins["fraction"]).abs()
        return float(ratio((gaps * bins["decisions"]).sum(), bins["decisions"].sum()))


class PrecisionRecall:
    """Precision where recall first reaches 0.01, 0.02, …, over all decisions by their logits.

    Logits are counted in CURVE_BINS bins: those in one bin count as equal.
    """

    def __init__(self) -> None:
        self.search = ThresholdSearch(exact=0, bins=CURVE_BINS)

    def update(self, logits: np.ndarray, relevant: np.ndarray, positives: int) -> None:
        """Count decisions, as :meth:`ThresholdSearch.update` does."""
        self.search.update(0.5 + logits / (2 + 2 * np.abs(logits)), relevant, positives)  # softsign: ordered, in [0, 1]

    def compute(self) -> np.ndarray:
        """[RECALLS] NaN where the stored scores do not reach the recall."""
        _, predicted, correct = self.search.curve()
        needed = -(-np.arange(1, len(RECALLS) + 1) * self.search.positives // len(RECALLS))  # rounded up, exactly
        reached = np.searchsorted(correct, needed)
        return np.append(correct / predicted, np.nan)[reached]
