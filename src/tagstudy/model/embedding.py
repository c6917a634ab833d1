"""The first layer over CSR features: an EmbeddingBag whose sparse gradient holds each row of the matrix once."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import embedding_bag


class WeightedSum(torch.autograd.Function):
    """CSR features · embedding matrix.

    The gradient of a row is the weighted sum of the gradients of the posts that hold its word: an embedding bag again,
    over the transposed batch. EmbeddingBag's own backward would write a row for every entry of the batch, for the
    optimizer to sort and add up. Everything stays on the device.
    """

    @staticmethod
    def forward(ctx: Any, matrix: Tensor, indices: Tensor, offsets: Tensor, weights: Tensor) -> Tensor:
        ctx.save_for_backward(indices, offsets, weights)
        ctx.shape = matrix.shape
        return sum_rows(matrix, indices, offsets, weights)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        indices, offsets, weights = ctx.saved_tensors
        posts = torch.repeat_interleave(torch.arange(len(offsets) - 1, device=offsets.device), offsets.diff())
        ordered, order = torch.sort(indices, stable=True)
        rows, counts = torch.unique_consecutive(ordered, return_counts=True)
        ends = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
        values = sum_rows(gradients[0], posts[order], ends, weights[order])
        gradient = torch.sparse_coo_tensor(rows[None], values, ctx.shape, is_coalesced=True, check_invariants=False)
        return gradient, None, None, None


def sum_rows(matrix: Tensor, indices: Tensor, offsets: Tensor, weights: Tensor) -> Tensor:
    return embedding_bag(indices, matrix, offsets, mode="sum", per_sample_weights=weights, include_last_offset=True)


class CsrEmbedding(nn.EmbeddingBag):
    """A linear layer over CSR features: features · matrix + bias, with gradients only for the rows that a batch holds.

    Takes indices [entries], offsets [posts + 1] and weights [entries]; gives [posts, width].
    """

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__(inputs, width, mode="sum", sparse=True, include_last_offset=True)
        self.bias = nn.Parameter(torch.zeros(width))

    def reset_parameters(self) -> None:
        # A word that train holds once or twice stays near its initialisation: a small one keeps it from being noise.
        nn.init.normal_(self.weight, std=0.1)

    def forward(self, indices: Tensor, offsets: Tensor, weights: Tensor) -> Tensor:  # type: ignore[override]
        return WeightedSum.apply(self.weight, indices, offsets, weights) + self.bias


class FrequentTerms(nn.Module):
    """A linear layer over the most frequent terms of CSR features; it starts at 0 and has no bias.

    Takes what :class:`CsrEmbedding` takes; gives [posts, width].
    """

    row: Tensor  # [inputs] the row of each column in the matrix; -1 where the term has none

    def __init__(self, inputs: int, terms: int, width: int) -> None:
        super().__init__()
        self.register_buffer("row", torch.full((inputs,), -1, dtype=torch.int32))
        self.weight = nn.Parameter(torch.zeros(terms, width))

    def choose(self, frequencies: np.ndarray) -> None:
        """Give a row to each of the most frequent terms; ``frequencies`` [inputs]. Ties go to the first."""
        terms = len(self.weight)
        most_frequent = np.sort(np.argsort(-frequencies, kind="stable")[:terms])
        self.row[torch.from_numpy(most_frequent)] = torch.arange(terms, dtype=torch.int32)

    def forward(self, indices: Tensor, offsets: Tensor, weights: Tensor) -> Tensor:
        rows = self.row[indices]
        kept = rows >= 0
        before = torch.cat([offsets.new_zeros(1), kept.cumsum(0, dtype=offsets.dtype)])  # kept entries before each
        return WeightedSum.apply(self.weight, rows[kept], before[offsets], weights[kept])
