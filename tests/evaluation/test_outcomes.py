"""outcomes.py: counts at many thresholds and of many resamples are those of scikit-learn, one by one."""

import numpy as np
import pytest
from as_csr import blocks_of, labels_of
from sklearn.metrics import accuracy_score, f1_score, hamming_loss

from tagstudy.evaluation.outcomes import Outcomes, at_thresholds, best_thresholds, candidate_thresholds
from tagstudy.evaluation.scoring import COMPARED, measure
from tagstudy.predictions.thresholds import ThresholdSearch

POSTS, TAGS = 60, 5
THRESHOLDS = np.array([0.8, 0.55, 0.5, 0.2])


def study(seed: int = 0, posts: int = POSTS) -> tuple[np.ndarray, np.ndarray]:
    """Labels, some posts without any, and logits, [posts, tags]; some logits are equal."""
    rng = np.random.default_rng(seed)
    labels = rng.random((posts, TAGS)) < 0.3
    return labels, (2 * labels - 1 + rng.normal(size=labels.shape)).round(1).astype(np.float32)


def reference(labels: np.ndarray, predicted: np.ndarray) -> list[float]:
    """COMPARED, by scikit-learn."""
    micro, macro = (f1_score(labels, predicted, average=average, zero_division=0) for average in ("micro", "macro"))
    return [micro, macro, hamming_loss(labels, predicted), accuracy_score(labels, predicted)]


def predict(logits: np.ndarray, threshold: float, kept: int) -> np.ndarray:
    stored = np.argsort(np.argsort(-logits, axis=1, kind="stable"), axis=1) < kept
    return ((1 + logits) / 2 >= threshold) & stored


@pytest.mark.parametrize("kept", [2, TAGS])
@pytest.mark.parametrize("size", [7, POSTS])
def test_counts_are_those_of_scikit_learn_at_each_threshold_and_of_each_resample(kept: int, size: int) -> None:
    labels, logits = study()
    weights = np.random.default_rng(1).multinomial(POSTS, np.full(POSTS, 1 / POSTS), size=3).T.astype(np.float32)
    outcomes = Outcomes(labels_of(labels), blocks_of(labels, logits, kept, size), THRESHOLDS)
    measured = measure(outcomes.counts(weights))
    assert measured.shape == (len(THRESHOLDS), 3, len(COMPARED))
    for place, threshold in enumerate(THRESHOLDS):
        predicted = predict(logits, threshold, kept)
        for resample, weight in enumerate(weights.T):
            rows = np.repeat(np.arange(POSTS), weight.astype(int))
            assert measured[place, resample] == pytest.approx(reference(labels[rows], predicted[rows]), abs=1e-6)


def test_each_score_is_taken_at_the_best_threshold_for_it() -> None:
    labels, logits = study()
    outcomes = Outcomes(labels_of(labels), blocks_of(labels, logits), THRESHOLDS)
    counts = outcomes.counts(np.ones((POSTS, 1), dtype=np.float32))
    tried = np.array([reference(labels, predict(logits, threshold, TAGS)) for threshold in THRESHOLDS])
    best = [*tried[:, :2].argmax(axis=0), tried[:, 2].argmin(), tried[:, 3].argmax()]
    assert best_thresholds(counts)[:, 0].tolist() == best
    for place, at in enumerate(at_thresholds(counts, best_thresholds(counts))):
        assert measure(at)[0, place] == pytest.approx(tried[best[place], place])


def test_the_best_threshold_for_micro_f1_is_a_candidate() -> None:
    labels, logits = study(posts=500)
    search = ThresholdSearch()
    for block in blocks_of(labels, logits, size=90):
        search.update(block.probabilities, block.relevant, block.labels.nnz)
    best = search.best().value
    candidates = candidate_thresholds(blocks_of(labels, logits, size=90))
    assert best in candidates and (np.diff(candidates) < 0).all()
    predicted = [((1 + logits) / 2 >= threshold).sum() for threshold in (candidates[0], best, candidates[-1])]
    assert predicted[0] < 0.7 * predicted[1] and predicted[2] > 2 * predicted[1]


@pytest.mark.parametrize("noise", [1.0, 2.0, 4.0])
def test_each_score_is_near_its_best_whatever_micro_f1_is(noise: float) -> None:
    """Where micro-F1 is low, its best threshold predicts many times the tags that Hamming loss wants."""
    rng = np.random.default_rng(0)
    labels = rng.random((4000, TAGS)) < 0.05
    evidence = labels + noise / 2 * rng.normal(size=labels.shape)
    odds = 0.05 / 0.95 * np.exp((evidence - 0.5) / (noise / 2) ** 2)  # so that the scores are probabilities
    logits = (2 * odds / (1 + odds) - 1).astype(np.float32)
    thresholds = candidate_thresholds(blocks_of(labels, logits))
    ones = np.ones((len(labels), 1), dtype=np.float32)
    chosen, every = (
        Outcomes(labels_of(labels), blocks_of(labels, logits), tried).counts(ones)
        for tried in (thresholds, np.quantile((1 + logits) / 2, np.linspace(1, 0.5, 2000)))
    )
    found = [measure(at)[0, place] for place, at in enumerate(at_thresholds(chosen, best_thresholds(chosen)))]
    best = [measure(at)[0, place] for place, at in enumerate(at_thresholds(every, best_thresholds(every)))]
    assert found == pytest.approx(best, rel=0.02)


def test_where_nothing_is_known_all_tags_are_predicted() -> None:
    labels, logits = study()
    assert candidate_thresholds(blocks_of(labels, np.full_like(logits, -2))).tolist() == [0]
