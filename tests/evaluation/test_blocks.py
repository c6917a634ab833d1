"""blocks.py and systems.py: posts in blocks of any size give the same."""

from collections.abc import Iterator

import numpy as np
import pytest
from as_csr import blocks_of, labels_of, stored
from sklearn.metrics import f1_score

from tagstudy.evaluation.blocks import Block, decide
from tagstudy.evaluation.systems import Run, assess, choose
from tagstudy.predictions.links import squared_hinge


def study(seed: int, tags: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Labels and logits [posts, tags]; some logits are equal."""
    rng = np.random.default_rng(seed)
    labels = rng.random((50, tags)) < 0.3
    return labels, (2 * labels - 1 + rng.normal(size=labels.shape)).round(1).astype(np.float32)


def assess_with(size: int, kept: int, threshold: str | float = "tuned", calibrate: str = "none") -> Run:
    """A run with the same posts as valid and as test."""
    labels, logits = study(0)
    true = dict.fromkeys(("valid", "test"), labels_of(labels))

    def read(_: str) -> Iterator[Block]:
        return iter(blocks_of(labels, logits, kept, size))

    return assess(0, true, read, choose(read, labels.shape[1], threshold, calibrate))


CHOICES = [("tuned", "none"), ("per_tag", "per_tag"), ("top_2", "pooled"), (0.3, "per_tag")]


@pytest.mark.parametrize(("threshold", "calibrate"), CHOICES)
@pytest.mark.parametrize("kept", [2, 6])
@pytest.mark.parametrize("size", [1, 7, 50])
def test_blocks_of_any_size_give_the_same(size: int, kept: int, threshold: str | float, calibrate: str) -> None:
    one, other = (assess_with(posts, kept, threshold, calibrate) for posts in (size, 1000))
    assert one.scores == pytest.approx(other.scores)
    np.testing.assert_array_equal(one.precision, other.precision)
    assert (one.decisions != other.decisions).nnz == 0


def test_micro_f1_at_the_tuned_threshold_is_scikit_learn_s() -> None:
    labels, logits = study(0)
    run = assess_with(9, 6)
    predicted = (1 + logits) / 2 >= run.scores["threshold"]
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


def predicted_of(run: Run, labels: np.ndarray) -> np.ndarray:
    predicted = np.zeros(labels.shape, dtype=bool)
    predicted[np.repeat(np.arange(len(labels)), np.diff(run.decisions.indptr)), run.decisions.indices] = True
    return predicted


def test_a_pooled_calibration_decides_no_tag_otherwise() -> None:
    """Nor does it change a score that is not of probabilities."""
    labels, _ = study(0)
    plain, pooled = assess_with(9, 6), assess_with(9, 6, calibrate="pooled")
    assert (predicted_of(plain, labels) == predicted_of(pooled, labels)).all()
    probabilities = {name for name in plain.scores if name.startswith(("threshold", "brier", "log", "calibration"))}
    assert {name for name in plain.scores if plain.scores[name] != pooled.scores[name]} <= probabilities
    assert pooled.scores["brier"] < plain.scores["brier"] and pooled.scores["log_loss"] < plain.scores["log_loss"]


def test_the_best_tags_are_those_with_the_highest_logits() -> None:
    labels, logits = study(0)
    run = assess_with(9, 6, "top_2")
    assert (predicted_of(run, labels) == (stored(logits + 10, 2).toarray() > 0)).all()
    right = assess_with(9, 6, "top_1").counts[0].tp.sum()
    assert run.scores["precision_at_1"] == pytest.approx(right / labels.any(axis=1).sum())
    assert "threshold" not in run.scores


def test_every_tag_is_decided_at_its_own_threshold() -> None:
    labels, logits = study(0)
    run = assess_with(9, 6, "per_tag", "per_tag")
    probabilities = run.decision.probabilities(squared_hinge(logits), np.arange(6))
    assert (predicted_of(run, labels) == (probabilities >= run.decision.threshold)).all()
    assert run.scores["macro_f1"] == pytest.approx(f1_score(labels, predicted_of(run, labels), average="macro"))
    assert run.scores["micro_f1"] == pytest.approx(f1_score(labels, predicted_of(run, labels), average="micro"))
