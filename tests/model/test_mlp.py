"""mlp.py: a bag times a table is the dense product, and the network has the layers that it is told to have."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array, random_array
from torch import nn

from tagstudy.core.store import CsrMatrix
from tagstudy.features.counts import write_csr
from tagstudy.model.mlp import MLP, CsrEmbedding

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
    write_csr(tmp_path / "bags", [csr_array(matrix)])
    return [torch.from_numpy(part) for part in CsrMatrix(tmp_path / "bags").batch(np.arange(len(matrix)))]


def test_a_bag_is_the_dense_product(matrix: np.ndarray, batch: list[torch.Tensor]) -> None:
    bag = CsrEmbedding(30, 5)
    nn.init.normal_(bag.bias)
    torch.testing.assert_close(bag(*batch), torch.from_numpy(matrix) @ bag.weight + bag.bias)


def test_the_gradients_of_a_bag_are_those_of_the_dense_product(matrix: np.ndarray, batch: list[torch.Tensor]) -> None:
    bag, linear = CsrEmbedding(30, 5), nn.Linear(30, 5)
    linear.weight.data = bag.weight.data.T.clone()
    bag(*batch).square().sum().backward()
    (torch.from_numpy(matrix) @ linear.weight.T).square().sum().backward()
    assert bag.weight.grad.is_sparse
    held = np.flatnonzero(matrix.any(axis=0))
    np.testing.assert_array_equal(bag.weight.grad._indices()[0], held)  # each row of the batch once, and no other
    torch.testing.assert_close(bag.weight.grad.to_dense(), linear.weight.grad.T)


def test_bag_and_matrix_networks_agree(matrix: np.ndarray, batch: list[torch.Tensor]) -> None:
    torch.manual_seed(0)
    of_bags, of_matrix = MLP(30, 3, bag=True, **SHAPE).eval(), MLP(30, 3, bag=False, **SHAPE).eval()
    of_matrix.load_state_dict(of_bags.state_dict() | {"first.weight": of_bags.first.weight.T})
    torch.testing.assert_close(of_matrix(torch.from_numpy(matrix)), of_bags(*batch))


@pytest.mark.parametrize("embedding_dim", [None, 6])
def test_a_mixture_of_posts_is_read_as_one_post(
    matrix: np.ndarray, batch: list[torch.Tensor], embedding_dim: int | None
) -> None:
    torch.manual_seed(0)
    network = MLP(30, 3, bag=True, **SHAPE | {"embedding_dim": embedding_dim}).eval()
    others = torch.randperm(len(matrix))
    mixed = csr_array(0.25 * matrix + 0.75 * matrix[others.numpy()])
    parts = (torch.from_numpy(part) for part in (mixed.indices, mixed.indptr, mixed.data))
    torch.testing.assert_close(network(*batch, mix=(0.25, others)), network(*parts))


def test_an_empty_bag_gives_the_bias() -> None:
    nothing = torch.tensor([], dtype=torch.int64), torch.tensor([0, 0]), torch.tensor([])
    bag = CsrEmbedding(30, 5)
    found = bag(*nothing)
    assert found.tolist() == [[0.0] * 5]
    found.sum().backward()
    assert bag.weight.grad._values().shape == (0, 5)


@pytest.mark.parametrize("bag", [True, False])
@pytest.mark.parametrize("embedding_dim", [None, 6])
@pytest.mark.parametrize("hidden", [[], [8], [8, 4]])
@pytest.mark.parametrize("skip_connection", [True, False])
@pytest.mark.parametrize("batch_norm", [True, False])
def test_layers_are_those_asked_for(
    bag: bool, embedding_dim: int | None, hidden: list[int], skip_connection: bool, batch_norm: bool
) -> None:
    shape = {
        "hidden": hidden,
        "embedding_dim": embedding_dim,
        "skip_connection": skip_connection,
        "batch_norm": batch_norm,
    }
    model = MLP(30, 3, bag=bag, **SHAPE | shape)
    weights = [tuple(p.shape) for name, p in model.named_parameters() if name.endswith("weight") and p.ndim == 2]
    widths = [30, *([embedding_dim] if embedding_dim else []), *hidden, 3]
    expected = [[width, before] for before, width in pairwise(widths)]
    if skip_connection and hidden:  # the layer below the hidden ones has a column more for each tag
        expected[1 if embedding_dim else 0][0] += 3
    expected[0] = expected[0][::-1] if bag else expected[0]
    assert weights == [tuple(shape) for shape in expected]
    count = {kind: sum(isinstance(module, kind) for module in model.modules()) for kind in (nn.ReLU, nn.BatchNorm1d)}
    assert count[nn.ReLU] == len(hidden)  # none behind the embedding, none behind the logits
    assert count[nn.BatchNorm1d] == (len(widths) - 2) * batch_norm


@pytest.mark.parametrize("embedding_dim", [None, 6])
def test_the_shortcut_is_a_linear_model_beside_the_hidden_layers(
    embedding_dim: int | None, matrix: np.ndarray, batch: list[torch.Tensor]
) -> None:
    shape = SHAPE | {"embedding_dim": embedding_dim, "batch_norm": False}
    model = MLP(30, 3, bag=True, **shape).eval()
    feeding = model.embedding[-1] if embedding_dim else model.first
    assert not (feeding.weight[8:] if embedding_dim else feeding.weight[:, 8:]).any()  # says nothing before it learns
    assert not feeding.bias[8:].any()
    before = model(*batch)
    straight = torch.randn(feeding.weight.shape[1 if embedding_dim else 0], 3)
    with torch.no_grad():
        (feeding.weight[8:].T if embedding_dim else feeding.weight[:, 8:]).copy_(straight)
    below = model.first(*batch) if embedding_dim else torch.from_numpy(matrix)
    torch.testing.assert_close(model(*batch) - before, below @ straight)


def test_starting_from_logits_gives_every_post_the_same() -> None:
    model = MLP(30, 3, bag=True, **SHAPE).eval()
    model.start_from(torch.tensor([0.5, -1.0, 2.0]))
    assert model.output_bias.tolist() == [0.5, -1.0, 2.0]


def test_describe_counts_every_parameter() -> None:
    model = MLP(30, 3, bag=True, **SHAPE)
    text = model.describe()
    assert f"{sum(p.numel() for p in model.parameters()):,}" in text.splitlines()[-1]
    assert "30 × 11" in text


def test_multiply_adds_are_those_of_the_entries_and_the_layers() -> None:
    bag = MLP(30, 3, bag=True, **SHAPE)
    assert bag.multiply_adds(5) == 5 * (8 + 3) + 8 * 4 + 4 * 3
    embedding = MLP(30, 3, bag=True, **SHAPE | {"embedding_dim": 6})
    assert embedding.multiply_adds(5) == 5 * 6 + 6 * (8 + 3) + 8 * 4 + 4 * 3
    assert MLP(30, 3, bag=False, **SHAPE).multiply_adds(5) == 30 * (8 + 3) + 8 * 4 + 4 * 3
