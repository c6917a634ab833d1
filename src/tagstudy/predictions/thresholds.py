"""The one search for the threshold with the best micro-F1: in training, on valid in evaluation, for every fusion.

A post gets the tags whose score is at least the threshold. Scores are between 0 and 1 and counted in bins, so that
decisions of any number of posts pass in blocks. A threshold is the lower edge of a bin.
"""

from typing import NamedTuple

import numpy as np

FINE = 2**20  # bins: a threshold to six decimals. Powers of two leave a float32 exact when it is multiplied.


class Threshold(NamedTuple):
    value: float
    micro_f1: float


class ThresholdSearch:
    """Counts decisions, pairs of a post and a tag, by their score; accumulates over blocks."""

    def __init__(self, bins: int = FINE) -> None:
        self.bins = bins
        self.predicted = np.zeros(bins + 1, dtype=np.int64)  # decisions in each bin; the last one holds a score of 1
        self.correct = np.zeros(bins + 1, dtype=np.int64)  # those whose tag the post has
        self.positives = 0  # decisions whose tag the post has, those without a score with them

    def update(self, scores: np.ndarray, relevant: np.ndarray, positives: int) -> None:
        """Count decisions: scores [decisions], whether the post has the tag [decisions], and how many it should have.

        ``positives`` is more than ``relevant`` holds where only the best tags of each post have a score.
        """
        place = (scores * np.float32(self.bins)).astype(np.int32)
        self.predicted += np.bincount(place, minlength=self.bins + 1)
        self.correct += np.bincount(place[relevant], minlength=self.bins + 1)
        self.positives += positives

    def curve(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Thresholds from the highest down; how many tags each predicts, and how many of these are right."""
        predicted, correct = (counts[::-1].cumsum() for counts in (self.predicted, self.correct))
        return np.arange(self.bins, -1, -1) / self.bins, predicted, correct

    def best(self) -> Threshold:
        """The threshold with the highest micro-F1, 2 TP / (2 TP + FP + FN); of equals the highest."""
        thresholds, predicted, correct = self.curve()
        micro_f1 = 2 * correct / np.maximum(predicted + self.positives, 1)
        best = int(micro_f1.argmax())
        return Threshold(float(thresholds[best]), float(micro_f1[best]))
