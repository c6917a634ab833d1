"""From scores to probabilities, and a threshold for each tag: both fitted on valid.

Pooled: isotonic regression of all decisions together (Zadrozny and Elkan, KDD 2002), linear between its blocks. It
keeps the order of all scores, so it changes no decision at a tuned threshold. Per tag: a slope and an intercept on the
pooled log-odds (Platt, 1999), shrunk towards 1 and 0 by a prior, which matters where posts are few.

A threshold for each tag follows from these probabilities alone (Lipton, Elkan and Narayanaswamy, ECML 2014: the best
threshold for F1 is half of the best F1). The posts of a rare tag are too few to search for its best threshold; the
probabilities of all posts are not. The thresholds are the best for the sum of micro-F1 and macro-F1: for macro-F1
alone, rare tags would cost much micro-F1.

Thresholds are found on the posts that the calibration is fitted on. Cross-fitting it over fifths of valid changed
macro-F1 by at most .0013: one curve for all tags and two regularised numbers per tag do not overfit.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from scipy.optimize import isotonic_regression
from scipy.sparse import csr_array
from scipy.special import expit, logit

from tagstudy.evaluation.blocks import Block, search_thresholds
from tagstudy.evaluation.scoring import ratio
from tagstudy.predictions.decisions import Calibration

BIN, BINS = 0.1, 500  # the width of a bin of log-odds, and how many there are, half of them below 0
APART = 0.001  # in log-odds
PRIOR = 3.0  # precision of the prior of slope and intercept: docs/tuning.md says how it was chosen
LEAST_SLOPE = 0.1
STEPS = 100  # of Newton's method, and of the search for thresholds, at most
CLOSE = 1e-7  # a change that ends them


def fit_pooled(valid: Iterable[Block], tags: int) -> Calibration:
    """The isotonic map of all decisions; between the means of its blocks, log-odds are linear.

    Two decisions are made up, a right one at a score of 0 and a wrong one at 1, so that no probability is 0 or 1.
    Before the first mean and after the last, log-odds change by APART: scores that differ stay different.
    """
    distinct, *above = search_thresholds(valid).curve()
    decisions, positives = (np.diff(counts, prepend=0)[::-1] for counts in above)
    scores = np.concatenate([[0], distinct[::-1], [1]])
    decisions, positives = np.concatenate([[1], decisions, [1]]), np.concatenate([[1], positives, [0]])
    blocks = isotonic_regression(positives / decisions, weights=decisions).blocks[:-1]
    weight, positive, total = (np.add.reduceat(part, blocks) for part in (decisions, positives, scores * decisions))
    means, log_odds = total / weight, logit(positive / weight)
    means, log_odds = np.concatenate([[0], means, [1]]), np.pad(log_odds, 1, "edge")
    log_odds[[0, -1]] += APART * np.array([-1, 1])
    return Calibration(*knots(means, log_odds), np.ones(tags), np.zeros(tags))


def knots(means: np.ndarray, log_odds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The knots, without an end point that coincides with a block's mean."""
    different = np.append(True, np.diff(means) > 0)
    return means[different], log_odds[different]


class TagScores(NamedTuple):
    """What the calibration of tags and their thresholds follow from; a cell is a bin of a tag's pooled log-odds."""

    tag: np.ndarray  # [cells]
    log_odds: np.ndarray  # [cells]
    decisions: np.ndarray  # [cells]
    positives: np.ndarray  # [tags] stored decisions whose post has the tag
    positive_log_odds: np.ndarray  # [tags] summed over these
    support: np.ndarray  # [tags] posts that have the tag, with a stored score or not

    def sum(self, values: np.ndarray) -> np.ndarray:
        """[tags] Of values [cells]."""
        return np.bincount(self.tag, weights=values, minlength=len(self.positives))


