"""The one network of the study: an input layer for CSR or for dense features, then the same MLP.

    CSR   [posts, inputs]                      → CsrEmbedding ┐
    dense [posts, inputs], or from an encoder  → Linear       ┴→ ([batch norm →] activation → dropout → Linear) …
                                                                        → logits [posts, tags]

A learned embedding (`embedding_dim`) is a first layer with no activation behind it. A TF-IDF row times the weights of
the first hidden layer is a weighted sum of their rows: the sparse arm's embedding matrix *is* its first hidden layer.

With a skip connection the layer below the hidden ones is wider: its further outputs, one a tag, bypass them and are
added to the logits. A linear model and an MLP on the same input are learned together (Wide & Deep, Cheng et al., 2016).
Over CSR features the linear model has a weight for each term and tag; where these are too many, the most frequent terms
alone have some, in a matrix of their own.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from torch import Tensor, nn, no_grad

from tagstudy.model.embedding import CsrEmbedding, FrequentTerms, SubwordEmbedding
from tagstudy.model.layers import BatchNorm1d, Dropout, Linear

ACTIVATIONS = {"relu": nn.ReLU, "gelu": nn.GELU, "tanh": nn.Tanh}


class MLP(nn.Module):
    """Logits of every tag.

    inputs: columns of the features; outputs: tags; csr: whether the features are CSR or dense; hidden: widths of the
    hidden layers; embedding_dim: width of a linear layer before them, or None; skip_connection: whether there is one;
    skip_terms: how many of the terms it is over, None for all; encoder: a module that makes dense features of its own
    and is trained with the network.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        csr: bool,
        hidden: Sequence[int],
        embedding_dim: int | None,
        skip_connection: bool,
        skip_terms: int | None = None,
        batch_norm: bool,
        activation: str,
        dropout: float,
        encoder: Any = None,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        widths = [*hidden, outputs]
        self.width = widths[0]  # of what goes on to the hidden layers; the skip connection follows
        below = self.width + (outputs if skip_connection and skip_terms is None else 0)
        first = embedding_dim or below
        self.first = CsrEmbedding(inputs, first) if csr else Linear(inputs, first)
        norm = [BatchNorm1d] if batch_norm else []
        self.embedding = nn.Sequential()
        if embedding_dim:
            self.embedding.extend([*(layer(first) for layer in norm), Dropout(dropout), Linear(first, below)])
        self.hidden = nn.Sequential()
        for width, following in pairwise(widths):
            self.hidden.extend([*(layer(width) for layer in norm), ACTIVATIONS[activation](), Dropout(dropout)])
            self.hidden.append(Linear(width, following))
        self.skip = FrequentTerms(inputs, skip_terms, outputs) if skip_connection and skip_terms is not None else None
        feeding = self.embedding[-1] if embedding_dim else self.first
        assert isinstance(feeding, CsrEmbedding | nn.Linear)
        weight = feeding.weight if isinstance(feeding, CsrEmbedding) else feeding.weight.T  # [inputs, below]
        for start in (weight[:, self.width :], feeding.bias[self.width :], self.output_bias):
            nn.init.zeros_(start)  # the skip connection adds nothing before it has learned

    @property
    def output_bias(self) -> Tensor:
        """[tags] The logits of a post without features."""
        output = [self.first, *self.embedding, *self.hidden][-1]
        assert isinstance(output, CsrEmbedding | nn.Linear)
        return output.bias

    @property
    def embedding_matrices(self) -> list[Tensor]:
        """The weights that a batch updates in part: those of the terms that it holds."""
        layers = [layer for layer in (self.first, self.skip) if isinstance(layer, CsrEmbedding | FrequentTerms)]
        ngrams = [self.first.ngram_matrix] if isinstance(self.first, SubwordEmbedding) else []
        return [*(layer.weight for layer in layers), *ngrams]

    def forward(self, *features: Tensor, mix: tuple[float, Tensor] | None = None) -> Tensor:
        """Logits [posts, tags]; with ``mix`` those of mixtures: a fraction of each post, the rest of another [posts].

        What reads the features is linear, so its output for a mixture is the mixture of its outputs.
        """
        if self.encoder is not None:
            features = (self.encoder(*features),)

        def mixed(outputs: Tensor) -> Tensor:
            if mix is None:
                return outputs
            fraction, others = mix
            return fraction * outputs + (1 - fraction) * outputs[others]

        below = self.embedding(mixed(self.first(*features)))
        logits = self.hidden(below[:, : self.width])
        if self.skip is not None:
            return logits + mixed(self.skip(*features))
        return logits + below[:, self.width :] if below.shape[1] > self.width else logits

    def predict_everywhere(self, logits: Tensor) -> None:
        """Set the output bias, [tags], so that the untrained network predicts the same for every post."""
        with no_grad():
            self.output_bias.copy_(logits)

    def parameter_count(self) -> int:
        return sum(parameter.numel() for parameter in self.parameters())

    def multiply_adds(self, entries: float) -> float:
        """Multiply-adds for one post whose features have this many entries."""
        linear = [layer for layer in (*self.embedding, *self.hidden) if isinstance(layer, nn.Linear)]
        matrix = self.first.weight
        first = entries * matrix.shape[1] if isinstance(self.first, CsrEmbedding) else matrix.numel()
        skip = 0 if self.skip is None else entries * len(self.output_bias)  # as if all its terms were frequent
        encoder = 0 if self.encoder is None else self.encoder.multiply_adds(np.array([entries]))
        return encoder + first + skip + sum(layer.weight.numel() for layer in linear)

    def describe(self) -> str:
        """A line per layer: kind, shape of its weights, number of parameters."""
        lines = []
        for module in filter(None, (self.encoder, self.first, *self.embedding, *self.hidden, self.skip)):
            count = sum(parameter.numel() for parameter in module.parameters())
            shape = " × ".join(f"{size:,}" for size in module.weight.shape) if hasattr(module, "weight") else ""
            lines.append(f"  {type(module).__name__:12}{shape:>18}{count:>14,}")
        return "\n".join([*lines, f"  {'parameters':12}{self.parameter_count():>32,}"])
