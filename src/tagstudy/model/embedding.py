"""The first layer over CSR features: an EmbeddingBag whose sparse gradient holds each row of the matrix once."""

from typing import Any

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
