"""thresholds.py: no threshold beats the one it finds; blocks, bins and unstored scores."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import f1_score

from tagstudy.predictions.thresholds import BELOW, BINS, EXACT, ThresholdSearch

SHAPES = st.tuples(st.integers(1, 12), st.integers(2, 5))


def search(scores: np.ndarray, relevant: np.ndarray, size: int = 1000, exact: int = EXACT) -> ThresholdSearch:
    """Over scores and labels [decisions], in blocks."""
    found = ThresholdSearch(exact)
    for start in range(0, len(scores), size):
        here = slice(start, start + size)
        found.update(scores[here], relevant[here], relevant[here].sum())
    return found


@pytest.mark.parametrize("exact", [0, EXACT], ids=["bins", "exact"])
@given(st.data())
def test_no_threshold_beats_the_tuned_one(exact: int, data: st.DataObject) -> None:
    shape = data.draw(SHAPES)
    labels = data.draw(arrays(bool, shape))
    scores = data.draw(arrays(np.float32, shape, elements=st.sampled_from([0.0, 0.125, 0.25, 0.5, 0.75, 1.0])))

    def micro_f1(threshold: float) -> float:
        predicted = scores >= threshold
        return 2 * (labels & predicted).sum() / max(labels.sum() + predicted.sum(), 1)

    best = search(scores.ravel(), labels.ravel(), data.draw(st.integers(1, 60)), exact).best()
    assert best.micro_f1 == pytest.approx(micro_f1(best.value))
    assert all(best.micro_f1 >= micro_f1(threshold) - 1e-12 for threshold in (0, 0.1, 0.125, 0.2, 0.25, 0.5, 0.75, 1))


def test_many_scores_are_counted_in_bins_with_the_same_result_to_a_bin() -> None:
    rng = np.random.default_rng(0)
    scores = rng.random(2000).astype(np.float32)
    relevant = rng.random(2000) < scores**2
    exact, binned = search(scores, relevant).best(), search(scores, relevant, size=300, exact=1000).best()
    assert abs(exact.value - binned.value) < 1 / BINS
    assert binned.micro_f1 == pytest.approx(exact.micro_f1, abs=1e-3)
    assert binned.micro_f1 == pytest.approx(f1_score(relevant, scores >= np.float32(binned.value)))


def test_positives_without_a_score_count_as_missed() -> None:
    found = ThresholdSearch()
    found.update(np.array([0.9, 0.5]), np.array([True, True]), positives=4)
    assert found.best() == pytest.approx((0.5, 2 * 2 / (2 + 4)), abs=BELOW)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_threshold_is_no_score(dtype: type) -> None:
    """Programs that compute a score to another last digit predict the same."""
    scores = np.array([0.9, 0.9 - 1e-6, 0.5, 1e-7, 0], dtype)
    found = search(scores, np.array([True, False, True, True, False]))
    thresholds = found.below(found.curve()[0])
    assert [(scores >= threshold).sum() for threshold in thresholds] == [1, 2, 3, 4, 5]
    assert (thresholds[:-1] < scores[:-1]).all() and (scores - thresholds <= 1.01 * BELOW).all()
    assert 0.5 - thresholds[2] == pytest.approx(BELOW)
