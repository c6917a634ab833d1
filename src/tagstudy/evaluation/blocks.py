"""Scores of posts, read in blocks beside their labels; the tags that a run predicts, and its scores on them."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from scipy.sparse import csr_array, vstack

from tagstudy.core.store import CsrMatrix
from tagstudy.evaluation import scoring
from tagstudy.evaluation.meters import PrecisionRecall, Ranking, Reliability
from tagstudy.predictions.predictions import is_relevant
from tagstudy.predictions.thresholds import Threshold, ThresholdSearch


class Block(NamedTuple):
    """The stored scores of some posts; an entry is a pair of a post and one of its best tags."""

    labels: csr_array  # [posts, tags]
    logits: csr_array  # [posts, tags]
    probabilities: np.ndarray  # [entries]
    relevant: np.ndarray  # [entries] whether the post has the tag


class Run(NamedTuple):
    """What evaluation keeps of a run on test."""

    scores: dict[str, Any]
    counts: scoring.Counts
    decisions: csr_array  # [posts, tags] booleans, an entry for each predicted tag, true where the post has it
    reliability: Reliability
    precision: np.ndarray  # [RECALLS]


def read_blocks(labels: csr_array, run: CsrMatrix, probability: Callable[[np.ndarray], np.ndarray]) -> Iterator[Block]:
    """A run's scores of a split; ``labels`` [posts, tags] are those of the split's posts."""
    start = 0
    for logits in run.blocks():
        block = labels[start : start + logits.shape[0]]
        yield Block(block, logits, probability(logits.data), is_relevant(block, logits))
        start += logits.shape[0]


def tune(blocks: Iterable[Block]) -> Threshold:
    """The threshold with the best micro-F1, one for all tags."""
    search = ThresholdSearch()
    for block in blocks:
        search.update(block.probabilities, block.relevant, block.labels.nnz)
    return search.best()


def decide(block: Block, threshold: float) -> csr_array:
    """[posts, tags] The tags whose probability is at least the threshold, true where the post has the tag."""
    entries = np.flatnonzero(block.probabilities >= threshold)
    offsets = np.searchsorted(entries, block.logits.indptr)
    return csr_array((block.relevant[entries], block.logits.indices[entries], offsets), shape=block.logits.shape)


def assess(labels: csr_array, blocks: Iterable[Block], threshold: float) -> Run:
    """Score a run on a split; ``labels`` [posts, tags] are those of all of the blocks."""
    ranking, reliability, precision_recall = Ranking(labels.shape[1]), Reliability(), PrecisionRecall()
    parts = []
    for block in blocks:
        parts.append(decide(block, threshold))
        ranking.update(block.labels, block.logits, block.relevant)
        reliability.update(block.labels, block.probabilities, block.relevant)
        precision_recall.update(block.logits.data, block.relevant, block.labels.nnz)
    decisions = vstack(parts, format="csr")
    counts = scoring.count(labels, decisions)
    scores = {
        "threshold": threshold,
        **scoring.scores(counts),
        **ranking.compute(),
        "calibration_error": reliability.calibration_error(),
    }
    return Run(scores, counts, decisions, reliability, precision_recall.compute())
