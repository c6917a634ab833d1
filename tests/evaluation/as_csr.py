"""Dense arrays as evaluation gets them: CSR matrices, and blocks of stored scores."""

import numpy as np
from scipy.sparse import csr_array

from tagstudy.evaluation.blocks import Block
from tagstudy.predictions.links import squared_hinge
from tagstudy.predictions.predictions import is_relevant


def labels_of(labels: np.ndarray) -> csr_array:
    """Labels as Corpus has them, of booleans [posts, tags]."""
    return csr_array(labels.astype(np.uint8))


def decisions_of(labels: np.ndarray, predicted: np.ndarray) -> csr_array:
    """Decisions as scoring.count takes them, of booleans [posts, tags]."""
    pattern = csr_array(predicted)
    posts = np.repeat(np.arange(len(labels)), np.diff(pattern.indptr))
    return csr_array((labels[posts, pattern.indices], pattern.indices, pattern.indptr), shape=labels.shape)


def stored(logits: np.ndarray, kept: int) -> csr_array:
    """The best tags of each post, of logits [posts, tags]."""
    best = np.sort(np.argsort(-logits, axis=1, kind="stable")[:, :kept], axis=1)
    values = np.take_along_axis(logits, best, axis=1)
    return csr_array((values.ravel(), best.ravel(), np.arange(len(logits) + 1) * best.shape[1]), shape=logits.shape)


def blocks_of(labels: np.ndarray, logits: np.ndarray, kept: int | None = None, size: int = 1000) -> list[Block]:
    """Blocks of ``size`` posts with the scores of ``kept`` tags of each post, or of all."""
    blocks = []
    for start in range(0, len(labels), size):
        here = slice(start, start + size)
        true, scores = labels_of(labels[here]), stored(logits[here], kept or labels.shape[1])
        blocks.append(Block(true, scores, squared_hinge(scores.data), is_relevant(true, scores)))
    return blocks
