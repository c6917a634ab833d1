"""The first layer over CSR features: an EmbeddingBag whose sparse gradient holds each row of the matrix once."""

from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor, nn
from torch.nn.functional import embedding_bag


class WeightedSum(torch.autograd.Function):
    """CSR features · embedding matrix. Everything stays on the device."""

    @staticmethod
    def forward(ctx: Any, matrix: Tensor, *batch: Tensor) -> Tensor:
        ctx.save_for_backward(*batch)
        ctx.shape = matrix.shape
        return sum_rows(matrix, *batch)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        return sparse(*row_gradients(gradients[0], *ctx.saved_tensors), ctx.shape), None, None, None


class SubwordSum(torch.autograd.Function):
    """CSR features · (matrix + its n-grams · their matrix), of which only the rows that a batch holds are computed."""

    @staticmethod
    def forward(ctx: Any, matrix: Tensor, ngram_matrix: Tensor, ngrams_of: "Ngrams", *batch: Tensor) -> Tensor:
        words, place = torch.unique(batch[0], return_inverse=True)
        ngrams = ngrams_of(words)
        ctx.save_for_backward(*batch, *ngrams)
        ctx.shapes = matrix.shape, ngram_matrix.shape
        rows = matrix[words] + sum_rows(ngram_matrix, *ngrams)
        return sum_rows(rows, place.to(batch[0].dtype), *batch[1:])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        batch, ngrams = ctx.saved_tensors[:3], ctx.saved_tensors[3:]
        words, values = row_gradients(gradients[0], *batch)  # the words are those of forward, in the same order
        rows, ngram_values = row_gradients(values, *ngrams)
        matrix, ngram_matrix = ctx.shapes
        return sparse(words, values, matrix), sparse(rows, ngram_values, ngram_matrix), None, None, None, None


def row_gradients(gradient: Tensor, indices: Tensor, offsets: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Which rows of a matrix a batch holds, in ascending order, and their gradients [rows, width].

    gradient: [posts, width], of the weighted sums of rows

    A row's is the weighted sum of the gradients of the posts that hold it: an embedding bag again, over the transposed
    batch. EmbeddingBag's own backward would write a row for every entry of the batch, for the optimizer to sort and add
    up.
    """
    posts = torch.repeat_interleave(torch.arange(len(offsets) - 1, device=offsets.device), offsets.diff())
    ordered, order = torch.sort(indices, stable=True)
    rows, counts = torch.unique_consecutive(ordered, return_counts=True)
    ends = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
    return rows, sum_rows(gradient, posts[order], ends, weights[order])


def sparse(rows: Tensor, values: Tensor, shape: torch.Size) -> Tensor:
    """A gradient with these rows, each of them once."""
    return torch.sparse_coo_tensor(rows[None], values, shape, is_coalesced=True, check_invariants=False)


def sum_rows(matrix: Tensor, indices: Tensor, offsets: Tensor, weights: Tensor) -> Tensor:
    return embedding_bag(indices, matrix, offsets, mode="sum", per_sample_weights=weights, include_last_offset=True)


class CsrEmbedding(nn.EmbeddingBag):
    """A linear layer over CSR features: features · matrix + bias, with gradients only for the rows that a batch holds.

    Takes indices [entries], offsets [posts + 1] and weights [entries]; gives [posts, width].
    """

    def __init__(self, inputs: int, width: int, matrix: Tensor | None = None) -> None:
        """``matrix`` [inputs, width]: its weights; None: random ones."""
        super().__init__(inputs, width, mode="sum", sparse=True, include_last_offset=True, _weight=matrix)
        self.bias = nn.Parameter(torch.zeros(width))

    def reset_parameters(self) -> None:
        # A word that train holds once or twice stays near its initialisation: a small one keeps it from being noise.
        nn.init.normal_(self.weight, std=0.1)

    def forward(self, indices: Tensor, offsets: Tensor, weights: Tensor) -> Tensor:  # type: ignore[override]
        return WeightedSum.apply(self.weight, indices, offsets, weights) + self.bias


class Ngrams(nn.Module):
    """The n-grams of each word: a CSR matrix [words, n-grams] of weights."""

    indices: Tensor
    offsets: Tensor
    weights: Tensor

    def __init__(self, matrix: csr_array) -> None:
        super().__init__()
        for name, part in (("indices", matrix.indices), ("offsets", matrix.indptr), ("weights", matrix.data)):
            self.register_buffer(name, torch.from_numpy(part), persistent=False)

    def forward(self, words: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Indices [entries], offsets [words + 1] and weights [entries] of some words."""
        starts = self.offsets[words]
        lengths = self.offsets[words + 1] - starts
        offsets = torch.cat([lengths.new_zeros(1), lengths.cumsum(0, dtype=lengths.dtype)])
        entries = torch.arange(int(offsets[-1]), device=words.device)
        entries += torch.repeat_interleave(starts - offsets[:-1], lengths)
        return self.indices[entries], offsets, self.weights[entries]


class SubwordEmbedding(CsrEmbedding):
    """A CsrEmbedding in which a word has a row of its own and, added to it, the mean of its n-grams' rows.

    So a rare word learns from those that look like it (Bojanowski et al., Enriching word vectors with subword
    information, 2017). The n-grams' rows start at 0. Once trained, they are added up: :meth:`merged`.
    """

    def __init__(self, words: CsrEmbedding, ngrams: csr_array) -> None:
        super().__init__(words.num_embeddings, words.embedding_dim, words.weight.detach())
        self.bias = words.bias
        self.ngrams = Ngrams(ngrams)
        self.ngram_matrix = nn.Parameter(torch.zeros(ngrams.shape[1], words.embedding_dim))

    def forward(self, indices: Tensor, offsets: Tensor, weights: Tensor) -> Tensor:  # type: ignore[override]
        return SubwordSum.apply(self.weight, self.ngram_matrix, self.ngrams, indices, offsets, weights) + self.bias

    @torch.no_grad()
    def merged(self) -> CsrEmbedding:
        """The same layer with one row a word, that of its own and its n-grams' together."""
        every = torch.arange(len(self.weight), device=self.weight.device)
        sums = self.weight + sum_rows(self.ngram_matrix, *self.ngrams(every))
        layer = CsrEmbedding(self.num_embeddings, self.embedding_dim, sums)
        layer.bias = self.bias
        return layer


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
