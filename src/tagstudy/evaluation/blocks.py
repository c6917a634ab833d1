"""Scores of posts, read in blocks beside their labels, and the tags that are predicted at a threshold."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array

from tagstudy.core.store import CsrMatrix
from tagstudy.predictions.predictions import is_relevant


class Block(NamedTuple):
    """The stored scores of some posts; an entry is a pair of a post and one of its best tags."""

    labels: csr_array  # [posts, tags]
    logits: csr_array  # [posts, tags]
    probabilities: np.ndarray  # [entries]
    relevant: np.ndarray  # [entries] whether the post has the tag


def read_blocks(labels: csr_array, run: CsrMatrix, probability: Callable[[np.ndarray], np.ndarray]) -> Iterator[Block]:
    """A run's scores of a split; ``labels`` [posts, tags] are those of the split's posts."""
    start = 0
    for logits in run.blocks():
        block = labels[start : start + logits.shape[0]]
        yield Block(block, logits, probability(logits.data), is_relevant(block, logits))
        start += logits.shape[0]


def decide(block: Block, threshold: float) -> csr_array:
    """[posts, tags] The tags whose probability is at least the threshold, true where the post has the tag."""
    entries = np.flatnonzero(block.probabilities >= threshold)
    offsets = np.searchsorted(entries, block.logits.indptr)
    return csr_array((block.relevant[entries], block.logits.indices[entries], offsets), shape=block.logits.shape)
