"""evaluate.py: what a fusion gives."""

import numpy as np
import pytest

import evaluate
from evaluate import Answer
from scoring import best_micro_f1


def answer(rng: np.random.Generator, labels: dict[str, np.ndarray], noise: float) -> dict[str, Answer]:
    parts = {split: (own + rng.normal(scale=noise, size=own.shape)).clip(0, 1) for split, own in labels.items()}
    return {split: Answer(logits=2 * part - 1, probabilities=part) for split, part in parts.items()}


@pytest.mark.parametrize(
    ("dense", "sparse", "share"), [(0.6, 0.6, (0.3, 0.7)), (0.5, 3, (0.7, 0.9)), (3, 0.5, (0.1, 0.3))]
)
def test_a_fusion_leans_to_the_arm_that_is_better_on_valid(dense: float, sparse: float, share: tuple) -> None:
    rng = np.random.default_rng(0)
    labels = {split: rng.random((500, 4)) < 0.3 for split in ("valid", "test")}
    one, other = answer(rng, labels, dense), answer(rng, labels, sparse)
    fused = evaluate.fuse(labels["valid"], one, other)
    gap = one["test"].probabilities - other["test"].probabilities
    weight = ((fused["test"].probabilities - other["test"].probabilities) * gap).sum() / (gap * gap).sum()
    assert share[0] <= weight + 1e-6 and weight - 1e-6 <= share[1]
    np.testing.assert_allclose(fused["test"].logits, 2 * fused["test"].probabilities - 1, atol=1e-6)
    reached = [best_micro_f1(labels["valid"], own["valid"].probabilities) for own in (fused, one, other)]
    assert reached[0] >= max(reached) - 0.01
