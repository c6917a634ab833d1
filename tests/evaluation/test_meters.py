"""meters.py against scikit-learn; the same in blocks of any size; what is not stored counts as documented."""

import numpy as np
import pytest
from as_csr import blocks_of, labels_of, stored
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn import metrics

from tagstudy.evaluation.blocks import Block
from tagstudy.evaluation.meters import RECALLS, Losses, PrecisionRecall, Ranking, Reliability
from tagstudy.predictions.links import squared_hinge
from tagstudy.predictions.predictions import is_relevant

SHAPES = st.tuples(st.integers(1, 12), st.integers(2, 5))


def ranking(blocks: list[Block]) -> dict[str, float]:
    meter = Ranking(blocks[0].labels.shape[1])
    for block in blocks:
        meter.update(block.labels, block.logits, block.relevant)
    return meter.compute()


def reliability(labels: np.ndarray, probabilities: np.ndarray, kept: int | None = None) -> Reliability:
    meter = Reliability()
    scores = stored(probabilities, kept or labels.shape[1])
    meter.update(labels_of(labels), scores.data, is_relevant(labels_of(labels), scores))
    return meter


def precision(blocks: list[Block]) -> np.ndarray:
    meter = PrecisionRecall()
    for block in blocks:
        meter.update(block.logits.data, block.relevant, block.labels.nnz)
    return meter.compute()


@given(st.data())
def test_rankings_are_scikit_learn_s_where_no_two_logits_are_equal(data: st.DataObject) -> None:
    shape = data.draw(SHAPES)
    labels = data.draw(arrays(bool, shape))
    logits = np.random.default_rng(data.draw(st.integers(0, 100))).permutation(labels.size).reshape(shape) / 10
    scores = ranking(blocks_of(labels, logits, size=data.draw(st.integers(1, 12))))
    tagged = labels.any(axis=1)
    if not tagged.any():
        assert set(scores.values()) == {0}
        return
    lrap = metrics.label_ranking_average_precision_score(labels[tagged], logits[tagged])
    assert scores["lrap"] == pytest.approx(lrap)
    for k in (1, 3, 5):
        best = np.argsort(-logits[tagged])[:, :k]
        predicted = np.zeros_like(labels[tagged])
        np.put_along_axis(predicted, best, True, axis=1)
        right, first, own = (part.sum(axis=1) for part in (predicted & labels[tagged], predicted, labels[tagged]))
        expected = {
            "precision": (right / first).mean(),
            "recall": (right / own).mean(),
            "f1": (2 * right / (first + own)).mean(),
            "ndcg": metrics.ndcg_score(labels[tagged], logits[tagged], k=k),
        }
        assert {name: scores[f"{name}_at_{k}"] for name in expected} == pytest.approx(expected)


def test_equal_logits_rank_in_the_order_of_the_tags() -> None:
    labels = np.array([[False, True, True]])
    scores = ranking(blocks_of(labels, np.array([[0.5, 0.5, 0.7]])))  # ranks 2, 3, 1
    assert scores["precision_at_1"] == 1
    assert scores["lrap"] == pytest.approx((1 / 1 + 2 / 3) / 2)
    assert ranking(blocks_of(labels, np.zeros((1, 3))))["precision_at_1"] == 0


def test_a_tag_that_is_not_stored_is_not_found() -> None:
    labels = np.array([[True, False, True, False], [False, False, False, True]])
    logits = np.array([[0.9, 0.5, 0.1, 0.0], [0.9, 0.5, 0.1, 0.0]])
    scores = ranking(blocks_of(labels, logits, kept=2))
    assert scores["lrap"] == pytest.approx((1 / 2 + 0) / 2)  # of two tags one is found, then of one none
    assert scores["precision_at_1"] == 1 / 2
    assert scores["precision_at_3"] == pytest.approx((1 / 3 + 0) / 2)


