"""training.py: the loop really learns, every layer of it, and the same seed gives the same weights.

The original study's sparse network was never updated, because its optimizer held another model's parameters:
these tests would have said so.
"""

import copy
import json
import math
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from conftest import ROOT, call, write_params
from safetensors.torch import load_file
from scipy.sparse import csr_array, random_array
from sklearn.metrics import f1_score
from torch import nn

from tagstudy.core.config import Train, read_params
from tagstudy.core.errors import UserError
from tagstudy.core.store import CsrMatrix, DenseMatrix, DenseWriter, open_features
from tagstudy.evaluation.scoring import best_threshold
from tagstudy.features.counts import write_csr
from tagstudy.model import training
from tagstudy.model.losses import LOSSES
from tagstudy.model.mlp import MLP, CsrEmbedding
from tagstudy.model.training import Data

POSTS, WORDS, TAGS = 40, 60, 3
torch.set_num_threads(1)  # networks this small only wait for one another


class Log:
    """Takes what the loop logs, an epoch a row."""

    def __init__(self) -> None:
        self.rows: list[dict[str, float]] = [{}]

    def log_metric(self, name: str, value: float) -> None:
        self.rows[-1][name] = value

    def next_step(self) -> None:
        self.rows.append({})


@pytest.fixture
def data(tmp_path: Path) -> Data:
    """Random posts with random tags: nothing to understand, all to be learned by heart."""
    rng = np.random.default_rng(0)
    rows = csr_array(random_array((POSTS, WORDS), density=0.2, dtype=np.float32, rng=rng))
    write_csr(tmp_path / "bags", [rows])
    return Data(CsrMatrix(tmp_path / "bags"), torch.from_numpy(rng.random((POSTS, TAGS)) < 0.4))


def settings(**changes: object) -> Train:
    read = read_params(ROOT / "params.yaml").train
    defaults = {
        "epochs": 100,
        "patience": 100,
        "batch_size": 16,
        "hidden": [32, 16],
        "dropout": 0.0,
        "word_dropout": 0.0,
        "mixup": 0.0,
    }
    return read.model_copy(update=defaults | changes)


def network(chosen: Train, embedding_dim: int | None = None) -> MLP:
    torch.manual_seed(0)
    features = {"inputs": WORDS, "bag": True, "embedding_dim": embedding_dim}
    return training.build(training.describe_network(chosen, features, TAGS))


@pytest.mark.parametrize("embedding_dim", [None, 8])
@pytest.mark.parametrize("skip_connection", [True, False])
@pytest.mark.parametrize("batch_norm", [True, False])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("pos_weight", [True, False])
def test_the_loop_overfits_and_every_weight_moves(
    data: Data, embedding_dim: int | None, skip_connection: bool, batch_norm: bool, loss: str, pos_weight: bool
) -> None:
    chosen = settings(skip_connection=skip_connection, batch_norm=batch_norm, loss=loss, pos_weight=pos_weight, lr=0.01)
    model = network(chosen, embedding_dim)
    before = {name: weights.clone() for name, weights in model.state_dict().items()}
    training.fit(model, data, data, chosen, 0, Log())
    assert training.assess(model, data, LOSSES[loss])["micro_f1"] == 1
    still = {name for name, weights in model.state_dict().items() if torch.equal(weights, before[name])}
    # Batch norm takes the mean away, and with it whatever the bias of the layer before it adds.
    layers = {module: name for name, module in model.named_modules()}
    modules = [model.first, *model.embedding, *model.rest]
    idle = {f"{layers[modules[i - 1]]}.bias" for i, module in enumerate(modules) if isinstance(module, nn.BatchNorm1d)}
    assert still <= idle


def test_no_epochs_is_the_untrained_network(data: Data) -> None:
    chosen, log = settings(epochs=0), Log()
    model = network(chosen)
    table = model.first.weight.clone()
    assert training.fit(model, data, data, chosen, 0, log)[0] == 0
    assert torch.equal(model.first.weight, table)
    assert len(log.rows) == 2


def test_the_best_weights_are_kept_and_patience_ends_the_run(data: Data, tmp_path: Path) -> None:
    """The tags of valid are unlike those of train: its micro-F1 must fall again."""
    valid = Data(data.features, data.labels.flip(0))
    chosen, log = settings(patience=2, lr=0.01), Log()
    model = network(chosen)
    epoch, micro_f1 = training.fit(model, data, valid, chosen, 0, log)
    reached = [row["valid_micro_f1"] for row in log.rows[:-1]]
    assert epoch == int(np.argmax(reached)) and micro_f1 == max(reached)
    assert len(reached) == epoch + 2 + 1
    assert training.assess(model, valid, LOSSES[chosen.loss])["micro_f1"] == micro_f1


