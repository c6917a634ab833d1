"""The fusion of both arms: a weighted mean of their scores of the same posts, with the weight that is best on valid.

Where only one arm has stored a tag of a post, the lowest score that the other has stored of the post stands in for its
own: an upper bound. Where all tags are stored, the fusion is exact.
"""

from collections.abc import Iterable, Iterator

import numpy as np
from scipy.sparse import csr_array

from tagstudy.evaluation.blocks import Block
from tagstudy.predictions.predictions import is_relevant
from tagstudy.predictions.thresholds import Threshold, ThresholdSearch

WEIGHTS = (0.5, 0.1, 0.2, 0.3, 0.4, 0.6, 0.7, 0.8, 0.9)  # of the dense arm; of equals the first


def tune_weight(dense: Iterable[Block], sparse: Iterable[Block]) -> tuple[float, Threshold]:
    """The one of WEIGHTS with the highest micro-F1 on these posts, and the threshold that reaches it."""
    searches = {weight: ThresholdSearch() for weight in WEIGHTS}
    for blocks in map(align, dense, sparse):
        one, other = (block.probabilities for block in blocks)
        for weight, search in searches.items():
            search.update(mean(one, other, weight), blocks[0].relevant, blocks[0].labels.nnz)
    best = {weight: search.best() for weight, search in searches.items()}
    weight = max(WEIGHTS, key=lambda weight: best[weight].micro_f1)
    return weight, best[weight]


def fuse(dense: Iterable[Block], sparse: Iterable[Block], weight: float) -> Iterator[Block]:
    """Blocks of the mean of the arms' logits and of their probabilities; ``weight`` is the dense arm's."""
    for one, other in map(align, dense, sparse):
        logits = csr_array(one.logits)
        logits.data = mean(one.logits.data, other.logits.data, weight)
        yield one._replace(logits=logits, probabilities=mean(one.probabilities, other.probabilities, weight))


def mean(dense: np.ndarray, sparse: np.ndarray, weight: float) -> np.ndarray:
    return weight * dense + (1 - weight) * sparse


def align(dense: Block, sparse: Block) -> tuple[Block, Block]:
    """Blocks of the same posts, extended to the same entries: those that either of them has stored."""
    posts, tags = dense.logits.shape
    if dense.logits.nnz == sparse.logits.nnz == posts * tags:  # all of them
        return dense, sparse
    bits = [
        csr_array((np.full_like(logits.indices, bit), logits.indices, logits.indptr), shape=logits.shape)
        for bit, logits in ((1, dense.logits), (2, sparse.logits))
    ]
    union = bits[0] + bits[1]  # 1: only dense has stored the tag, 2: only sparse, 3: both
    relevant = is_relevant(dense.labels, union)
    return extend(dense, union, (union.data & 1) > 0, relevant), extend(sparse, union, (union.data & 2) > 0, relevant)


def extend(block: Block, union: csr_array, stored: np.ndarray, relevant: np.ndarray) -> Block:
    """The block with the entries of ``union``; ``stored`` [entries] are those that it has a score of."""

    def fill(values: np.ndarray) -> np.ndarray:
        lowest = np.minimum.reduceat(values, block.logits.indptr[:-1])  # a post has at least one score
        filled = np.repeat(lowest, np.diff(union.indptr))
        filled[stored] = values
        return filled

    logits = csr_array((fill(block.logits.data), union.indices, union.indptr), shape=union.shape)
    return Block(block.labels, logits, fill(block.probabilities), relevant)