@pytest.mark.parametrize("kept", [2, 4])
def test_losses_are_scikit_learn_s(kept: int) -> None:
    rng = np.random.default_rng(0)
    labels, logits = rng.random((30, 4)) < 0.4, (2 * rng.random((30, 4)) - 1).astype(np.float32)
    logits[:5] = 3 * np.sign(logits[:5])  # probabilities of 0 and 1, some of them wrong
    meter = Losses()
    for block in blocks_of(labels, logits, kept, size=7):
        meter.update(block.labels, block.logits, block.probabilities, block.relevant)
    probabilities = squared_hinge(np.where(stored(np.exp(logits), kept).toarray() > 0, logits, -1))
    brier = metrics.brier_score_loss(labels.ravel(), probabilities.ravel())
    log_loss = metrics.log_loss(labels.ravel(), probabilities.ravel())
    assert meter.compute().shape == (30, 2)
    assert meter.compute().mean(axis=0) == pytest.approx([brier, log_loss], rel=1e-5)


def test_a_bin_shows_how_often_its_probability_is_true() -> None:
    probabilities = np.array([[0.0, 0.05, 0.31], [1.0, 0.39, 0.97]])
    labels = np.array([[False, False, True], [True, False, True]])
    meter = reliability(labels, probabilities)
    table = meter.compute().set_index("bin")
    assert table["decisions"].to_dict() == {bin: {0: 1, 0.05: 1, 0.3: 2, 0.9: 2}.get(bin, 0) for bin in table.index}
    assert table.loc[0.3].tolist() == [2, pytest.approx(0.35), 0.5]
    assert meter.calibration_error() == pytest.approx((1 * 0.05 + 2 * 0.15 + 2 * 0.015) / 5)  # but for the first bin


def test_a_decision_without_a_stored_score_has_probability_zero() -> None:
    labels = np.array([[False, True, True], [True, True, False]])
    probabilities = np.array([[0.9, 0.8, 0.7], [0.95, 0.6, 0.1]])
    kept = np.where(probabilities >= np.sort(probabilities, axis=1)[:, 1:2], probabilities, 0)
    table, expected = reliability(labels, probabilities, kept=2).compute(), reliability(labels, kept).compute()
    assert table.equals(expected) and table["decisions"].sum() == labels.size


def test_probabilities_that_are_true_are_calibrated() -> None:
    rng = np.random.default_rng(0)
    probabilities = rng.random((5000, 4))
    labels = rng.random(probabilities.shape) < probabilities
    assert reliability(labels, probabilities).calibration_error() < 0.01
    assert reliability(labels, np.sqrt(probabilities)).calibration_error() > 0.1


def test_reliability_of_runs_adds_up() -> None:
    rng = np.random.default_rng(0)
    labels, probabilities = rng.random((20, 3)) < 0.5, rng.random((20, 3))
    both = reliability(labels[:8], probabilities[:8]) + reliability(labels[8:], probabilities[8:])
    np.testing.assert_allclose(both.compute(), reliability(labels, probabilities).compute())


def test_precision_at_a_recall_is_scikit_learn_s() -> None:
    rng = np.random.default_rng(0)
    labels = rng.random((60, 4)) < 0.3
    logits = rng.permutation(labels.size).reshape(labels.shape) / 100 - 1  # no two of them share a bin
    expected, recall, _ = metrics.precision_recall_curve(labels.ravel(), logits.ravel())
    for wanted, value in zip(RECALLS, precision(blocks_of(labels, logits, size=7)), strict=True):
        first = np.flatnonzero(recall >= wanted - 1e-9).max()  # scikit-learn's begin at the lowest threshold
        assert value == pytest.approx(expected[first])


def test_precision_is_unknown_where_stored_scores_do_not_reach_the_recall() -> None:
    labels = np.array([[True, True, False], [True, False, False]])
    logits = np.array([[0.9, 0.1, 0.5], [0.8, 0.2, 0.1]])
    value = precision(blocks_of(labels, logits, kept=1))  # 2 of 3 positives
    assert (value[RECALLS <= 2 / 3] == 1).all() and np.isnan(value[RECALLS > 2 / 3]).all()
