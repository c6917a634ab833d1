"""training.py: the loop really learns, every layer of it, and keeps the best weights.

The original study's sparse network was never updated, because its optimizer held another model's parameters:
these tests would have said so.
"""

import copy
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT, save_csr
from scipy.sparse import csr_array, random_array
from sklearn.metrics import f1_score
from torch import nn

from tagstudy.core.config import Train, read_params
from tagstudy.core.errors import UserError
from tagstudy.core.store import DenseMatrix, new_dense_matrix, open_matrix
from tagstudy.model import training
from tagstudy.model.batches import Posts, to
from tagstudy.model.convergence import NOTHING_LEARNED, STILL_IMPROVING
from tagstudy.model.embedding import CsrEmbedding
from tagstudy.model.losses import LOSSES
from tagstudy.model.mlp import MLP
from tagstudy.model.network import build, describe_network
from tagstudy.predictions.links import PROBABILITIES

POSTS, WORDS, TAGS = 40, 60, 3


def dense_labels(posts: Posts) -> torch.Tensor:
    """[posts, tags] booleans."""
    return posts.labels_of(np.arange(len(posts))) > 0


def make_posts(folder: Path, rng: np.random.Generator, rows: np.ndarray | None = None) -> Posts:
    """Random posts with random tags: nothing to understand, all to be learned by heart."""
    features = save_csr(
        folder / "features", csr_array(random_array((POSTS, WORDS), density=0.2, dtype=np.float32, rng=rng))
    )
    labels = save_csr(folder / "labels", csr_array((rng.random((POSTS, TAGS)) < 0.4).astype(np.uint8)), np.uint8)
    return Posts(features, labels, np.arange(POSTS))


class Log:
    """Takes what the loop logs, an epoch a row."""

    def __init__(self) -> None:
        self.rows: list[dict[str, float]] = [{}]

    def log_metric(self, name: str, value: float) -> None:
        self.rows[-1][name] = value

    def next_step(self) -> None:
        self.rows.append({})


@pytest.fixture
def data(tmp_path: Path) -> Posts:
    return make_posts(tmp_path, np.random.default_rng(0))


def settings(**changes: object) -> Train:
    read = read_params(ROOT / "params.yaml").train
    defaults = {
        "epochs": 100,
        "patience": 100,
        "batch_size": 16,
        "min_steps": 1,
        "hidden": [32, 16],
        "dropout": 0.0,
        "word_dropout": 0.0,
        "mixup": 0.0,
    }
    return read.model_copy(update=defaults | changes)


def network(chosen: Train, embedding_dim: int | None = None) -> MLP:
    torch.manual_seed(0)
    features = {"inputs": WORDS, "csr": True, "embedding_dim": embedding_dim}
    return build(describe_network(chosen, features, TAGS))


@pytest.mark.parametrize("embedding_dim", [None, 8])
@pytest.mark.parametrize("skip_connection", [True, False])
@pytest.mark.parametrize("batch_norm", [True, False])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("pos_weight", [True, False])
def test_the_loop_overfits_and_every_weight_moves(
    data: Posts, embedding_dim: int | None, skip_connection: bool, batch_norm: bool, loss: str, pos_weight: bool
) -> None:
    chosen = settings(
        skip_connection=skip_connection, batch_norm=batch_norm, loss=loss, pos_weight=pos_weight, lr=0.01, epochs=60
    )
    model = network(chosen, embedding_dim)
    before = {name: weights.clone() for name, weights in model.state_dict().items()}
    training.fit(model, data, data, chosen, 0, Log())
    assert training.score(model, data, loss)["micro_f1"] == 1
    still = {name for name, weights in model.state_dict().items() if torch.equal(weights, before[name])}
    # Batch norm takes the mean away, and with it whatever the bias of the layer before it adds.
    layers = {module: name for name, module in model.named_modules()}
    modules = [model.first, *model.embedding, *model.hidden]
    idle = {f"{layers[modules[i - 1]]}.bias" for i, module in enumerate(modules) if isinstance(module, nn.BatchNorm1d)}
    assert still <= idle


def test_no_epochs_is_the_untrained_network(data: Posts) -> None:
    chosen, log = settings(epochs=0), Log()
    model = network(chosen)
    table = model.first.weight.clone()
    assert training.fit(model, data, data, chosen, 0, log)[0] == 0
    assert torch.equal(model.first.weight, table)
    assert len(log.rows) == 2


def test_the_best_weights_are_kept_and_patience_ends_the_run(data: Posts, tmp_path: Path) -> None:
    """The tags of valid are unlike those of train: its micro-F1 must fall again."""
    valid = Posts(
        data.features, save_csr(tmp_path / "other", data.labels.take(np.arange(POSTS)[::-1]), np.uint8), data.rows
    )
    chosen, log = settings(patience=2, lr=0.01), Log()
    model = network(chosen)
    epoch, micro_f1, _ = training.fit(model, data, valid, chosen, 0, log)
    reached = [row["valid_micro_f1"] for row in log.rows[:-1]]
    assert epoch == int(np.argmax(reached)) and micro_f1 == max(reached)
    assert len(reached) == epoch + 2 + 1
    assert training.score(model, valid, chosen.loss)["micro_f1"] == micro_f1


