"""The training loop that both arms share: one run, with early stopping on valid."""

import math
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR
from tqdm import tqdm

from tagstudy.core.config import Train
from tagstudy.core.errors import UserError
from tagstudy.model import replicas
from tagstudy.model.batches import Posts, draw_mixup, drop_words, part_of, to
from tagstudy.model.checkpoint import Checkpoint, restore, snapshot
from tagstudy.model.convergence import Budget, micro_f1_from_frequencies, problem_of
from tagstudy.model.losses import LOSSES, Loss
from tagstudy.model.mlp import MLP
from tagstudy.model.optimizers import AdamW, RowwiseAdagrad
from tagstudy.predictions.links import PROBABILITIES
from tagstudy.predictions.thresholds import ThresholdSearch

PREDICT_BATCH = 4096  # posts per batch outside training, at most
PREDICT_LOGITS = 2**22  # and about so many logits
FIRST = 256  # posts that the untrained network's loss is taken of
NARROW = 8  # a hidden layer of fewer units may give almost any logits before training
THRESHOLDS = 1000  # that are tried after each epoch: enough to compare epochs


class Log(Protocol):
    """What a run logs, as dvclive's Live does."""

    def log_metric(self, name: str, value: float) -> None: ...
    def next_step(self) -> None: ...


class Best(NamedTuple):
    """The epoch that a run keeps."""

    epoch: int  # 0 is the untrained network
    micro_f1: float  # on valid, at its best threshold
    problem: str | None = None  # why the run has not converged


def fit(
    model: MLP,
    train: Posts,
    valid: Posts,
    settings: Train,
    seed: int,
    log: Log | None = None,
    checkpoint: Checkpoint | None = None,
) -> Best:
    """Train until micro-F1 on valid has not risen for `patience` epochs; leave the best weights in the model.

    Epoch 0 of the log is the untrained network. A run that the checkpoint holds continues where it was stopped and ends
    with the same weights. Raises :class:`UserError` when the loss is NaN or infinite.
    """
    run = Run(model, train, valid, settings, seed)
    if checkpoint and (saved := checkpoint.load()):
        run.load_state_dict(saved)
    replicas.check_equal(model)  # before anyone overwrites what the others read
    for scores in run.history:
        write_log(log, scores)
    with progress_bar(run, run.budget.epochs) as bar:
        while not run.is_over():
            write_log(log, run.next_epoch(bar))
            bar.set_postfix(epoch=len(run.history) - 1, valid_micro_f1=f"{run.history[-1]['valid_micro_f1']:.4f}")
            if checkpoint and replicas.rank() == 0:
                checkpoint.save(run.state_dict)
    model.load_state_dict(run.best_weights)
    return run.best._replace(problem=run.problem())