@pytest.mark.parametrize(("loss", "value"), [("cross_entropy", "0.6931"), ("squared_hinge", "1.0000")])
def test_an_untrained_network_knows_nothing(data: Data, loss: str, value: str) -> None:
    model = network(settings())
    training.check_first_loss(model, data, LOSSES[loss])
    with torch.no_grad():
        model.output_bias.fill_(3)
    with pytest.raises(UserError, match=f"not {value}"):
        training.check_first_loss(model, data, LOSSES[loss])


@pytest.mark.parametrize(("batch_size", "where"), [(16, r"epoch \d+, batch \d+"), (POSTS, "valid after epoch 1")])
def test_a_loss_that_is_no_number_stops_the_run(data: Data, batch_size: int, where: str) -> None:
    chosen = settings(lr=1e30, clip_value=None, batch_size=batch_size)
    with pytest.raises(UserError, match=where):
        training.fit(network(chosen), data, data, chosen, 0, Log())


def test_clipping_bounds_the_summed_gradient_of_a_row() -> None:
    bag = CsrEmbedding(4, 2)
    (bag(torch.tensor([1, 1, 2]), torch.tensor([0, 3]), torch.ones(3)) * 3).sum().backward()  # 6 for row 1, 3 for row 2
    training.clip_gradients(bag, 4)
    assert bag.weight.grad.to_dense().tolist() == [[0, 0], [4, 4], [3, 3], [0, 0]]


def test_words_are_left_out_and_the_rest_made_up_for() -> None:
    rng = np.random.default_rng(0)
    bags = np.arange(10_000), np.array([0, 10_000]), np.full(10_000, 2, dtype=np.float32)
    indices, offsets, weights = training.drop_words(bags, 0.25, rng)
    assert indices is bags[0] and offsets is bags[1] and weights.dtype == np.float32
    assert set(np.unique(weights)) == {0, np.float32(2 / 0.75)}
    assert (weights == 0).mean() == pytest.approx(0.25, abs=0.02)
    assert training.drop_words(bags, 0, rng) is bags


def test_of_a_matrix_entries_are_left_out() -> None:
    (rows,) = training.drop_words((np.ones((100, 100), np.float32),), 0.5, np.random.default_rng(0))
    assert set(np.unique(rows)) == {0, 2} and rows.mean() == pytest.approx(1, abs=0.05)


def test_mixtures_have_every_share_alike_and_cost_no_draw_where_they_are_off() -> None:
    rng = np.random.default_rng(0)
    shares, others = zip(*(training.draw_mixup(5, 1, rng) for _ in range(2000)), strict=True)  # type: ignore[misc]
    assert np.quantile(shares, [0.25, 0.5, 0.75]) == pytest.approx([0.25, 0.5, 0.75], abs=0.04)
    assert all(sorted(own.tolist()) == [0, 1, 2, 3, 4] for own in others)
    before = rng.bit_generator.state
    assert training.draw_mixup(5, 0, rng) is None and rng.bit_generator.state == before


@pytest.mark.parametrize("loss", LOSSES)
def test_a_mixture_has_the_tags_of_both_posts_each_by_its_share(data: Data, loss: str) -> None:
    """The loss of an epoch of one batch, worked out by hand."""
    chosen, log, loss_of = settings(mixup=1.0, loss=loss, epochs=1, batch_size=POSTS), Log(), LOSSES[loss]
    model = network(chosen)
    untrained = copy.deepcopy(model).train()
    training.fit(model, data, data, chosen, 0, log)
    rng = np.random.default_rng(0)
    rows, share = rng.permutation(POSTS), rng.beta(1, 1)
    others = rng.permutation(POSTS)
    labels = data.labels[rows].float()
    untrained.start_from(loss_of.logit((data.labels.sum(dim=0) + 1) / (POSTS + 2)))
    logits = untrained(
        *training.to(torch.device("cpu"), data.features.batch(rows)), mix=(share, torch.from_numpy(others))
    )
    expected = share * loss_of(logits, labels) + (1 - share) * loss_of(logits, labels[others])
    assert log.rows[1]["train_loss"] == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("loss", LOSSES)