@pytest.mark.parametrize(("loss", "value"), [("cross_entropy", "0.6931"), ("squared_hinge", "1.0000")])
def test_an_untrained_network_knows_nothing(data: Posts, loss: str, value: str) -> None:
    model = network(settings())
    training.check_first_loss(model, data, LOSSES[loss], settings())
    with torch.no_grad():
        model.output_bias.fill_(3)
    with pytest.raises(UserError, match=f"not {value}"):
        training.check_first_loss(model, data, LOSSES[loss], settings())


@pytest.mark.parametrize(("batch_size", "where"), [(16, r"epoch \d+, batch \d+"), (POSTS, "valid after epoch 1")])
def test_a_loss_that_is_no_number_stops_the_run(data: Posts, batch_size: int, where: str) -> None:
    chosen = settings(lr=1e30, clip_value=None, batch_size=batch_size)
    with pytest.raises(UserError, match=where):
        training.fit(network(chosen), data, data, chosen, 0, Log())


def test_clipping_bounds_the_summed_gradient_of_a_row() -> None:
    embedding = CsrEmbedding(4, 2)
    (
        embedding(torch.tensor([1, 1, 2]), torch.tensor([0, 3]), torch.ones(3)) * 3
    ).sum().backward()  # 6 for row 1, 3 for row 2
    training.clip_gradients(embedding.parameters(), 4)
    assert embedding.weight.grad.to_dense().tolist() == [[0, 0], [4, 4], [3, 3], [0, 0]]


@pytest.mark.parametrize("loss", LOSSES)
def test_a_mixture_has_the_tags_of_both_posts_each_by_its_share(data: Posts, loss: str) -> None:
    """The loss of an epoch of one batch, worked out by hand."""
    chosen, log, loss_of = settings(mixup=1.0, loss=loss, epochs=1, batch_size=POSTS), Log(), LOSSES[loss]
    model = network(chosen)
    untrained = copy.deepcopy(model).train()
    training.fit(model, data, data, chosen, 0, log)
    rng = np.random.default_rng(0)
    rows, share = rng.permutation(POSTS), rng.beta(1, 1)
    others = rng.permutation(POSTS)
    labels = data.labels_of(rows)
    untrained.predict_everywhere(loss_of.logit((dense_labels(data).sum(dim=0) + 1) / (POSTS + 2)))
    logits = untrained(*to(torch.device("cpu"), data.features_of(rows)), mix=(share, torch.from_numpy(others)))
    expected = share * loss_of(logits, labels) + (1 - share) * loss_of(logits, labels[others])
    assert log.rows[1]["train_loss"] == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("loss", LOSSES)
def test_mixtures_alone_teach_the_posts(data: Posts, loss: str) -> None:
    chosen = settings(mixup=1.0, lr=0.01, loss=loss)
    assert training.fit(network(chosen), data, data, chosen, 0, Log())[1] > 0.95


