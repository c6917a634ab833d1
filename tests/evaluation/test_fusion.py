"""fusion.py: a mean that leans to the arm that knows more."""

import numpy as np
import pytest

from tagstudy.evaluation.fusion import Answer, best_weight, mean
from tagstudy.evaluation.scoring import best_micro_f1


def answer(rng: np.random.Generator, labels: np.ndarray, noise: float) -> Answer:
    probabilities = (labels + rng.normal(scale=noise, size=labels.shape)).clip(0, 1)
    return Answer(logits=2 * probabilities - 1, probabilities=probabilities)


@pytest.mark.parametrize(
    ("dense", "sparse", "share"), [(0.6, 0.6, (0.3, 0.7)), (0.5, 3, (0.7, 0.9)), (3, 0.5, (0.1, 0.3))]
)
def test_a_fusion_leans_to_the_arm_that_is_better_on_valid(dense: float, sparse: float, share: tuple) -> None:
    rng = np.random.default_rng(0)
    labels = rng.random((500, 4)) < 0.3
    one, other = answer(rng, labels, dense), answer(rng, labels, sparse)
    found = best_weight(labels, one, other)
    assert share[0] <= found <= share[1]
    fused = mean(one, other, found)
    np.testing.assert_allclose(fused.probabilities, found * one.probabilities + (1 - found) * other.probabilities)
    np.testing.assert_allclose(fused.logits, 2 * fused.probabilities - 1)
    reached = [best_micro_f1(labels, own.probabilities) for own in (fused, one, other)]
    assert reached[0] >= max(reached) - 0.01


def test_of_shares_that_are_equally_good_the_middle_one_stands() -> None:
    labels = np.array([[True, False]])
    sure = Answer(logits=np.array([[1.0, -1.0]]), probabilities=np.array([[1.0, 0.0]]))
    assert best_weight(labels, sure, sure) == 0.5
