"""fusion.py: a mean that leans to the arm that knows more."""

from collections.abc import Iterable

import numpy as np
import pytest
from as_csr import blocks_of

from tagstudy.evaluation.blocks import Block
from tagstudy.evaluation.fusion import WEIGHTS, align, fuse, tune_weight
from tagstudy.predictions.thresholds import Threshold, ThresholdSearch


def tune(blocks: Iterable[Block]) -> Threshold:
    search = ThresholdSearch()
    for block in blocks:
        search.update(block.probabilities, block.relevant, block.labels.nnz)
    return search.best()


def arm(rng: np.random.Generator, labels: np.ndarray, noise: float) -> np.ndarray:
    """Logits [posts, tags]."""
    return (2 * labels - 1 + rng.normal(scale=2 * noise, size=labels.shape)).clip(-1, 1)


@pytest.mark.parametrize(
    ("dense", "sparse", "weights"), [(0.6, 0.6, (0.3, 0.7)), (0.5, 3, (0.7, 0.9)), (3, 0.5, (0.1, 0.3))]
)
def test_a_fusion_leans_to_the_arm_that_is_better_on_valid(dense: float, sparse: float, weights: tuple) -> None:
    rng = np.random.default_rng(0)
    labels = rng.random((500, 4)) < 0.3
    logits = [arm(rng, labels, noise) for noise in (dense, sparse)]
    arms = [blocks_of(labels, scores, size=70) for scores in logits]
    weight, best = tune_weight(*arms)
    assert weights[0] <= weight <= weights[1]
    assert best.micro_f1 >= max(tune(blocks).micro_f1 for blocks in arms) - 0.01
    fused = list(fuse(*arms, weight))
    mean = (weight * logits[0] + (1 - weight) * logits[1]).ravel()
    np.testing.assert_allclose(np.concatenate([block.logits.data for block in fused]), mean)
    np.testing.assert_allclose(np.concatenate([block.probabilities for block in fused]), (1 + mean) / 2, atol=1e-12)


@pytest.mark.parametrize("kept", [2, 4])
def test_one_pass_is_as_good_as_weights_tried_one_by_one(kept: int) -> None:
    rng = np.random.default_rng(0)
    labels = rng.random((300, 4)) < 0.3
    arms = [blocks_of(labels, arm(rng, labels, noise), kept, size=70) for noise in (0.6, 0.8)]
    tried = {weight: tune(fuse(*arms, weight)) for weight in WEIGHTS}
    weight = max(WEIGHTS, key=lambda weight: tried[weight].micro_f1)
    assert tune_weight(*arms) == (weight, tried[weight])


def test_of_weights_that_are_equally_good_the_middle_one_stands() -> None:
    certain = blocks_of(np.array([[True, False]]), np.array([[1.0, -1.0]]))
    assert tune_weight(certain, certain)[0] == 0.5


def test_a_tag_that_one_arm_has_stored_takes_the_lowest_logit_of_the_other() -> None:
    labels = np.array([[True, False, False, True], [False, False, True, True]])
    dense = np.array([[0.9, 0.8, -0.5, -0.6], [0.7, 0.6, 0.1, 0.0]])
    sparse = np.array([[0.5, -0.9, -0.8, 0.4], [0.3, 0.2, -0.9, -0.8]])
    (one,), (other,) = (blocks_of(labels, logits, kept=2) for logits in (dense, sparse))
    of_dense, of_sparse = align(one, other)
    assert of_dense.logits.indices.tolist() == of_sparse.logits.indices.tolist() == [0, 1, 3, 0, 1]
    assert of_dense.logits.data.tolist() == [0.9, 0.8, 0.8, 0.7, 0.6]
    assert of_sparse.logits.data.tolist() == [0.5, 0.4, 0.4, 0.3, 0.2]
    np.testing.assert_allclose(of_sparse.probabilities, (1 + of_sparse.logits.data) / 2)
    assert of_dense.relevant.tolist() == [True, False, True, False, False]
