"""mlp.py, embedding.py: CSR features times a matrix are the dense product; the network has the layers asked for."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import save_csr
from safetensors.torch import load_file
from scipy.sparse import csr_array, random_array
from torch import nn

from tagstudy.model.embedding import CsrEmbedding, SubwordEmbedding
from tagstudy.model.mlp import MLP
from tagstudy.model.network import write_network

SHAPE = {
    "hidden": [8, 4],
    "embedding_dim": None,
    "skip_connection": True,
    "batch_norm": True,
    "activation": "relu",
    "dropout": 0.5,
}


@pytest.fixture
def matrix() -> np.ndarray:
    return random_array((12, 30), density=0.2, dtype=np.float32, rng=np.random.default_rng(0)).toarray()


@pytest.fixture
def batch(matrix: np.ndarray, tmp_path: Path) -> list[torch.Tensor]:
    features = save_csr(tmp_path / "features", csr_array(matrix))
    return [torch.from_numpy(part) for part in features.batch(np.arange(len(matrix)))]


def test_an_embedding_of_csr_features_is_the_dense_product(matrix: np.ndarray, batch: list[torch.Tensor]) -> None:
    embedding = CsrEmbedding(30, 5)
    nn.init.normal_(embedding.bias)
    torch.testing.assert_close(embedding(*batch), torch.from_numpy(matrix) @ embedding.weight + embedding.bias)


def test_its_gradients_are_those_of_the_dense_product(matrix: np.ndarray, batch: list[torch.Tensor]) -> None:
    embedding, linear = CsrEmbedding(30, 5), nn.Linear(30, 5)
    linear.weight.data = embedding.weight.data.T.clone()
    embedding(*batch).square().sum().backward()
    (torch.from_numpy(matrix) @ linear.weight.T).square().sum().backward()
    assert embedding.weight.grad.is_sparse
    held = np.flatnonzero(matrix.any(axis=0))
    np.testing.assert_array_equal(embedding.weight.grad._indices()[0], held)  # each row of the batch once, and no other
    torch.testing.assert_close(embedding.weight.grad.to_dense(), linear.weight.grad.T)


@pytest.fixture
def subword_embedding() -> SubwordEmbedding:
    torch.manual_seed(0)
    ngrams = random_array((30, 9), density=0.4, format="csr", dtype=np.float32, rng=np.random.default_rng(1))
    embedding = SubwordEmbedding(CsrEmbedding(30, 5), csr_array(ngrams))
    nn.init.normal_(embedding.ngram_matrix)
    nn.init.normal_(embedding.bias)
    return embedding


def test_a_word_s_row_is_its_own_and_those_of_its_ngrams(
    matrix: np.ndarray, batch: list[torch.Tensor], subword_embedding: SubwordEmbedding
) -> None:
    layer = subword_embedding
    ngrams = csr_array((layer.ngrams.weights, layer.ngrams.indices, layer.ngrams.offsets), shape=(30, 9)).toarray()
    own, shared = (part.detach().clone().requires_grad_() for part in (layer.weight, layer.ngram_matrix))
    expected = torch.from_numpy(matrix) @ (own + torch.from_numpy(ngrams) @ shared)
    torch.testing.assert_close(layer(*batch), expected + layer.bias)
    layer(*batch).square().sum().backward()
    (expected + layer.bias.detach()).square().sum().backward()
    for parameter, same, held in (
        (layer.weight, own, matrix.any(axis=0)),
        (layer.ngram_matrix, shared, ngrams[matrix.any(axis=0)].any(axis=0)),
    ):
        np.testing.assert_array_equal(parameter.grad._indices()[0], np.flatnonzero(held))
        torch.testing.assert_close(parameter.grad.to_dense(), same.grad)


def test_subwords_are_merged_into_one_row_a_word(
    batch: list[torch.Tensor], subword_embedding: SubwordEmbedding
) -> None:
    merged = subword_embedding.merged()
    assert type(merged) is CsrEmbedding and merged.state_dict().keys() == {"weight", "bias"}
    torch.testing.assert_close(merged(*batch), subword_embedding(*batch))


def test_words_without_ngrams_have_their_own_rows_alone(batch: list[torch.Tensor]) -> None:
    words = CsrEmbedding(30, 5)
    embedding = SubwordEmbedding(words, csr_array((30, 0), dtype=np.float32))
    torch.testing.assert_close(embedding(*batch), words(*batch))
    embedding(*batch).sum().backward()


def test_an_encoder_may_have_a_matrix_under_two_names(tmp_path: Path) -> None:
    """As T5 has, whose embedding is also its encoder's."""

    class Encoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.shared = nn.Linear(4, 4)
            self.own = self.shared

    about = {"inputs": 4, "outputs": 2, "csr": False, "embedding_dim": None, **SHAPE}
    model = MLP(**about, encoder=Encoder())
    write_network(tmp_path, model, about)
    again = MLP(**about, encoder=Encoder())
    again.load_state_dict(load_file(tmp_path / "weights.safetensors"))
    torch.testing.assert_close(again.state_dict(), model.state_dict())


