"""Between the study's evaluation and arrays [posts, tags] in memory: the benchmarks' corpora are small."""

from collections.abc import Iterator

import numpy as np
from scipy.sparse import csr_array

from tagstudy.core.corpus import Corpus
from tagstudy.evaluation.blocks import Block
from tagstudy.predictions.predictions import is_relevant
from tagstudy.predictions.thresholds import Threshold, ThresholdSearch


def read_labels(corpus: Corpus, split: str, fold: int) -> np.ndarray:
    """[posts, tags] booleans of the posts of a fold's split."""
    return corpus.labels.take(corpus.rows(split, fold)).toarray() > 0


def tune(labels: np.ndarray, y_score: np.ndarray) -> Threshold:
    """The threshold with the highest micro-F1, one for all tags.

    labels: [posts, tags] booleans
    y_score: [posts, tags] between 0 and 1
    """
    search = ThresholdSearch()
    search.update(y_score.ravel(), labels.ravel(), int(labels.sum()))
    return search.best()


def as_blocks(labels: csr_array, y_score: np.ndarray) -> Iterator[Block]:
    """What evaluation reads of a run: labels [posts, tags] and scores between 0 and 1 [posts, tags], in one block."""
    posts, tags = y_score.shape
    indices = np.tile(np.arange(tags, dtype=np.int32), posts)
    scores = csr_array((y_score.ravel(), indices, np.arange(posts + 1) * tags), shape=y_score.shape)
    yield Block(labels, scores, scores.data, is_relevant(labels, scores))
