"""The one search for the threshold with the best micro-F1: in training, on valid in evaluation, for every fusion.

A post gets the tags whose score is at least the threshold. Scores are between 0 and 1 and arrive in blocks. Up to EXACT
of them, a threshold just below every distinct score is tried. More are counted in bins, and a threshold is the lower
edge of a bin.
"""

from typing import NamedTuple

import numpy as np

EXACT = 2**22  # scores above 0: 20 MB
BINS = 2**20  # a threshold to six decimals. Powers of two leave a float32 exact when it is multiplied.
BELOW = 1e-6  # how far a threshold is below a score, at most: more than other programs' last digits differ


class Threshold(NamedTuple):
    value: float
    micro_f1: float


class ThresholdSearch:
    """Counts decisions, pairs of a post and a tag, by their score; accumulates over blocks.

    Up to ``exact`` scores above 0 are kept, and each of them is tried; more are counted in ``bins`` of equal width.
    """

    def __init__(self, exact: int = EXACT, bins: int = BINS) -> None:
        self.exact, self.bin_count = exact, bins
        self.held: list[tuple[np.ndarray, np.ndarray]] = []  # scores above 0, whether the posts have the tags
        self.bins: np.ndarray | None = None  # [2, bin_count + 1] decisions, and those whose tag the post has
        self.zeros = np.zeros(2, dtype=np.int64)  # the same of the decisions with a score of 0
        self.positives = 0  # decisions whose tag the post has, those without a score with them

    def update(self, scores: np.ndarray, relevant: np.ndarray, positives: int) -> None:
        """Count decisions: scores [decisions], whether the post has the tag [decisions], and how many are true in all.

        ``positives`` is more than ``relevant`` holds where only the best tags of each post have a score.
        """
        above = np.flatnonzero(scores > 0)  # under squared hinge most scores are 0
        self.held.append((scores[above], relevant[above]))
        self.zeros[0] += len(scores) - len(above)
        self.zeros[1] += np.count_nonzero(relevant) - np.count_nonzero(relevant[above])
        self.positives += positives
        if self.bins is not None or sum(len(scores) for scores, _ in self.held) > self.exact:
            self.fill_bins()

    def fill_bins(self) -> None:
        """Count the held scores in bins."""
        if self.bins is None:
            self.bins = np.zeros((2, self.bin_count + 1), dtype=np.int64)  # the last bin holds a score of 1
        for scores, relevant in self.held:
            bins = (scores * np.float32(self.bin_count)).astype(np.intp)
            np.add.at(self.bins[0], bins, 1)
            np.add.at(self.bins[1], bins[relevant], 1)
        self.held.clear()

    def curve(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Scores from the highest down; how many decisions have at least that score, and how many of these are right.

        In bins, a score is the lower edge of its bin.
        """
        if self.bins is None:
            scores, relevant = (np.concatenate(parts) for parts in zip(*self.held, strict=True))
            levels, predicted = np.unique(scores, return_counts=True)
            correct = np.bincount(np.searchsorted(levels, np.sort(scores[relevant])), minlength=len(levels))
        else:
            bins = self.bins + np.pad(self.zeros[:, None], ((0, 0), (0, self.bin_count)))  # with scores of 0
            filled = np.flatnonzero(bins[0])
            levels, (predicted, correct) = filled / self.bin_count, bins[:, filled]
        if self.zeros[0] and self.bins is None:
            levels, predicted, correct = (
                np.append(zero, values)
                for zero, values in zip((0, *self.zeros), (levels, predicted, correct), strict=True)
            )
        return levels[::-1], predicted[::-1].cumsum(), correct[::-1].cumsum()

    def below(self, scores: np.ndarray) -> np.ndarray:
        """Thresholds from which the same is predicted as from these scores of :meth:`curve`, just below each.

        If a threshold were a score, the last digit of a program's arithmetic would decide about it.
        """
        if self.bins is not None:
            return scores
        gaps = np.diff(-scores.astype(float), append=0)
        return scores - np.minimum(gaps / 2, BELOW)

    def best(self) -> Threshold:
        """The threshold with the highest micro-F1, 2 TP / (2 TP + FP + FN); of equals the highest."""
        scores, predicted, correct = self.curve()
        micro_f1 = 2 * correct / (predicted + self.positives)
        best = int(micro_f1.argmax())
        return Threshold(float(self.below(scores)[best]), float(micro_f1[best]))