def test_networks_on_csr_and_dense_features_agree(matrix: np.ndarray, batch: list[torch.Tensor]) -> None:
    torch.manual_seed(0)
    on_csr, on_dense = MLP(30, 3, csr=True, **SHAPE).eval(), MLP(30, 3, csr=False, **SHAPE).eval()
    on_dense.load_state_dict(on_csr.state_dict() | {"first.weight": on_csr.first.weight.T})
    torch.testing.assert_close(on_dense(torch.from_numpy(matrix)), on_csr(*batch))


@pytest.mark.parametrize("embedding_dim", [None, 6])
def test_a_mixture_of_posts_is_read_as_one_post(
    matrix: np.ndarray, batch: list[torch.Tensor], embedding_dim: int | None
) -> None:
    torch.manual_seed(0)
    network = MLP(30, 3, csr=True, **SHAPE | {"embedding_dim": embedding_dim}).eval()
    others = torch.randperm(len(matrix))
    mixed = csr_array(0.25 * matrix + 0.75 * matrix[others.numpy()])
    parts = (torch.from_numpy(part) for part in (mixed.indices, mixed.indptr, mixed.data))
    torch.testing.assert_close(network(*batch, mix=(0.25, others)), network(*parts))


def test_a_post_without_words_gives_the_bias() -> None:
    nothing = torch.tensor([], dtype=torch.int64), torch.tensor([0, 0]), torch.tensor([])
    embedding = CsrEmbedding(30, 5)
    found = embedding(*nothing)
    assert found.tolist() == [[0.0] * 5]
    found.sum().backward()
    assert embedding.weight.grad._values().shape == (0, 5)


@pytest.mark.parametrize("csr", [True, False])
@pytest.mark.parametrize("embedding_dim", [None, 6])
@pytest.mark.parametrize("hidden", [[], [8], [8, 4]])
@pytest.mark.parametrize("skip_connection", [True, False])
@pytest.mark.parametrize("batch_norm", [True, False])
def test_layers_are_those_asked_for(
    csr: bool, embedding_dim: int | None, hidden: list[int], skip_connection: bool, batch_norm: bool
) -> None:
    shape = {
        "hidden": hidden,
        "embedding_dim": embedding_dim,
        "skip_connection": skip_connection and bool(hidden),
        "batch_norm": batch_norm,
    }
    model = MLP(30, 3, csr=csr, **SHAPE | shape)
    weights = [tuple(p.shape) for name, p in model.named_parameters() if name.endswith("weight") and p.ndim == 2]
    widths = [30, *([embedding_dim] if embedding_dim else []), *hidden, 3]
    expected = [[width, before] for before, width in pairwise(widths)]
    if skip_connection and hidden:  # the layer below the hidden ones has a column more for each tag
        expected[1 if embedding_dim else 0][0] += 3
    expected[0] = expected[0][::-1] if csr else expected[0]
    assert weights == [tuple(shape) for shape in expected]
    count = {kind: sum(isinstance(module, kind) for module in model.modules()) for kind in (nn.ReLU, nn.BatchNorm1d)}
    assert count[nn.ReLU] == len(hidden)  # none behind the embedding, none behind the logits
    assert count[nn.BatchNorm1d] == (len(widths) - 2) * batch_norm


