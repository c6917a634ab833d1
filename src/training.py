"""The training loop that both arms share: seeds, sparse steps, early stopping, logging, weights."""

import copy
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from dvclive import Live
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits
from tqdm import tqdm

from features import Bags, read_labels
from mlp import MLP
from params import Train
from stage import FEATURES, MODELS, POSTS, BadInput, read_json, whole_folder, write_json

PREDICT_BATCH = 4096  # posts per batch where nothing is learned


class Data(NamedTuple):
    features: Bags
    labels: Tensor  # [posts, tags] 0 or 1


def train_arm(arm: str, settings: Train, features: str, embedding_dim: int | None) -> str:
    """Train the network once per seed on data/features/FEATURES; write data/models/ARM. Returns a line that says so."""
    torch.set_num_threads(settings.threads)
    tags = read_json(POSTS / "tags.json")
    train, valid = (
        Data(Bags(FEATURES / features / split), torch.from_numpy(read_labels(split, tags)))
        for split in ("train", "valid")
    )
    network: dict[str, Any] = {
        "inputs": len(read_json(FEATURES / features / "vocabulary.json")),
        "outputs": len(tags),
        "bag": True,
        "embedding_dim": embedding_dim,
        "hidden": settings.hidden,
        "batch_norm": settings.batch_norm,
        "activation": settings.activation,
        "dropout": settings.dropout,
    }
    seeds = list(range(settings.seed, settings.seed + settings.runs))
    with whole_folder(MODELS / arm) as folder:
        write_json(folder / "model.json", {"network": network, "seeds": seeds})
        for seed in seeds:
            torch.manual_seed(seed)
            model = MLP(**network).to(choose_device(settings.device))
            if seed == seeds[0]:
                print(f"{len(train.labels):,} posts to train on, {len(tags)} tags\n{model.describe()}")
            # With its defaults Live would rewrite dvc.yaml in the middle of a repro.
            with Live(str(folder / f"run-{seed}"), dvcyaml=None, save_dvc_exp=False, report=None) as live:
                epoch, loss = fit(model, train, valid, settings, seed, live)
            save_file(model.state_dict(), folder / f"run-{seed}" / "weights.safetensors")
            print(f"run {seed}: best validation loss {loss:.4f} in epoch {epoch}")
    return f"trained {len(seeds)} times on {len(train.labels):,} posts"


