"""The study's own two arms, by its own loop, on the features that its stages wrote."""

import time
from collections.abc import Callable

import numpy as np
import torch

from contestant import Result, timed
from tagstudy.core.config import Train, read_params
from tagstudy.core.files import read_json
from tagstudy.core.paths import ARMS, FEATURES, POSTS, SPLITS
from tagstudy.core.store import open_features, read_labels
from tagstudy.evaluation.scoring import best_micro_f1
from tagstudy.model.losses import LOSSES
from tagstudy.model.mlp import MLP
from tagstudy.model.training import Data, build, describe_network, fit, load_pretrained_embedding, predict


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


def load(arm: str) -> tuple[Train, dict[str, Data], Callable[[], MLP]]:
    """An arm's settings, its features and labels by split, and what makes its network, untrained."""
    settings = getattr(read_params(), f"train_{arm}")
    torch.set_num_threads(settings.threads)
    tags, folder = read_json(POSTS / "tags.json"), FEATURES / ARMS[arm]
    data = {split: Data(open_features(folder / split), torch.from_numpy(read_labels(split, tags))) for split in SPLITS}
    network = describe_network(settings, read_json(folder / "features.json"), len(tags))

    def make() -> MLP:
        model = build(network)
        load_pretrained_embedding(model, folder / "table.npy", settings.freeze)
        return model

    return settings, data, make


def train(arm: str) -> list[Result]:
    settings, data, make = load(arm)
    results = []
    for seed in range(settings.seed, settings.seed + settings.runs):
        torch.manual_seed(seed)
        model = make()

        def scores(split: str, model: MLP = model) -> np.ndarray:
            return LOSSES[settings.loss].probability(torch.cat(list(predict(model, data[split].features)))).numpy()

        watch = Stopwatch(lambda: best_micro_f1(data["valid"].labels.numpy(), scores("valid")))
        fit(model, data["train"], data["valid"], settings, seed, watch)
        seconds = time.perf_counter() - watch.start
        test, speed = timed(lambda: scores("test"))
        parameters = sum(parameter.numel() for parameter in model.parameters())
        results.append(Result(scores("valid"), test, seconds, parameters, speed, watch.curve))
    return results


def sparse() -> list[Result]:
    return train("sparse")


def dense() -> list[Result]:
    return train("dense")
