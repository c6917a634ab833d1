"""The training loop that both arms share: seeds, early stopping, logging, weights."""

import copy
import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from tqdm import tqdm

from tagstudy.core.config import Train
from tagstudy.core.device import choose_device
from tagstudy.core.errors import UserError
from tagstudy.core.files import read_json, whole_folder, write_json
from tagstudy.core.paths import FEATURES, MODELS, POSTS, TIMINGS
from tagstudy.core.store import CsrMatrix, DenseMatrix, open_features, read_labels
from tagstudy.model.checkpoint import UNFINISHED, Checkpoint, fingerprint, restore, snapshot
from tagstudy.model.losses import LOSSES, Loss
from tagstudy.model.mlp import MLP, CsrEmbedding
from tagstudy.model.optimizers import AdamW, RowwiseAdagrad

if TYPE_CHECKING:
    from dvclive import Live

PREDICT_BATCH = 4096  # posts per batch where nothing is learned
FIRST = 256  # posts that the first loss is taken of
THRESHOLDS = 1000  # in how many steps the loop looks for the best one


class Data(NamedTuple):
    features: CsrMatrix | DenseMatrix
    labels: Tensor  # [posts, tags] booleans


def train_arm(arm: str, settings: Train, features: str) -> str:
    """Train the network once per seed on data/features/FEATURES; write data/models/ARM. Returns a line that says so.

    The seconds go to data/timings/ARM.json, apart from what is the same each time. A training that was stopped is taken
    up from data/unfinished/ARM.
    """
    from dvclive import Live  # half a second, for training alone

    torch.set_num_threads(settings.threads)
    tags = read_json(POSTS / "tags.json")
    train, valid = (
        Data(open_features(FEATURES / features / split), torch.from_numpy(read_labels(split, tags)))
        for split in ("train", "valid")
    )
    network = describe_network(settings, read_json(FEATURES / features / "features.json"), len(tags))
    seeds = list(range(settings.seed, settings.seed + settings.runs))
    seconds = []
    about = fingerprint(settings, network, folders=[FEATURES / features, POSTS])
    with whole_folder(MODELS / arm) as folder:
        write_json(folder / "model.json", {"network": network, "loss": settings.loss, "seeds": seeds})
        for seed in seeds:
            torch.manual_seed(seed)
            model = build(network)
            load_pretrained_embedding(model, FEATURES / features / "table.npy", settings.freeze)
            model.to(choose_device(settings.device))
            if seed == seeds[0]:
                print(f"{len(train.labels):,} posts to train on, {len(tags)} tags\n{model.describe()}")
                print(f"at most {settings.epochs} epochs, {settings.batch_size} posts a batch, lr {settings.lr:g}")
            # With its defaults Live would rewrite dvc.yaml in the middle of a repro.
            with Live(str(folder / f"run-{seed}"), dvcyaml=None, save_dvc_exp=False, report=None) as live:
                checkpoint = Checkpoint(UNFINISHED / arm / f"run-{seed}.pt", about)
                epoch, micro_f1 = fit(model, train, valid, settings, seed, live, checkpoint)
                seconds.append(checkpoint.seconds())
            save_file(model.state_dict(), folder / f"run-{seed}" / "weights.safetensors")
            print(f"run {seed}: best validation micro-F1 {micro_f1:.4f} in epoch {epoch}")
    shutil.rmtree(UNFINISHED / arm, ignore_errors=True)
    TIMINGS.mkdir(exist_ok=True)
    write_json(TIMINGS / f"{arm}.json", {"seconds": seconds})
    return f"trained {len(seeds)} times on {len(train.labels):,} posts"


def describe_network(settings: Train, features: dict[str, Any], tags: int) -> dict[str, Any]:
    """What :func:`build` takes, for features as their features.json tells."""
    return {
        **features,
        "outputs": tags,
        "hidden": settings.hidden,
        "skip_connection": settings.skip_connection,
        "batch_norm": settings.batch_norm,
        "activation": settings.activation,
        "dropout": settings.dropout,
    }


def build(network: dict[str, Any]) -> MLP:
    """The network that a model.json describes, untrained."""
    if "encoder" not in network:
        return MLP(**network)
    from tagstudy.encoders.encoder import Encoder  # and with it sentence-transformers, which other networks do not need

    return MLP(**network | {"encoder": Encoder(network["encoder"])})


def load_pretrained_embedding(model: MLP, path: Path, freeze: bool) -> None:
    """Start the network's table from that of a file, if there is one, and keep it so if ``freeze``."""
    if path.exists():
        with torch.no_grad():
            model.first.weight.copy_(torch.from_numpy(np.load(path)))
        model.first.weight.requires_grad_(not freeze)