@pytest.mark.parametrize("embedding_dim", [None, 6])
def test_the_skip_connection_is_a_linear_model_beside_the_hidden_layers(
    embedding_dim: int | None, matrix: np.ndarray, batch: list[torch.Tensor]
) -> None:
    shape = SHAPE | {"embedding_dim": embedding_dim, "batch_norm": False}
    model = MLP(30, 3, csr=True, **shape).eval()
    feeding = model.embedding[-1] if embedding_dim else model.first
    assert not (feeding.weight[8:] if embedding_dim else feeding.weight[:, 8:]).any()  # says nothing before it learns
    assert not feeding.bias[8:].any()
    before = model(*batch)
    straight = torch.randn(feeding.weight.shape[1 if embedding_dim else 0], 3)
    with torch.no_grad():
        (feeding.weight[8:].T if embedding_dim else feeding.weight[:, 8:]).copy_(straight)
    below = model.first(*batch) if embedding_dim else torch.from_numpy(matrix)
    torch.testing.assert_close(model(*batch) - before, below @ straight)


def test_the_output_bias_is_what_every_post_starts_from() -> None:
    model = MLP(30, 3, csr=True, **SHAPE).eval()
    model.predict_everywhere(torch.tensor([0.5, -1.0, 2.0]))
    assert model.output_bias.tolist() == [0.5, -1.0, 2.0]


def test_a_skip_connection_over_frequent_terms_is_the_dense_product(
    matrix: np.ndarray, batch: list[torch.Tensor]
) -> None:
    model = MLP(30, 3, csr=True, **SHAPE | {"skip_terms": 4}).eval()
    frequencies = (matrix != 0).sum(axis=0)
    model.skip.choose(frequencies)  # type: ignore[union-attr]
    before = model(*batch)  # it starts at nothing
    chosen = np.flatnonzero(model.skip.row >= 0)  # type: ignore[union-attr]
    assert len(chosen) == 4 and frequencies[chosen].min() >= np.delete(frequencies, chosen).max()
    weight = torch.randn(4, 3)
    with torch.no_grad():
        model.skip.weight.copy_(weight)  # type: ignore[union-attr]
    linear = torch.from_numpy(matrix[:, chosen]) @ weight
    torch.testing.assert_close(model(*batch) - before, linear)
    others = torch.randperm(len(matrix))
    mixture = csr_array(0.25 * matrix + 0.75 * matrix[others.numpy()])
    parts = (torch.from_numpy(part) for part in (mixture.indices, mixture.indptr, mixture.data))
    torch.testing.assert_close(model(*batch, mix=(0.25, others)), model(*parts))
    model(*batch).square().sum().backward()
    assert model.skip.weight.grad.to_dense().any()  # type: ignore[union-attr]
    assert len(model.embedding_matrices) == 2


def test_describe_counts_every_parameter() -> None:
    model = MLP(30, 3, csr=True, **SHAPE)
    text = model.describe()
    assert f"{sum(p.numel() for p in model.parameters()):,}" in text.splitlines()[-1]
    assert "30 × 11" in text


def test_multiply_adds_are_those_of_the_entries_and_the_layers() -> None:
    sparse = MLP(30, 3, csr=True, **SHAPE)
    assert sparse.multiply_adds(5) == 5 * (8 + 3) + 8 * 4 + 4 * 3
    learned = MLP(30, 3, csr=True, **SHAPE | {"embedding_dim": 6})
    assert learned.multiply_adds(5) == 5 * 6 + 6 * (8 + 3) + 8 * 4 + 4 * 3
    assert MLP(30, 3, csr=False, **SHAPE).multiply_adds(5) == 30 * (8 + 3) + 8 * 4 + 4 * 3
