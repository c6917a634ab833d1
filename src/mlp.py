"""The one network of the study: an input layer for bags or for matrices, then the same MLP.

    bag  [posts, columns]  → Bag (a table) ┐
    matrix [posts, columns] → Linear        ┴→ (batch norm → activation → dropout → Linear) … → logits [posts, tags]

A learned embedding (`embedding_dim`) is a first layer with no activation behind it. A TF-IDF row times the weights
of the first hidden layer is a weighted sum of their rows, so the sparse arm's table *is* its first hidden layer.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

ACTIVATIONS = {"relu": nn.ReLU, "gelu": nn.GELU, "tanh": nn.Tanh}


class Bag(nn.EmbeddingBag):
    """A linear layer over bags: weights · table + bias, with gradients only for the rows that a batch holds.

    Takes indices [entries], offsets [posts + 1] and weights [entries]; gives [posts, width].
    """

    def __init__(self, columns: int, width: int) -> None:
        super().__init__(columns, width, mode="sum", sparse=True, include_last_offset=True)
        # A word that train holds once or twice stays near its start: a small one keeps it from being noise.
        nn.init.normal_(self.weight, std=0.1)
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, indices: Tensor, offsets: Tensor, weights: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(indices, offsets, weights) + self.bias


class MLP(nn.Module):
    """Logits of every tag.

    inputs: columns of the features; outputs: tags; bag: whether the features are bags or a [posts, inputs] matrix;
    hidden: widths of the hidden layers; embedding_dim: width of a linear layer before them, or None.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        bag: bool,
        hidden: Sequence[int],
        embedding_dim: int | None,
        batch_norm: bool,
        activation: str,
        dropout: float,
    ) -> None:
        super().__init__()
        widths = [*([embedding_dim] if embedding_dim else []), *hidden, outputs]
        self.first = Bag(inputs, widths[0]) if bag else nn.Linear(inputs, widths[0])
        rest: list[nn.Module] = []
        for place, (width, following) in enumerate(pairwise(widths)):
            if batch_norm:
                rest.append(nn.BatchNorm1d(width))
            if place > 0 or not embedding_dim:
                rest.append(ACTIVATIONS[activation]())
            rest.append(nn.Dropout(dropout))
            rest.append(nn.Linear(width, following))
        self.rest = nn.Sequential(*rest)
        nn.init.zeros_(self.output_bias)

    @property
    def output_bias(self) -> Tensor:
        """[tags] What the logits are where nothing else speaks."""
        output = self.rest[-1] if len(self.rest) else self.first
        assert isinstance(output, Bag | nn.Linear)
        return output.bias

    def forward(self, *features: Tensor) -> Tensor:
        return self.rest(self.first(*features))

    def start_from_frequencies(self, frequencies: Tensor) -> None:
        """Set the output bias so that the untrained network predicts each tag's share of posts, [tags] in (0, 1)."""
        with torch.no_grad():
            self.output_bias.copy_(torch.logit(frequencies))

    def describe(self) -> str:
        """A line per layer: kind, shape of its weights, number of parameters."""
        lines = []
        for module in (self.first, *self.rest):
            count = sum(parameter.numel() for parameter in module.parameters())
            shape = " × ".join(f"{size:,}" for size in getattr(module, "weight", torch.empty(0)).shape) if count else ""
            lines.append(f"  {type(module).__name__:12}{shape:>18}{count:>14,}")
        total = sum(parameter.numel() for parameter in self.parameters())
        return "\n".join([*lines, f"  {'parameters':12}{total:>32,}"])
