"""evaluate.py: what is chosen is chosen on valid; the fusion is held against each arm."""

import numpy as np
import pytest

import evaluate
from tagstudy.evaluation import comparison
from tagstudy.evaluation.fusion import Answer
from tagstudy.evaluation.scoring import best_threshold


def ask(labels: np.ndarray, rng: np.random.Generator, lean: float) -> Answer:
    """What a network says that knows something of the labels, and leans to tags or away from them."""
    logits = (2 * labels - 1 + rng.normal(size=labels.shape) + lean).astype(np.float32)
    return Answer(logits, 1 / (1 + np.exp(-logits)))


def test_a_threshold_follows_from_valid_alone() -> None:
    rng = np.random.default_rng(0)
    labels = {split: rng.random((300, 4)) < 0.3 for split in ("valid", "test")}
    answer = {"valid": ask(labels["valid"], rng, 0), "test": ask(labels["test"], rng, 2)}
    threshold = evaluate.assess(labels, answer, "tuned").scores["threshold"]
    assert threshold == best_threshold(labels["valid"], answer["valid"].probabilities)
    assert threshold != best_threshold(labels["test"], answer["test"].probabilities)
    assert evaluate.assess(labels | {"test": ~labels["test"]}, answer, "tuned").scores["threshold"] == threshold


def test_gains_are_what_the_fusion_has_over_each_arm_run_for_run() -> None:
    """Of an arm's runs only those that a fusion holds count."""
    rng = np.random.default_rng(0)
    labels = rng.random((200, 4)) < 0.3
    runs = {"dense": 2, "sparse": 3, "fusion": 2}
    wrong = {arm: rng.random(labels.shape) < 0.2 for arm in runs}  # in all of an arm's runs
    guesses = {
        arm: [labels ^ wrong[arm] ^ (rng.random(labels.shape) < 0.05) for _ in range(count)]
        for arm, count in runs.items()
    }
    scored = comparison.score(labels, guesses, resamples=100)
    table = evaluate.gains(scored).set_index(["arm", "score"])
    for place, score in enumerate(comparison.METRICS):
        for arm in ("dense", "sparse"):
            over = scored["fusion"].found[:, place] - scored[arm].found[:2, place]
            assert table.loc[(arm, score), "difference"] == pytest.approx(over.mean())
            assert table.loc[(arm, score), "low"] < over.mean() < table.loc[(arm, score), "high"]