@pytest.mark.parametrize(
    ("warmup", "factors"), [(0.2, [0, 0.5, 1, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125, 0]), (0, [1, 0.9])]
)
def test_learning_rates_rise_and_fall_in_straight_lines(data: Posts, warmup: float, factors: list[float]) -> None:
    chosen = settings(warmup=warmup, epochs=2, batch_size=POSTS // 5)  # ten steps
    run = training.Run(network(chosen), data, data, chosen, 0)
    assert [run.learning_rate_factor(step) for step in range(len(factors))] == pytest.approx(factors)
    assert [optimizer.param_groups[0]["lr"] for optimizer in run.optimizers] == pytest.approx(
        [chosen.lr * factors[0], chosen.embedding_lr * factors[0]]
    )


def test_batches_are_a_permutation_cut_into_pieces_of_one_size(data: Posts, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = settings(epochs=1)
    run = training.Run(network(chosen), data, data, chosen, 7)
    seen = []
    monkeypatch.setattr(run, "batch_loss", lambda rows: seen.append(rows) or training.Run.batch_loss(run, rows))
    run.train_epoch(1, training.progress_bar(run, 1))
    expected = np.array_split(np.random.default_rng(7).permutation(POSTS), 3)
    assert all(np.array_equal(found, batch) for found, batch in zip(seen, expected, strict=True))


def test_of_very_many_posts_an_epoch_takes_a_random_part_which_is_another_one_each_time(
    data: Posts, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = settings(epochs=20, max_steps=40)  # two steps an epoch, where a pass has three
    run = training.Run(network(chosen), data, data, chosen, 0)
    seen: list[np.ndarray] = []
    monkeypatch.setattr(run, "batch_loss", lambda rows: seen.append(rows) or training.Run.batch_loss(run, rows))
    with training.progress_bar(run, run.budget.epochs) as bar:
        for epoch in range(1, 21):
            run.train_epoch(epoch, bar)
    assert [len(batch) for batch in seen] == [16] * 40
    epochs = [frozenset(np.concatenate(seen[start : start + 2])) for start in range(0, 40, 2)]
    assert {len(posts) for posts in epochs} == {32} and len(set(epochs)) > 1
    assert frozenset().union(*epochs) == set(range(POSTS))


@pytest.mark.parametrize(("least", "greatest", "steps"), [(1, 100, 12), (13, 100, 15), (1, 8, 8)])
def test_the_learning_rate_falls_to_nothing_at_the_end_of_the_last_epoch(
    data: Posts, least: int, greatest: int, steps: int
) -> None:
    chosen = settings(epochs=4, min_steps=least, max_steps=greatest)
    run = training.Run(network(chosen), data, data, chosen, 0)
    factors = [run.learning_rate_factor(step) for step in range(steps + 1)]
    assert factors == pytest.approx(np.linspace(1, 0, steps + 1))


def test_a_run_that_was_ended_too_early_says_so_and_one_that_has_converged_does_not(data: Posts) -> None:
    """Posts to be learned by heart: after two epochs of three steps each it still improves, after a hundred it is 1."""
    early = settings(epochs=2, lr=0.003)
    assert training.fit(network(early), data, data, early, 0, Log()).problem == STILL_IMPROVING
    enough = settings(lr=0.01)
    best = training.fit(network(enough), data, data, enough, 0, Log())
    assert (best.micro_f1, best.problem) == (1, None)


def test_a_run_that_learns_nothing_says_so(data: Posts) -> None:
    chosen = settings(epochs=0)
    assert training.fit(network(chosen), data, data, chosen, 0, Log()).problem == NOTHING_LEARNED


def test_a_network_on_a_matrix_learns(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    new_dense_matrix(tmp_path / "rows", 40, 12)[:] = rng.normal(size=(40, 12))
    labels = save_csr(tmp_path / "labels", csr_array((rng.random((40, TAGS)) < 0.4).astype(np.uint8)), np.uint8)
    data = Posts(open_matrix(tmp_path / "rows"), labels, np.arange(40))
    assert isinstance(data.features, DenseMatrix) and len(data.features) == 40
    chosen = settings(lr=0.01)
    torch.manual_seed(0)
    features = {"inputs": 12, "csr": False, "embedding_dim": None}
    model = build(describe_network(chosen, features, TAGS))
    training.fit(model, data, data, chosen, 0, Log())
    assert training.score(model, data, chosen.loss)["micro_f1"] == 1


def test_assess_agrees_with_all_logits_at_once(data: Posts, monkeypatch: pytest.MonkeyPatch) -> None:
    loss = settings().loss
    model = network(settings())
    nn.init.normal_(model.output_bias)
    monkeypatch.setattr(training, "PREDICT_BATCH", 7)
    scores = training.score(model, data, loss)
    logits = torch.cat([logits for _, logits in training.predict(model, data)])
    labels = dense_labels(data)
    assert scores["loss"] == pytest.approx(LOSSES[loss](logits, labels.float()).item(), rel=1e-5)
    assert scores["hamming"] == pytest.approx(((logits > 0) != labels).float().mean().item())
    probabilities = PROBABILITIES[loss](logits.numpy())
    best = max(f1_score(labels, probabilities >= value, average="micro") for value in np.unique(probabilities))
    assert scores["micro_f1"] == pytest.approx(best, abs=0.01)  # a thousand thresholds, not all of them


def test_two_optimizers_hold_every_parameter_once() -> None:
    model = network(settings())
    optimizers = training.make_optimizers(model, settings())
    held = [p for optimizer in optimizers for group in optimizer.param_groups for p in group["params"]]
    assert sorted(map(id, held)) == sorted(map(id, model.parameters()))


def test_narrow_layers_are_told_to_be_widened(data: Posts) -> None:
    model = network(settings())
    with torch.no_grad():
        model.output_bias.fill_(3)
    for hidden, says in (([1] * 8, r"widen train\.hidden"), ([200], "on the same scale")):
        with pytest.raises(UserError, match=says):
            training.check_first_loss(model, data, LOSSES["squared_hinge"], settings(hidden=hidden))


@pytest.mark.parametrize(
    ("decay", "says"), [(1000, r"train\.weight_decay \(1000\)$"), (0.01, r"embedding_lr \(\S+\)$")]
)
def test_a_weight_decay_that_drives_weights_apart_is_named(decay: float, says: str) -> None:
    with pytest.raises(UserError, match=says):
        training.check_loss(math.nan, "in epoch 1", settings(lr=0.01, weight_decay=decay), ["lr", "embedding_lr"])
