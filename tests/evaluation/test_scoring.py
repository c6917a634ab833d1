"""scoring.py against scikit-learn, and its edges."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn import metrics

from tagstudy.evaluation import scoring

SHAPES = st.tuples(st.integers(1, 12), st.integers(2, 5))


@given(st.data())
def test_scores_are_scikit_learn_s(data: st.DataObject) -> None:
    shape = data.draw(SHAPES)
    labels, guesses = (data.draw(arrays(bool, shape)) for _ in range(2))
    found = scoring.scores(scoring.count(labels, guesses))
    for average in ("micro", "macro"):
        precision, recall, f1, _ = metrics.precision_recall_fscore_support(
            labels.astype(int), guesses.astype(int), average=average, zero_division=0
        )
        names = (f"{average}_precision", f"{average}_recall", f"{average}_f1")
        assert [found[name] for name in names] == pytest.approx([precision, recall, f1])
    assert found["hamming_loss"] == pytest.approx((labels != guesses).mean())
    assert found["subset_accuracy"] == pytest.approx((labels == guesses).all(axis=1).mean())


@given(st.data())
def test_no_threshold_beats_the_tuned_one(data: st.DataObject) -> None:
    shape = data.draw(SHAPES)
    labels = data.draw(arrays(bool, shape))
    probabilities = data.draw(arrays(np.float32, shape, elements=st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 1.0])))

    def micro_f1(threshold: float) -> float:
        return scoring.scores(scoring.count(labels, probabilities >= threshold))["micro_f1"]

    best = micro_f1(scoring.best_threshold(labels, probabilities))
    assert scoring.best_micro_f1(labels, probabilities) == pytest.approx(best)
    assert all(best >= micro_f1(threshold) for threshold in (0, 0.05, 0.1, 0.2, 0.25, 0.3, 0.5, 0.6, 0.75, 0.9, 2))


def test_a_tag_that_nothing_is_known_of_counts_as_zero() -> None:
    counts = scoring.count(np.array([[True, False]]), np.array([[True, False]]))
    assert scoring.by_tag(counts)["f1"].tolist() == [1, 0]
    assert scoring.scores(counts)["macro_f1"] == 0.5


def test_counts_of_batches_add_up() -> None:
    rng = np.random.default_rng(0)
    labels, guesses = rng.random((2, 20, 4)) < 0.4
    parts = [scoring.count(labels[i : i + 7], guesses[i : i + 7]) for i in range(0, 20, 7)]
    whole = scoring.count(labels, guesses)
    for added, expected in zip(map(sum, zip(*parts, strict=True)), whole, strict=True):
        np.testing.assert_array_equal(added, expected)


@given(st.data())
def test_rankings_are_scikit_learn_s_where_no_two_logits_are_equal(data: st.DataObject) -> None:
    shape = data.draw(SHAPES)
    labels = data.draw(arrays(bool, shape))
    logits = np.random.default_rng(data.draw(st.integers(0, 100))).permutation(labels.size).reshape(shape) / 10
    found = scoring.ranking(labels, logits)
    tagged = labels.any(axis=1)
    if not tagged.any():
        assert set(found.values()) == {0}
        return
    assert found["lrap"] == pytest.approx(metrics.label_ranking_average_precision_score(labels[tagged], logits[tagged]))
    for k in (1, 3, 5):
        best = np.argsort(-logits[tagged])[:, :k]
        assert found[f"precision_at_{k}"] == pytest.approx(np.take_along_axis(labels[tagged], best, axis=1).mean())


def test_a_bin_tells_how_often_its_probability_is_true() -> None:
    probabilities = np.array([[0.0, 0.05, 0.31], [1.0, 0.39, 0.97]])
    labels = np.array([[False, False, True], [True, False, True]])
    table = scoring.reliability(labels, probabilities).set_index("bin")
    assert table["decisions"].to_dict() == {bin: {0: 2, 0.3: 2, 0.9: 2}.get(bin, 0) for bin in table.index}
    assert table.loc[0.3].tolist() == [2, pytest.approx(0.35), 0.5]
    error = scoring.calibration_error(table)
    assert error == pytest.approx((2 * 0.025 + 2 * 0.15 + 2 * 0.015) / 6)


def test_probabilities_that_are_true_are_calibrated() -> None:
    rng = np.random.default_rng(0)
    probabilities = rng.random((5000, 4))
    labels = rng.random(probabilities.shape) < probabilities
    assert scoring.calibration_error(scoring.reliability(labels, probabilities)) < 0.01
    assert scoring.calibration_error(scoring.reliability(labels, np.sqrt(probabilities))) > 0.1
