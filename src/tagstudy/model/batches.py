"""Batches of posts as the network takes them, and the noise that training adds: word dropout and mixup."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from tagstudy.core.store import BLOCK, CsrMatrix, DenseMatrix


class Posts(NamedTuple):
    """Some posts of a corpus: their features and labels on disk."""

    features: CsrMatrix | DenseMatrix  # of all posts
    labels: CsrMatrix  # of all posts [posts, tags]
    rows: np.ndarray  # which posts

    def __len__(self) -> int:
        return len(self.rows)

    def sample(self, posts: int) -> "Posts":
        """About so many of them, at equal distances."""
        return Posts(self.features, self.labels, self.rows[:: max(1, len(self) // posts)])

    def features_of(self, chosen: np.ndarray) -> tuple[np.ndarray, ...]:
        """What the first layer takes, for posts by their place in ``rows``."""
        return self.features.batch(self.rows[chosen])

    def labels_of(self, chosen: np.ndarray) -> Tensor:
        """[posts, tags] 0 or 1, float32."""
        indices, offsets, _ = self.labels.batch(self.rows[chosen])
        dense = np.zeros((len(chosen), self.labels.shape[1]), dtype=np.float32)
        dense[np.repeat(np.arange(len(chosen)), np.diff(offsets)), indices] = 1
        return torch.from_numpy(dense)

    def positives(self) -> np.ndarray:
        """[tags] How many of the posts have each tag."""
        return column_frequencies(self.labels, self.rows)

    def term_frequencies(self) -> np.ndarray:
        """[inputs] How many of the posts hold each column of CSR features."""
        assert isinstance(self.features, CsrMatrix)
        return column_frequencies(self.features, self.rows)

    def entries_per_post(self) -> float:
        """How many entries the features of a post have on average."""
        if isinstance(self.features, DenseMatrix):
            return self.features.shape[1]
        return float(np.mean(self.features.indptr[self.rows + 1] - self.features.indptr[self.rows]))


def column_frequencies(matrix: CsrMatrix, rows: np.ndarray) -> np.ndarray:
    """[columns] In how many of some rows each column has an entry."""
    frequencies = np.zeros(matrix.shape[1], dtype=np.int64)
    for start in range(0, len(rows), BLOCK):
        indices, _, _ = matrix.batch(rows[start : start + BLOCK])
        np.add.at(frequencies, indices, 1)
    return frequencies


def drop_words(batch: tuple[np.ndarray, ...], fraction: float, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Dropout on the input: a random ``fraction`` of the words, or of the entries of dense features, is set to 0.

    The others are scaled up in turn.
    """
    *where, weights = batch
    if not fraction:
        return batch
    kept = rng.random(weights.shape, dtype=np.float32) >= fraction
    return *where, weights * kept / np.float32(1 - fraction)


def part_of(batch: tuple[np.ndarray, ...], share: slice) -> tuple[np.ndarray, ...]:
    """The features of the posts of a batch that are this process's."""
    if len(batch) == 1:
        return (batch[0][share],)
    indices, offsets, weights = batch
    offsets = offsets[share.start : share.stop + 1]
    entries = slice(offsets[0], offsets[-1])
    return indices[entries], offsets - offsets[0], weights[entries]


def draw_mixup(posts: int, share: slice, mixup: float, rng: np.random.Generator) -> tuple[float, Tensor] | None:
    """The fraction that each post keeps, and the posts that the rest comes from (Zhang et al., mixup, 2018).

    All processes draw the same permutation of the batch. Each takes its ``share`` of it and replaces the entries by
    their ranks, so that its own posts are mixed; with one process that is the permutation itself.
    """
    if not mixup:
        return None
    return rng.beta(mixup, mixup), torch.from_numpy(rng.permutation(posts)[share].argsort().argsort())


def to(device: torch.device, batch: tuple[np.ndarray, ...]) -> tuple[Tensor, ...]:
    return tuple(torch.from_numpy(part).to(device) for part in batch)