class Run:
    """One run: the network, its optimizers and where it is."""

    def __init__(self, model: MLP, train: Posts, valid: Posts, settings: Train, seed: int) -> None:
        self.model, self.train, self.valid, self.settings, self.seed = model, train, valid, settings, seed
        self.parameters = list(model.parameters())  # once: torch walks all modules to find them
        self.device = self.parameters[0].device
        self.loss = LOSSES[settings.loss]
        posts, positives = len(train), torch.from_numpy(train.positives())
        self.tags = len(positives)
        # The original study's weights: posts / (tags × positives), so that the posts of a rare tag count for more.
        self.pos_weight = (posts / (self.tags * positives.clip(min=1))).to(self.device) if settings.pos_weight else None
        check_first_loss(model, train, self.loss, settings)
        if not settings.pos_weight:  # start from the tag frequencies, by Laplace's rule: never quite 0 or 1
            model.predict_everywhere(self.loss.logit((positives + 1) / (posts + 2)))
        self.rng = np.random.default_rng(seed)
        self.budget = Budget.of(posts, settings)
        replicas.check_shares(self.budget.posts // self.budget.batches, settings.place("batch_size"))
        self.optimizers = make_optimizers(model, settings)
        trained = any(matrix.requires_grad for matrix in model.embedding_matrices)
        self.rates = ["lr"] + ["embedding_lr"] * trained + ["encoder_lr"] * (model.encoder is not None)
        self.schedulers = [LambdaLR(optimizer, self.learning_rate_factor) for optimizer in self.optimizers]
        self.history: list[dict[str, float]] = []  # the scores of each epoch, the untrained network's first
        self.best = Best(0, 0.0)
        self.best_weights = {name: weights.clone() for name, weights in model.state_dict().items()}

    def is_over(self) -> bool:
        epochs = len(self.history) - 1
        return epochs >= self.budget.epochs or epochs - self.best.epoch >= self.budget.patience

    def problem(self) -> str | None:
        """Why the run has not converged, now that it is over."""
        from_frequencies = micro_f1_from_frequencies(self.train.positives(), self.valid.positives(), len(self.valid))
        return problem_of([scores["valid_micro_f1"] for scores in self.history], self.budget.epochs, from_frequencies)

    def next_epoch(self, bar: tqdm) -> dict[str, float]:
        """Train for an epoch, and score the network on valid. The first call scores it untrained."""
        epoch = len(self.history)
        train_loss = self.train_epoch(epoch, bar) if epoch else self.score(self.train.sample(len(self.valid)))["loss"]
        scores = self.score(self.valid)
        check_loss(scores["loss"], f"on valid after epoch {epoch}", self.settings, self.rates)
        self.history.append({"train_loss": train_loss} | {f"valid_{name}": value for name, value in scores.items()})
        if epoch == 0 or scores["micro_f1"] > self.best.micro_f1:
            self.best = Best(epoch, scores["micro_f1"])
            for name, weights in self.model.state_dict().items():
                self.best_weights[name].copy_(weights)
        return self.history[-1]

    def train_epoch(self, epoch: int, bar: tqdm) -> float:
        """Train for an epoch; returns the mean loss.

        All processes draw the same posts and the same noise of their inputs; the noise within the network is their own.
        """
        self.model.train()
        replicas.draw_own_noise(self.seed, epoch)
        total = 0.0
        posts = self.rng.permutation(len(self.train))[: self.budget.posts]
        # Batches of one size, give or take a post, so that none is left with a single one.
        for number, chosen in enumerate(np.array_split(posts, self.budget.batches)):
            loss = self.batch_loss(chosen)
            value = loss.item()
            check_loss(value, f"in epoch {epoch}, batch {number + 1}", self.settings, self.rates)
            for parameter in self.parameters:
                parameter.grad = None
            # A sum over tags: how far a word moves must not depend on how many tags there are besides its own.
            (loss * self.tags).backward()
            replicas.sum_gradients(self.model)
            if self.settings.clip_value is not None:
                clip_gradients(self.parameters, self.settings.clip_value)
            for optimizer, scheduler in zip(self.optimizers, self.schedulers, strict=True):
                optimizer.step()
                scheduler.step()
            total += value * len(chosen) / len(posts)
            bar.update(len(chosen))
        replicas.check_equal(self.model)
        return replicas.add_up(total)

    def batch_loss(self, chosen: np.ndarray) -> Tensor:
        """The mean loss of some posts, with the noise of training; of several processes, this one's part of it."""
        share = replicas.share(len(chosen))
        features = drop_words(self.train.features_of(chosen), self.settings.word_dropout, self.rng)
        labels = self.train.labels_of(chosen[share]).to(self.device)
        mix = draw_mixup(len(chosen), share, self.settings.mixup, self.rng)
        logits = self.model(*to(self.device, part_of(features, share)), mix=mix)
        loss = self.loss(logits, labels, self.pos_weight)
        if mix is not None:
            fraction, others = mix
            loss = fraction * loss + (1 - fraction) * self.loss(logits, labels[others], self.pos_weight)
        return loss * (len(labels) / len(chosen))

    def score(self, posts: Posts) -> dict[str, float]:
        return replicas.by_first(lambda: score(self.model, posts, self.settings.loss, self.pos_weight))

    def learning_rate_factor(self, step: int) -> float:
        """The factor on all learning rates: linear warm-up from 0, then linear decay to 0."""
        batches = self.budget.batches
        done = (step // batches + step % batches / batches) / max(self.budget.epochs, 1)
        warmup = self.settings.warmup
        return done / warmup if done < warmup else (1 - done) / (1 - warmup)

    def state_dict(self) -> dict[str, object]:
        """All that the next epoch depends on."""
        return {
            "history": self.history,
            "best": tuple(self.best[:2]),
            "best_weights": self.best_weights,
            "state": snapshot(self.model, [*self.optimizers, *self.schedulers], self.rng),
        }

    def load_state_dict(self, saved: dict) -> None:
        self.history, self.best, self.best_weights = saved["history"], Best(*saved["best"]), saved["best_weights"]
        restore(saved["state"], self.model, [*self.optimizers, *self.schedulers], self.rng)


def progress_bar(run: Run, epochs: int) -> tqdm:
    posts = run.budget.posts
    return tqdm(
        total=epochs * posts,
        initial=max(0, len(run.history) - 1) * posts,
        desc=f"run {run.seed}",
        unit=" posts",
        unit_scale=True,
        disable=True if replicas.rank() else None,
        position=run.seed - run.settings.seed,  # runs are trained side by side
    )


def write_log(log: Log | None, scores: dict[str, float]) -> None:
    if log is not None:
        for name, value in scores.items():
            log.log_metric(name, value)
        log.next_step()


def check_loss(loss: float, where: str, settings: Train, rates: Iterable[str]) -> None:
    """Raise :class:`UserError` for a loss that is not finite; ``rates`` are the learning rates that count."""
    if not math.isfinite(loss):
        rates = [*rates, *(["weight_decay"] if settings.weight_decay * settings.lr >= 1 else [])]
        named = " and ".join(f"{settings.place(rate)} ({getattr(settings, rate):g})" for rate in rates)
        raise UserError(f"the loss is {loss} {where}; lower {named}")


def check_first_loss(model: MLP, posts: Posts, loss_of: Loss, settings: Train) -> None:
    """An untrained network knows nothing: its loss is near that of a logit of 0 for every tag.

    It is taken with the labels and with their complement: where most posts have a tag, a random bias towards it would
    look like learning. Raises :class:`UserError` where the loss is far off: features or weights are not of the usual
    scale.
    """
    first = np.arange(min(FIRST, len(posts)))
    with torch.no_grad():
        model.eval()
        logits = model(*to(next(model.parameters()).device, posts.features_of(first))).cpu()
        labels = posts.labels_of(first)
        loss = (loss_of(logits, labels).item() + loss_of(logits, 1 - labels).item()) / 2
    if not abs(loss / loss_of.untrained - 1) < 0.15:
        narrow = min(settings.hidden, default=NARROW) < NARROW
        raise UserError(
            f"the untrained network's loss is {loss:.4f}, not {loss_of.untrained:.4f}; "
            + (f"widen {settings.place('hidden')}" if narrow else "are all features on the same scale?")
        )


def make_optimizers(model: MLP, settings: Train) -> list[Optimizer]:
    """AdamW for the layers, an encoder's with learning rates that fall with depth (Howard and Ruder, ULMFiT, 2018).

    For embedding matrices RowwiseAdagrad: it updates the rows that a batch holds, so that no step walks all of them.
    """
    matrices = model.embedding_matrices
    layers = [
        parameter
        for name, parameter in model.named_parameters()
        if not (any(parameter is matrix for matrix in matrices) or name.startswith("encoder."))
    ]
    groups: list[dict[str, Any]] = [{"params": layers}]
    if model.encoder is not None:
        groups += [
            {"params": parameters, "lr": settings.encoder_lr * settings.layer_decay**depth}
            for depth, parameters in enumerate(model.encoder.layers())
        ]
    optimizers: list[Optimizer] = [AdamW(groups, settings.lr, settings.weight_decay)]
    if trained := [matrix for matrix in matrices if matrix.requires_grad]:
        optimizers.append(RowwiseAdagrad(trained, settings.embedding_lr, settings.embedding_accumulator))
    return optimizers


def clip_gradients(parameters: Iterable[Tensor], limit: float) -> None:
    """Clip every entry of every gradient to ±limit."""
    for parameter in parameters:
        gradient = parameter.grad
        if gradient is not None:
            (gradient._values() if gradient.is_sparse else gradient).clamp_(-limit, limit)


@torch.no_grad()
def predict(model: MLP, posts: Posts) -> Iterator[tuple[np.ndarray, Tensor]]:
    """Places in ``posts.rows`` and logits [posts, tags] of all posts in order, a batch at a time."""
    device = next(model.parameters()).device
    model.eval()
    size = max(1, min(PREDICT_BATCH, PREDICT_LOGITS // posts.labels.shape[1]))
    for start in range(0, len(posts), size):
        chosen = np.arange(start, min(start + size, len(posts)))
        yield chosen, model(*to(device, posts.features_of(chosen))).cpu()


def score(model: MLP, posts: Posts, loss: str, pos_weight: Tensor | None = None) -> dict[str, float]:
    """Mean loss, Hamming loss at a probability of 0.5, and micro-F1 at the best of THRESHOLDS."""
    device = next(model.parameters()).device
    total = wrong = 0.0
    search = ThresholdSearch(exact=0, bins=THRESHOLDS)
    for chosen, logits in predict(model, posts):
        labels = posts.labels_of(chosen)
        total += LOSSES[loss](logits.to(device), labels.to(device), pos_weight).item() * len(labels)
        relevant = labels > 0
        wrong += ((logits > 0) != relevant).sum().item()
        # A NaN ends the run, by its loss.
        scores = PROBABILITIES[loss](logits.nan_to_num().numpy()).ravel()
        search.update(scores, relevant.numpy().ravel(), int(relevant.sum()))
    return {
        "loss": total / len(posts),
        "hamming": wrong / (len(posts) * posts.labels.shape[1]),
        "micro_f1": search.best().micro_f1,
    }