def choose_device(name: str) -> torch.device:
    """The device that `train.device` names; for `auto` a GPU where there is one."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise BadInput(f"train.device: no {name} on this machine; use auto or cpu")
    return device


def fit(model: MLP, train: Data, valid: Data, settings: Train, seed: int, live: Live) -> tuple[int, float]:
    """Train until validation loss has not fallen for `patience` epochs; leave the best weights in the model.

    Epoch 0 of the log is the untrained network. Returns the best epoch and its validation loss.
    Raises :class:`BadInput` when the loss is no longer a number.
    """
    device = next(model.parameters()).device
    posts, tags = train.labels.shape
    count = train.labels.sum(dim=0)
    # The original study's weights: posts / (tags × count), so that the posts of a rare tag count for more.
    weight = posts / (tags * count) if settings.pos_weight else None
    loss_of = nn.BCEWithLogitsLoss(pos_weight=weight).to(device)
    check_first_loss(model, train)
    if not settings.pos_weight:
        model.start_from_frequencies((count + 1) / (posts + 2))  # Laplace's rule: never quite 0 or 1
    optimizers = make_optimizers(model, settings)
    shuffle = np.random.default_rng(seed)
    batches = math.ceil(posts / settings.batch_size)

    best_epoch, best_loss, best_weights = 0, math.inf, model.state_dict()
    bar = tqdm(total=settings.epochs * posts, desc=f"run {seed}", unit=" posts", unit_scale=True, disable=None)
    for epoch in range(settings.epochs + 1):
        if epoch == 0:
            train_loss = assess(model, train, loss_of)["loss"]
        else:
            model.train()
            train_loss = 0.0
            # Batches of one size, give or take a post, so that none is left with a single one.
            for batch, rows in enumerate(np.array_split(shuffle.permutation(posts), batches), start=1):
                loss = loss_of(model(*to(device, train.features.batch(rows))), train.labels[rows].to(device))
                value = loss.item()
                check_loss(value, f"in epoch {epoch}, batch {batch}")
                for optimizer in optimizers:
                    optimizer.zero_grad()
                loss.backward()
                if settings.clip_value is not None:
                    clip_gradients(model, settings.clip_value)
                for optimizer in optimizers:
                    optimizer.step()
                train_loss += value * len(rows) / posts
                bar.update(len(rows))
        scores = assess(model, valid, loss_of)
        check_loss(scores["loss"], f"on valid after epoch {epoch}")
        live.log_metric("train_loss", train_loss)
        for name, value in scores.items():
            live.log_metric(f"valid_{name}", value)
        live.next_step()
        bar.set_postfix(epoch=epoch, valid_loss=f"{scores['loss']:.4f}")
        if scores["loss"] < best_loss:
            best_epoch, best_loss, best_weights = epoch, scores["loss"], copy.deepcopy(model.state_dict())
        elif epoch - best_epoch >= settings.patience:
            break
    bar.close()
    model.load_state_dict(best_weights)
    return best_epoch, best_loss


def check_loss(loss: float, where: str) -> None:
    if not math.isfinite(loss):
        raise BadInput(f"the loss is {loss} {where}; lower train.lr and train.table_lr")


def check_first_loss(model: MLP, data: Data) -> None:
    """An untrained network knows nothing: at even odds for every tag its loss is ln 2.

    Raises :class:`BadInput` where it is not, which says that features or weights are far from their usual scale.
    """
    posts = min(PREDICT_BATCH, len(data.labels))
    loss = binary_cross_entropy_with_logits(next(predict(model, data.features)), data.labels[:posts]).item()
    if not abs(loss - math.log(2)) < 0.1:
        raise BadInput(f"the untrained network's loss is {loss:.4f}, not ln 2 = 0.6931; are the features of one scale?")


def make_optimizers(model: MLP, settings: Train) -> list[torch.optim.Optimizer]:
    """AdamW; for a table Adam on the rows that a batch holds, so that a step never walks the vocabulary."""
    table = model.first.weight if isinstance(model.first, nn.EmbeddingBag) else None
    rest = [parameter for parameter in model.parameters() if parameter is not table]
    adamw = torch.optim.AdamW(rest, lr=settings.lr, weight_decay=settings.weight_decay, fused=True)
    return [adamw] if table is None else [adamw, torch.optim.SparseAdam([table], lr=settings.table_lr)]


def clip_gradients(model: nn.Module, limit: float) -> None:
    """Clip every entry of every gradient to ±limit; of a sparse one once the repeated rows are summed."""
    for parameter in model.parameters():
        if parameter.grad is None:
            continue
        if parameter.grad.is_sparse:
            parameter.grad = parameter.grad.coalesce()
            parameter.grad.values().clamp_(-limit, limit)
        else:
            parameter.grad.clamp_(-limit, limit)


@torch.no_grad()
def predict(model: MLP, features: Bags) -> Iterator[Tensor]:
    """Logits [posts, tags] of all posts in order, a batch at a time."""
    device = next(model.parameters()).device
    model.eval()
    for start in range(0, len(features), PREDICT_BATCH):
        rows = np.arange(start, min(start + PREDICT_BATCH, len(features)))
        yield model(*to(device, features.batch(rows))).cpu()


def assess(model: MLP, data: Data, loss_of: nn.Module) -> dict[str, float]:
    """Mean loss, Hamming distance and micro-F1 at a probability of 0.5."""
    device = next(model.parameters()).device
    loss = wrong = right = 0.0
    for logits, labels in zip(predict(model, data.features), data.labels.split(PREDICT_BATCH), strict=True):
        guesses = logits > 0
        loss += loss_of(logits.to(device), labels.to(device)).item() * len(labels)
        wrong += (guesses != labels.bool()).sum().item()
        right += (guesses & labels.bool()).sum().item()
    return {
        "loss": loss / len(data.labels),
        "hamming": wrong / data.labels.numel(),
        # 2 TP / (2 TP + FP + FN); 0 where nothing is right
        "micro_f1": 2 * right / (2 * right + wrong) if right else 0.0,
    }


def to(device: torch.device, batch: tuple[np.ndarray, ...]) -> tuple[Tensor, ...]:
    return tuple(torch.from_numpy(part).to(device) for part in batch)
