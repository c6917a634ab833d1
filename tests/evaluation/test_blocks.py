"""blocks.py and systems.py: posts in blocks of any size give the same."""

import numpy as np
import pytest
from as_csr import blocks_of, labels_of
from sklearn.metrics import f1_score

from tagstudy.evaluation.blocks import decide
from tagstudy.evaluation.systems import Run, assess


def study(seed: int, tags: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Labels and logits [posts, tags]; some logits are equal."""
    rng = np.random.default_rng(seed)
    labels = rng.random((50, tags)) < 0.3
    return labels, (2 * labels - 1 + rng.normal(size=labels.shape)).round(1).astype(np.float32)


def assess_with(size: int, kept: int, threshold: str | float = "tuned") -> Run:
    """A run with the same posts as valid and as test."""
    labels, logits = study(0)
    true = dict.fromkeys(("valid", "test"), labels_of(labels))
    return assess(0, true, lambda _: iter(blocks_of(labels, logits, kept, size)), threshold)


@pytest.mark.parametrize("kept", [2, 6])
@pytest.mark.parametrize("size", [1, 7, 49, 50])
def test_blocks_of_any_size_give_the_same(size: int, kept: int) -> None:
    one, other = assess_with(size, kept), assess_with(1000, kept)
    assert one.scores == pytest.approx(other.scores)
    np.testing.assert_array_equal(one.precision, other.precision)
    assert (one.decisions != other.decisions).nnz == 0


def test_micro_f1_at_the_tuned_threshold_is_scikit_learn_s() -> None:
    labels, logits = study(0)
    run = assess_with(9, 6)
    predicted = (1 + logits) / 2 >= run.thresholds[0]
    assert run.scores["micro_f1"] == pytest.approx(f1_score(labels, predicted, average="micro"))
    assert run.valid_micro_f1 == pytest.approx(run.scores["micro_f1"])


def test_a_tag_that_is_not_stored_is_never_predicted() -> None:
    labels, logits = study(0)
    (block,) = blocks_of(labels, logits, kept=2)
    assert (np.diff(decide(block, 0).indptr) == 2).all()
    counts = assess_with(50, 2, threshold=0.0001).counts[0]
    assert (counts.tp + counts.fn).tolist() == labels.sum(axis=0).tolist()  # those that are missed count as well


def test_a_decision_says_whether_the_post_has_the_tag() -> None:
    labels, logits = study(0)
    (block,) = blocks_of(labels, logits)
    decisions = decide(block, 0.4)
    posts = np.repeat(np.arange(len(labels)), np.diff(decisions.indptr))
    assert (decisions.data == labels[posts, decisions.indices]).all()
