"""scoring.py against scikit-learn, and its edges."""

from functools import reduce
from operator import add

import numpy as np
import pytest
from as_csr import decisions_of, labels_of
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn import metrics

from tagstudy.evaluation import scoring

SHAPES = st.tuples(st.integers(1, 12), st.integers(2, 5))


def count(labels: np.ndarray, predicted: np.ndarray) -> scoring.Counts:
    return scoring.count_outcomes(labels_of(labels), decisions_of(labels, predicted))


@given(st.data())
def test_scores_are_scikit_learn_s(data: st.DataObject) -> None:
    shape = data.draw(SHAPES)
    labels, *by_metric = (data.draw(arrays(bool, shape)) for _ in range(1 + len(scoring.COMPARED)))
    counts = [count(labels, predicted) for predicted in by_metric]  # tags at the threshold for each of COMPARED
    scores = scoring.scores(counts)
    for average, predicted in zip(("micro", "macro"), by_metric, strict=False):
        precision, recall, f1, _ = metrics.precision_recall_fscore_support(
            labels.astype(int), predicted.astype(int), average=average, zero_division=0
        )
        names = (f"{average}_precision", f"{average}_recall", f"{average}_f1")
        assert [scores[name] for name in names] == pytest.approx([precision, recall, f1])
    of_tags = metrics.f1_score(labels, by_metric[1], average=None, zero_division=0)[labels.any(axis=0)]
    assert scores["macro_f1_tested"] == pytest.approx(of_tags.mean() if len(of_tags) else 0)
    assert scores["hamming_loss"] == pytest.approx((labels != by_metric[2]).mean())
    assert scores["subset_accuracy"] == pytest.approx((labels == by_metric[3]).all(axis=1).mean())
    for place, at in enumerate(counts):
        assert scoring.measure(at)[place] == pytest.approx(scores[scoring.COMPARED[place]])


def test_a_tag_that_nothing_is_known_of_counts_as_zero() -> None:
    counts = count(np.array([[True, False]]), np.array([[True, False]]))
    assert scoring.by_tag(counts)["f1"].tolist() == [1, 0]
    assert scoring.scores([counts] * 4)["macro_f1"] == 0.5


def test_counts_of_blocks_add_up() -> None:
    rng = np.random.default_rng(0)
    labels, predicted = rng.random((2, 20, 4)) < 0.4
    parts = [count(labels[i : i + 7], predicted[i : i + 7]) for i in range(0, 20, 7)]
    for added, expected in zip(reduce(add, parts), count(labels, predicted), strict=True):
        np.testing.assert_array_equal(added, expected)
