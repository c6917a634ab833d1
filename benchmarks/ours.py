"""The study's own two arms, by its own loop, on the features that its stages wrote."""

import time
from collections.abc import Callable

import numpy as np
import torch

from contestant import Result, timed, tuned_micro_f1
from features import Bags, read_labels
from losses import LOSSES
from mlp import MLP
from params import Train, read_params
from stage import FEATURES, POSTS, SPLITS, read_json
from training import Data, describe_network, fit, predict


class Stopwatch:
    """Takes what the loop logs: at the end of each epoch the seconds of training, and what ``look`` gives meanwhile."""

    def __init__(self, look: Callable[[], float]) -> None:
        self.look = look
        self.curve: list[tuple[float, dict[str, float]]] = []
        self.scores: dict[str, float] = {}
        self.start = time.perf_counter()

    def log_metric(self, name: str, value: float) -> None:
        self.scores[name] = value

    def next_step(self) -> None:
        seconds = time.perf_counter() - self.start
        self.curve.append((seconds, {**self.scores, "valid_tuned_micro_f1": self.look()}))
        self.scores = {}
        self.start = time.perf_counter() - seconds


def train(features: str, settings: Train, embedding_dim: int | None) -> list[Result]:
    torch.set_num_threads(settings.threads)
    tags = read_json(POSTS / "tags.json")
    data = {
        split: Data(Bags(FEATURES / features / split), torch.from_numpy(read_labels(split, tags))) for split in SPLITS
    }
    columns = len(read_json(FEATURES / features / "vocabulary.json"))
    results = []
    for seed in range(settings.seed, settings.seed + settings.runs):
        torch.manual_seed(seed)
        model = MLP(**describe_network(settings, columns, len(tags), embedding_dim))

        def scores(split: str, model: MLP = model) -> np.ndarray:
            return LOSSES[settings.loss].probability(torch.cat(list(predict(model, data[split].features)))).numpy()

        watch = Stopwatch(lambda: tuned_micro_f1(data["valid"].labels.numpy(), scores("valid")))
        epoch, _ = fit(model, data["train"], data["valid"], settings, seed, watch)
        seconds = time.perf_counter() - watch.start
        test, speed = timed(lambda: scores("test"))
        parameters = sum(parameter.numel() for parameter in model.parameters())
        results.append(Result(scores("valid"), test, seconds, parameters, f"best epoch {epoch}", speed, watch.curve))
    return results


def sparse() -> list[Result]:
    return train("tfidf", read_params().train_sparse, None)


def dense() -> list[Result]:
    settings = read_params().train_dense
    return train("dense", settings, settings.embedding_dim)