def test_mixtures_alone_teach_the_posts(data: Data, loss: str) -> None:
    chosen = settings(mixup=1.0, lr=0.01, loss=loss)
    assert training.fit(network(chosen), data, data, chosen, 0, Log())[1] > 0.95


def test_learning_rates_rise_and_fall_in_straight_lines() -> None:
    shares = [training.learning_rate_factor(done, 0.2) for done in (0, 0.1, 0.2, 0.6, 1)]
    assert shares == pytest.approx([0, 0.5, 1, 0.5, 0])
    assert [training.learning_rate_factor(done, 0) for done in (0, 0.25, 1)] == [1, 0.75, 0]


def test_a_network_on_a_matrix_learns(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    with DenseWriter(tmp_path / "rows", 12) as writer:
        writer.append(rng.normal(size=(30, 12)))
        writer.append(rng.normal(size=(10, 12)))
    data = Data(open_features(tmp_path / "rows"), torch.from_numpy(rng.random((40, TAGS)) < 0.4))
    assert isinstance(data.features, DenseMatrix) and len(data.features) == 40
    chosen = settings(lr=0.01)
    torch.manual_seed(0)
    features = {"inputs": 12, "bag": False, "embedding_dim": None}
    model = training.build(training.describe_network(chosen, features, TAGS))
    training.fit(model, data, data, chosen, 0, Log())
    assert training.assess(model, data, LOSSES[chosen.loss])["micro_f1"] == 1


def test_assess_agrees_with_all_logits_at_once(data: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    model, loss_of = network(settings()), LOSSES[settings().loss]
    nn.init.normal_(model.output_bias)
    monkeypatch.setattr(training, "PREDICT_BATCH", 7)
    found = training.assess(model, data, loss_of)
    logits = torch.cat(list(training.predict(model, data.features)))
    assert found["loss"] == pytest.approx(loss_of(logits, data.labels.float()).item(), rel=1e-5)
    assert found["hamming"] == pytest.approx(((logits > 0) != data.labels).float().mean().item())
    labels, probabilities = data.labels.numpy(), loss_of.probability(logits).numpy()
    best = f1_score(labels, probabilities >= best_threshold(labels, probabilities), average="micro")
    assert found["micro_f1"] == pytest.approx(best, abs=0.01)  # a thousand thresholds, not all of them


def test_two_optimizers_hold_every_parameter_once() -> None:
    model = network(settings())
    layers, table = training.make_optimizers(model, settings())
    assert sorted(map(id, [*layers.parameters, table.table])) == sorted(map(id, model.parameters()))


@pytest.mark.parametrize("arm", ["dense", "sparse"])
def test_a_training_script_writes_every_run_the_same_each_time(arm: str, tmp_path: Path) -> None:
    features = {"dense": "dense", "sparse": "tfidf"}[arm]
    rng = np.random.default_rng(0)
    (tmp_path / "data/posts").mkdir(parents=True)
    (tmp_path / "data/posts/tags.json").write_text('["a", "b"]')
    (tmp_path / f"data/features/{features}").mkdir(parents=True)
    about = {"inputs": WORDS, "bag": True, "embedding_dim": 300 if arm == "dense" else None}
    (tmp_path / f"data/features/{features}/features.json").write_text(json.dumps(about))
    for split in ("train", "valid"):
        tags = pa.array([["a"] if i % 2 else ["b", "a"] for i in range(POSTS)], pa.list_(pa.string()))
        pq.write_table(pa.table({"tags": tags}), tmp_path / f"data/posts/{split}.parquet")
        rows = csr_array(random_array((POSTS, WORDS), density=0.2, dtype=np.float32, rng=rng))
        write_csr(tmp_path / f"data/features/{features}/{split}", [rows])
    write_params(tmp_path, train={"runs": 2, "epochs": 2})
    written = []
    for _ in range(2):
        done = call(sys.executable, ROOT / f"src/train_{arm}.py", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        models = tmp_path / f"data/models/{arm}"
        written.append({path.relative_to(models): path.read_bytes() for path in models.rglob("*") if path.is_file()})
    assert "parameters" in done.stdout
    assert written[0] == written[1]
    first, second = (load_file(models / f"run-{seed}/weights.safetensors") for seed in (1717, 1718))
    assert not torch.equal(first["first.weight"], second["first.weight"])
    history = pd.read_csv(models / "run-1717/plots/metrics/valid_micro_f1.tsv", sep="\t")
    assert history["step"].tolist() == [0, 1, 2]
    assert not any(math.isnan(value) for value in history["valid_micro_f1"])