def fit(
    model: MLP, train: Data, valid: Data, settings: Train, seed: int, live: "Live", checkpoint: Checkpoint | None = None
) -> tuple[int, float]:
    """Train until micro-F1 on valid has not risen for `patience` epochs; leave the best weights in the model.

    Epoch 0 of the log is the untrained network. Returns the best epoch and its micro-F1. A run that the
    checkpoint holds goes on where it was, to the same weights as if it had not been stopped.
    Raises :class:`UserError` when the loss is no longer a number.
    """
    device = next(model.parameters()).device
    posts, tags = train.labels.shape
    count = train.labels.sum(dim=0)
    loss_of = LOSSES[settings.loss]
    # The original study's weights: posts / (tags × count), so that the posts of a rare tag count for more.
    pos_weight = (posts / (tags * count)).to(device) if settings.pos_weight else None
    check_first_loss(model, train, loss_of)
    if not settings.pos_weight:
        model.start_from(loss_of.logit((count + 1) / (posts + 2)))  # Laplace's rule: never quite 0 or 1
    optimizers = make_optimizers(model, settings)
    rng = np.random.default_rng(seed)
    batches = math.ceil(posts / settings.batch_size)

    history: list[dict[str, float]] = []  # of each epoch, the untrained network's with them
    best_epoch, best_weights = 0, model.state_dict()
    held = checkpoint.load() if checkpoint else None
    if held:
        history, best_epoch, best_weights = held["history"], held["best_epoch"], held["best_weights"]
        restore(held["state"], model, optimizers, rng)
    for scores in history:
        log(live, scores)
    bar = tqdm(
        total=settings.epochs * posts,
        initial=max(0, len(history) - 1) * posts,
        desc=f"run {seed}",
        unit=" posts",
        unit_scale=True,
        disable=None,
    )
    while len(history) <= settings.epochs and len(history) - 1 - best_epoch < settings.patience:
        epoch = len(history)
        if epoch == 0:
            train_loss = assess(model, train, loss_of, pos_weight)["loss"]
        else:
            model.train()
            train_loss = 0.0
            # Batches of one size, give or take a post, so that none is left with a single one.
            for number, rows in enumerate(np.array_split(rng.permutation(posts), batches)):
                batch = drop_words(train.features.batch(rows), settings.word_dropout, rng)
                labels = train.labels[rows].to(device).float()
                mix = draw_mixup(len(rows), settings.mixup, rng)
                logits = model(*to(device, batch), mix=mix)
                loss = loss_of(logits, labels, pos_weight)
                if mix is not None:
                    share, others = mix
                    loss = share * loss + (1 - share) * loss_of(logits, labels[others], pos_weight)
                value = loss.item()
                check_loss(value, f"in epoch {epoch}, batch {number + 1}")
                model.zero_grad()
                # A sum over tags: how far a word moves must not depend on how many tags there are besides its own.
                (loss * tags).backward()
                if settings.clip_value is not None:
                    clip_gradients(model, settings.clip_value)
                done = (epoch - 1 + number / batches) / settings.epochs
                for optimizer in optimizers:
                    optimizer.step(learning_rate_factor(done, settings.warmup))
                train_loss += value * len(rows) / posts
                bar.update(len(rows))
        scores = assess(model, valid, loss_of, pos_weight)
        check_loss(scores["loss"], f"on valid after epoch {epoch}")
        history.append({"train_loss": train_loss} | {f"valid_{name}": value for name, value in scores.items()})
        log(live, history[-1])
        bar.set_postfix(epoch=epoch, valid_micro_f1=f"{scores['micro_f1']:.4f}")
        if epoch == 0 or scores["micro_f1"] > history[best_epoch]["valid_micro_f1"]:
            best_epoch, best_weights = epoch, copy.deepcopy(model.state_dict())
        if checkpoint:
            state = snapshot(model, optimizers, rng)
            checkpoint.save(
                {"history": history, "best_epoch": best_epoch, "best_weights": best_weights, "state": state}
            )
    bar.close()
    model.load_state_dict(best_weights)
    return best_epoch, history[best_epoch]["valid_micro_f1"]


def log(live: "Live", scores: dict[str, float]) -> None:
    for name, value in scores.items():
        live.log_metric(name, value)
    live.next_step()


def learning_rate_factor(done: float, warmup: float) -> float:
    """The share of the learning rates that is used when a share of the steps is done: straight up, straight down."""
    return done / warmup if done < warmup else (1 - done) / (1 - warmup)


def check_loss(loss: float, where: str) -> None:
    if not math.isfinite(loss):
        raise UserError(f"the loss is {loss} {where}; lower the learning rates, train.lr, embedding_lr and encoder_lr")


