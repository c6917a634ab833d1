"""The one network of the study: an input layer for bags or for matrices, then the same MLP.

    bag    [posts, columns]                     → Bag (a table) ┐
    matrix [posts, columns], or from an encoder → Linear        ┴→ (batch norm → activation → dropout → Linear) …
                                                                        → logits [posts, tags]

A learned embedding (`embedding_dim`) is a first layer with no activation behind it. A TF-IDF row times the weights
of the first hidden layer is a weighted sum of their rows, so the sparse arm's table *is* its first hidden layer.

With a shortcut the layer below the hidden ones is wider by a column per tag, and these columns are added to the logits:
a linear model and an MLP on the same input, learned together (Wide & Deep, Cheng et al., 2016).
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor, nn
from torch.nn.functional import embedding_bag

ACTIVATIONS = {"relu": nn.ReLU, "gelu": nn.GELU, "tanh": nn.Tanh}


class WeightedSum(torch.autograd.Function):
    """CsrMatrix · table, with a sparse gradient that holds each row of the table once.

    A row's gradient is the weighted sum of the gradients of the posts that hold its word: a bag again, of posts. So
    backward is the same kernel over the transposed bags. EmbeddingBag's own sparse gradient would write a row for
    every entry of the batch, sort them and add them up.
    """

    @staticmethod
    def forward(ctx: Any, table: Tensor, indices: Tensor, offsets: Tensor, weights: Tensor) -> Tensor:
        ctx.save_for_backward(indices, offsets, weights)
        ctx.shape = table.shape
        return sum_of_rows(table, indices, offsets, weights)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        (gradient,) = gradients
        indices, offsets, weights = (saved.cpu().numpy() for saved in ctx.saved_tensors)
        posts = csr_array((weights, indices, offsets), shape=(len(offsets) - 1, ctx.shape[0])).tocsc()
        held = np.flatnonzero(np.diff(posts.indptr))
        parts = posts.indices, np.append(posts.indptr[held], posts.indptr[-1]), posts.data
        rows = sum_of_rows(gradient, *(torch.from_numpy(part).to(gradient.device) for part in parts))
        where = torch.from_numpy(held[None]).to(gradient.device)
        table = torch.sparse_coo_tensor(where, rows, ctx.shape, is_coalesced=True, check_invariants=False)
        return table, None, None, None


def sum_of_rows(table: Tensor, indices: Tensor, offsets: Tensor, weights: Tensor) -> Tensor:
    return embedding_bag(indices, table, offsets, mode="sum", per_sample_weights=weights, include_last_offset=True)


class CsrEmbedding(nn.Module):
    """A linear layer over bags: weights · table + bias, with gradients only for the rows that a batch holds.

    Takes indices [entries], offsets [posts + 1] and weights [entries]; gives [posts, width].
    """

    def __init__(self, columns: int, width: int) -> None:
        super().__init__()
        # A word that train holds once or twice stays near its start: a small one keeps it from being noise.
        self.weight = nn.Parameter(torch.empty(columns, width).normal_(std=0.1))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, indices: Tensor, offsets: Tensor, weights: Tensor) -> Tensor:
        return WeightedSum.apply(self.weight, indices, offsets, weights) + self.bias


class MLP(nn.Module):
    """Logits of every tag.

    inputs: columns of the features; outputs: tags; bag: whether the features are bags or a [posts, inputs] matrix;
    hidden: widths of the hidden layers; embedding_dim: width of a linear layer before them, or None; encoder: a module
    that makes that matrix out of whatever the features are, and learns with the network.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        bag: bool,
        hidden: Sequence[int],
        embedding_dim: int | None,
        skip_connection: bool,
        batch_norm: bool,
        activation: str,
        dropout: float,
        encoder: Any = None,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        widths = [*hidden, outputs]
        self.width = widths[0]  # of what goes on to the hidden layers; columns beyond it are the shortcut
        below = self.width + (outputs if skip_connection and hidden else 0)
        first = embedding_dim or below
        self.first = CsrEmbedding(inputs, first) if bag else nn.Linear(inputs, first)
        norm = [nn.BatchNorm1d] if batch_norm else []
        self.embedding = nn.Sequential()
        if embedding_dim:
            self.embedding.extend([*(layer(first) for layer in norm), nn.Dropout(dropout), nn.Linear(first, below)])
        self.rest = nn.Sequential()
        for width, following in pairwise(widths):
            self.rest.extend([*(layer(width) for layer in norm), ACTIVATIONS[activation](), nn.Dropout(dropout)])
            self.rest.append(nn.Linear(width, following))
        feeding = self.embedding[-1] if embedding_dim else self.first
        assert isinstance(feeding, CsrEmbedding | nn.Linear)
        weight = feeding.weight if isinstance(feeding, CsrEmbedding) else feeding.weight.T  # [inputs, outputs]
        for start in (weight[:, self.width :], feeding.bias[self.width :], self.output_bias):
            nn.init.zeros_(start)  # the shortcut adds nothing before it has learned

    @property
    def output_bias(self) -> Tensor:
        """[tags] What the logits are where nothing else speaks."""
        output = [self.first, *self.embedding, *self.rest][-1]
        assert isinstance(output, CsrEmbedding | nn.Linear)
        return output.bias

    def forward(self, *features: Tensor, mix: tuple[float, Tensor] | None = None) -> Tensor:
        """Logits [posts, tags]; with ``mix`` those of mixtures: a share of each post, the rest of another [posts].

        The first layer is linear, so what it makes of a mixture is the mixture of what it makes of the posts.
        """
        if self.encoder is not None:
            features = (self.encoder(*features),)
        first = self.first(*features)
        if mix is not None:
            share, others = mix
            first = share * first + (1 - share) * first[others]
        below = self.embedding(first)
        logits = self.rest(below[:, : self.width])
        return logits + below[:, self.width :] if below.shape[1] > self.width else logits

    def start_from(self, logits: Tensor) -> None:
        """Set the output bias, [tags], so that the untrained network predicts the same for every post."""
        with torch.no_grad():
            self.output_bias.copy_(logits)

    def multiply_adds(self, entries: float) -> float:
        """Of one post, whose bag has so many entries."""
        table = self.first.weight
        linear = [layer for layer in (*self.embedding, *self.rest) if isinstance(layer, nn.Linear)]
        first = entries * table.shape[1] if isinstance(self.first, CsrEmbedding) else table.numel()
        encoder = 0 if self.encoder is None else self.encoder.multiply_adds(np.array([entries]))
        return encoder + first + sum(layer.weight.numel() for layer in linear)

    def describe(self) -> str:
        """A line per layer: kind, shape of its weights, number of parameters."""
        lines = []
        encoder = [] if self.encoder is None else [self.encoder]
        for module in (*encoder, self.first, *self.embedding, *self.rest):
            count = sum(parameter.numel() for parameter in module.parameters())
            shape = " × ".join(f"{size:,}" for size in module.weight.shape) if hasattr(module, "weight") else ""
            lines.append(f"  {type(module).__name__:12}{shape:>18}{count:>14,}")
        total = sum(parameter.numel() for parameter in self.parameters())
        return "\n".join([*lines, f"  {'parameters':12}{total:>32,}"])
