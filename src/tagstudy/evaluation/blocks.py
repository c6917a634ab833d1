"""Scores of posts, read in blocks beside their labels, and the tags that are predicted at a threshold."""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array

from tagstudy.core.store import CsrMatrix
from tagstudy.predictions.decisions import Decision
from tagstudy.predictions.predictions import is_relevant
from tagstudy.predictions.thresholds import ThresholdSearch


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


def calibrated(blocks: Iterable[Block], decision: Decision) -> Iterator[Block]:
    """Blocks with the probabilities that a system's scores stand for."""
    for block in blocks:
        yield block._replace(probabilities=decision.probabilities(block.probabilities, block.logits.indices))


def compared(blocks: Iterable[Block], decision: Decision) -> Iterator[Block]:
    """Blocks whose probabilities are replaced by values that one threshold for all tags can be compared with.

    With a threshold per tag, the value is the probability minus that threshold: a tag is predicted from 0 on. With
    ``top_k``, it is minus the tag's rank by logit.
    """
    for block in blocks:
        if decision.top is not None:
            yield block._replace(probabilities=-ranks(block.logits).astype(float))
        elif isinstance(decision.threshold, np.ndarray):
            yield block._replace(probabilities=block.probabilities - decision.threshold[block.logits.indices])
        else:
            yield block


def ranks(logits: csr_array) -> np.ndarray:
    """[entries] From 1; equal logits rank in the order of the tags."""
    posts = np.repeat(np.arange(logits.shape[0]), np.diff(logits.indptr))
    order = np.lexsort((-logits.data, posts))  # stable
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order)) - logits.indptr[posts] + 1
    return rank


def search_thresholds(blocks: Iterable[Block]) -> ThresholdSearch:
    """A search that has read all of the blocks."""
    search = ThresholdSearch()
    for block in blocks:
        search.update(block.probabilities, block.relevant, block.labels.nnz)
    return search


def decide(block: Block, threshold: float) -> csr_array:
    """[posts, tags] The tags whose probability is at least the threshold, true where the post has the tag."""
    # As float64, which is exact: a Python number would be rounded to the probabilities' float32.
    entries = np.flatnonzero(block.probabilities >= np.float64(threshold))
    offsets = np.searchsorted(entries, block.logits.indptr)
    return csr_array((block.relevant[entries], block.logits.indices[entries], offsets), shape=block.logits.shape)