def check_first_loss(model: MLP, data: Data, loss_of: Loss) -> None:
    """An untrained network knows nothing: its loss is near that of a logit of 0 for every tag.

    It is taken towards the labels and away from them: where every post has a tag, a chance lean to it would look like
    knowledge. Raises :class:`UserError` where it is far, which says that features or weights are not of
    the usual scale.
    """
    posts = min(FIRST, len(data.labels))
    with torch.no_grad():
        model.eval()
        features = data.features.batch(np.arange(posts))
        logits, labels = model(*to(next(model.parameters()).device, features)).cpu(), data.labels[:posts].float()
        loss = (loss_of(logits, labels).item() + loss_of(logits, 1 - labels).item()) / 2
    if not abs(loss / loss_of.untrained - 1) < 0.15:
        raise UserError(
            f"the untrained network's loss is {loss:.4f}, not {loss_of.untrained:.4f}; are the features of one scale?"
        )


def drop_words(batch: tuple[np.ndarray, ...], share: float, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Dropout on the input: a random ``share`` of the words, or of a dense matrix's entries, is set to 0.

    The others are scaled up in turn.
    """
    *where, weights = batch
    if not share:
        return batch
    kept = rng.random(weights.shape, dtype=np.float32) >= share
    return *where, weights * kept / np.float32(1 - share)


def draw_mixup(posts: int, mixup: float, rng: np.random.Generator) -> tuple[float, Tensor] | None:
    """The share that each post keeps, and the posts [posts] that the rest comes from (Zhang et al., mixup, 2018)."""
    if not mixup:
        return None
    return rng.beta(mixup, mixup), torch.from_numpy(rng.permutation(posts))


def make_optimizers(model: MLP, settings: Train) -> list[AdamW | RowwiseAdagrad]:
    """AdamW for the layers, and an encoder's with rates of their own (Howard and Ruder, ULMFiT, 2018).

    For a table RowwiseAdagrad: only the rows that a batch holds, so that no step walks all of it.
    """
    table = model.first.weight if isinstance(model.first, CsrEmbedding) else None
    own = [parameter for module in (model.first, model.embedding, model.rest) for parameter in module.parameters()]
    layers = [parameter for parameter in own if parameter is not table]
    optimizers: list[AdamW | RowwiseAdagrad] = [AdamW(layers, settings.lr, settings.weight_decay)]
    if model.encoder is not None:
        for depth, parameters in enumerate(model.encoder.layers()):
            rate = settings.encoder_lr * settings.layer_decay**depth
            optimizers.append(AdamW(parameters, rate, settings.weight_decay))
    if table is not None and table.requires_grad:
        optimizers.append(RowwiseAdagrad(table, settings.embedding_lr, settings.embedding_accumulator))
    return optimizers


def clip_gradients(model: nn.Module, limit: float) -> None:
    """Clip every entry of every gradient to ±limit."""
    for parameter in model.parameters():
        gradient = parameter.grad
        if gradient is not None:
            (gradient._values() if gradient.is_sparse else gradient).clamp_(-limit, limit)


@torch.no_grad()
def predict(model: MLP, features: CsrMatrix | DenseMatrix) -> Iterator[Tensor]:
    """Logits [posts, tags] of all posts in order, a batch at a time."""
    device = next(model.parameters()).device
    model.eval()
    for start in range(0, len(features), PREDICT_BATCH):
        rows = np.arange(start, min(start + PREDICT_BATCH, len(features)))
        yield model(*to(device, features.batch(rows))).cpu()


def assess(model: MLP, data: Data, loss_of: Loss, pos_weight: Tensor | None = None) -> dict[str, float]:
    """Mean loss, Hamming distance at a probability of 0.5, and micro-F1 at the best of THRESHOLDS."""
    device = next(model.parameters()).device
    loss = wrong = 0.0
    given, right = (torch.zeros(THRESHOLDS + 1, dtype=torch.int64) for _ in range(2))  # tags by their probability
    for logits, labels in zip(predict(model, data.features), data.labels.split(PREDICT_BATCH), strict=True):
        loss += loss_of(logits.to(device), labels.to(device).float(), pos_weight).item() * len(labels)
        wrong += ((logits > 0) != labels).sum().item()
        step = (loss_of.probability(logits).nan_to_num() * THRESHOLDS).int()  # fit stops at a loss that is not finite
        given += step.flatten().bincount(minlength=THRESHOLDS + 1)
        right += step[labels].bincount(minlength=THRESHOLDS + 1)
    given, right = given.flip(0).cumsum(0), right.flip(0).cumsum(0)  # at each threshold, from 1 down to 0
    return {
        "loss": loss / len(data.labels),
        "hamming": wrong / data.labels.numel(),
        "micro_f1": (2 * right / (given + right[-1])).max().item(),  # 2 TP / (2 TP + FP + FN)
    }


def to(device: torch.device, batch: tuple[np.ndarray, ...]) -> tuple[Tensor, ...]:
    return tuple(torch.from_numpy(part).to(device) for part in batch)
