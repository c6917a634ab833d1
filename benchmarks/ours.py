"""The study's own two arms, trained by its own loop on the features that its stages wrote."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from contestant import Result, timed
from dense_scores import tune
from tagstudy.core.config import read_params
from tagstudy.core.corpus import Corpus
from tagstudy.core.files import read_json
from tagstudy.core.paths import SPLITS, arm_folders, features_of_fold
from tagstudy.core.store import open_matrix
from tagstudy.model.batches import Posts
from tagstudy.model.mlp import MLP
from tagstudy.model.network import describe_network, initial_network
from tagstudy.model.training import fit, predict
from tagstudy.predictions.links import PROBABILITIES


class Arm:
    """An arm of the study in the working directory, on one fold: its settings, its posts by split and its network."""

    def __init__(self, name: str, fold: int = 0) -> None:
        folders = arm_folders(name)
        features_folder = features_of_fold(folders.features, fold)
        self.settings = getattr(read_params(), f"train_{name}")
        torch.set_num_threads(self.settings.threads)
        corpus, features = Corpus(folders.posts), open_matrix(features_folder / "matrix")
        self.posts = {split: Posts(features, corpus.labels, corpus.rows(split, fold)) for split in SPLITS}
        self.network = describe_network(self.settings, read_json(features_folder / "features.json"), len(corpus.tags))
        self.features = features_folder

    def untrained(self, seed: int, **changes: Any) -> MLP:
        """The network before training, with some entries of its description changed."""
        torch.manual_seed(seed)
        return initial_network(self.network | changes, self.features, self.posts["train"], self.settings)

    def labels(self, split: str) -> np.ndarray:
        """[posts, tags] booleans."""
        posts = self.posts[split]
        return posts.labels_of(np.arange(len(posts))).numpy() > 0

    def probabilities(self, model: MLP, split: str) -> np.ndarray:
        """[posts, tags]"""
        logits = [logits.numpy() for _, logits in predict(model, self.posts[split])]
        return PROBABILITIES[self.settings.loss](np.concatenate(logits))


class Stopwatch:
    """A log of a run: the seconds of training at the end of each epoch, and the epoch's scores.

    ``tuned_micro_f1`` gives one more score, micro-F1 on valid at its exact threshold; its seconds do not count.
    """

    def __init__(self, tuned_micro_f1: Callable[[], float]) -> None:
        self.tuned_micro_f1 = tuned_micro_f1
        self.curve: list[tuple[float, dict[str, float]]] = []
        self.scores: dict[str, float] = {}
        self.start = time.perf_counter()

    def log_metric(self, name: str, value: float) -> None:
        self.scores[name] = value

    def next_step(self) -> None:
        seconds = time.perf_counter() - self.start
        self.curve.append((seconds, {**self.scores, "valid_tuned_micro_f1": self.tuned_micro_f1()}))
        self.scores = {}
        self.start = time.perf_counter() - seconds


def train(name: str, fold: int) -> Result:
    """As the stage trains the run of a fold."""
    arm = Arm(name, fold)
    seed = arm.settings.seed + fold
    model, labels = arm.untrained(seed), arm.labels("valid")
    watch = Stopwatch(lambda: tune(labels, arm.probabilities(model, "valid")).micro_f1)
    fit(model, arm.posts["train"], arm.posts["valid"], arm.settings, seed, watch)
    seconds = time.perf_counter() - watch.start
    test, speed = timed(lambda: arm.probabilities(model, "test"))
    return Result(arm.probabilities(model, "valid"), test, seconds, model.parameter_count(), speed, watch.curve)


def sparse(fold: int) -> Result:
    return train("sparse", fold)


def dense(fold: int) -> Result:
    return train("dense", fold)