def count_scores(pooled: Calibration, valid: Iterable[Block], tags: int) -> TagScores:
    counts, positives = csr_array((tags, BINS)), csr_array((tags, BINS))
    support = np.zeros(tags, dtype=np.int64)
    for block in valid:
        bins = (pooled.pooled_log_odds(block.probabilities) / BIN).round().astype(np.int64) + BINS // 2
        places = block.logits.indices, bins.clip(0, BINS - 1)
        counts += csr_array((np.ones(len(bins)), places), shape=counts.shape)
        positives += csr_array((block.relevant.astype(float), places), shape=counts.shape)
        support += np.bincount(block.labels.indices, minlength=tags)
    centres = (np.arange(BINS) - BINS // 2) * BIN
    cells = counts.tocoo()
    return TagScores(cells.row, centres[cells.col], cells.data, positives.sum(axis=1), positives @ centres, support)


def fit_per_tag(pooled: Calibration, scores: TagScores) -> Calibration:
    """Minimise, for each tag, the log loss and the prior's penalty, by Newton's method; all tags at once."""

    def loss(slopes: np.ndarray, intercepts: np.ndarray) -> np.ndarray:
        softplus = np.logaddexp(0, slopes[scores.tag] * scores.log_odds + intercepts[scores.tag])
        fit = scores.sum(scores.decisions * softplus)
        fit -= slopes * scores.positive_log_odds + intercepts * scores.positives
        return fit + PRIOR / 2 * ((slopes - 1) ** 2 + intercepts**2)

    slopes, intercepts = pooled.slopes, pooled.intercepts
    for _ in range(STEPS):
        before = loss(slopes, intercepts)
        step = newton_step(scores, slopes, intercepts)
        size = np.ones(len(slopes))
        for _ in range(10):  # halve what overshoots; in the end leave it as it was
            new = np.maximum(slopes - size * step[0], LEAST_SLOPE), intercepts - size * step[1]
            size = np.where(loss(*new) > before + CLOSE, size / 2, size)
        better = loss(*new) <= before + CLOSE
        kept = np.where(better, new, [slopes, intercepts])
        moved = np.abs(kept - [slopes, intercepts]).max()
        slopes, intercepts = kept
        if moved < CLOSE:
            break
    return pooled._replace(slopes=slopes, intercepts=intercepts)


def newton_step(scores: TagScores, slopes: np.ndarray, intercepts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """[tags] Of slopes and of intercepts: the gradient, divided by the 2 × 2 matrix of second derivatives."""
    probabilities = expit(slopes[scores.tag] * scores.log_odds + intercepts[scores.tag])
    expected = scores.decisions * probabilities
    variance = expected * (1 - probabilities)
    slope = scores.sum(expected * scores.log_odds) - scores.positive_log_odds + PRIOR * (slopes - 1)
    intercept = scores.sum(expected) - scores.positives + PRIOR * intercepts
    one = scores.sum(variance * scores.log_odds**2) + PRIOR
    both, other = scores.sum(variance * scores.log_odds), scores.sum(variance) + PRIOR
    determinant = one * other - both**2
    return (other * slope - both * intercept) / determinant, (one * intercept - both * slope) / determinant


def thresholds_per_tag(calibration: Calibration, scores: TagScores) -> np.ndarray:
    """[tags] The thresholds of probabilities with the highest expected micro-F1 + macro-F1 on these posts.

    One more decision with probability p adds 2 p to the numerator and 1 to the denominator of an F1, so that it raises
    the sum if p is above half of a mean of micro-F1 and of the tag's F1, weighted by how much each of them moves. F1s
    and thresholds are found in turn. A tag that has neither a score nor a post gets half of micro-F1.
    """
    probabilities = expit(calibration.slopes[scores.tag] * scores.log_odds + calibration.intercepts[scores.tag])
    expected = scores.decisions * probabilities
    support = scores.sum(expected) + scores.support - scores.positives
    thresholds = np.full(len(support), 0.5)
    for _ in range(STEPS):
        decided = probabilities >= thresholds[scores.tag]
        correct, denominators = scores.sum(expected * decided), scores.sum(scores.decisions * decided) + support
        micro_f1 = 2 * correct.sum() / denominators.sum()
        weights = 1 / denominators.sum(), ratio(np.ones(len(support)), len(support) * denominators)
        best = (weights[0] * micro_f1 + weights[1] * ratio(2 * correct, denominators)) / sum(weights) / 2
        if np.abs(best - thresholds).max() < CLOSE:
            break
        thresholds = (best + thresholds) / 2  # half a step: a whole one may go to and fro
    return thresholds
