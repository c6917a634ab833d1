"""calibration.py: isotonic regression and Platt's method as scikit-learn has them; thresholds that are the best."""

import numpy as np
import pytest
from as_csr import blocks_of
from scipy.special import expit, logit
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from tagstudy.evaluation import calibration
from tagstudy.evaluation.calibration import count_scores, fit_per_tag, fit_pooled, thresholds_per_tag
from tagstudy.predictions.decisions import Calibration
from tagstudy.predictions.links import squared_hinge

TAGS = np.arange(4)


def study(posts: int = 2000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Labels and logits [posts, tags]: tags of different frequency, known more or less well; hinge-like."""
    rng = np.random.default_rng(seed)
    labels = rng.random((posts, len(TAGS))) < [0.4, 0.2, 0.1, 0.03]
    logits = np.where(labels, 0.3, -0.9) + rng.normal(size=labels.shape) * [0.4, 0.6, 0.8, 0.8]
    return labels, logits.astype(np.float32)


def fitted(labels: np.ndarray, logits: np.ndarray, kept: int | None = None) -> tuple[Calibration, Calibration]:
    """The pooled calibration, and that of tags."""
    blocks = blocks_of(labels, logits, kept, size=300)
    pooled = fit_pooled(blocks, labels.shape[1])
    return pooled, fit_per_tag(pooled, count_scores(pooled, blocks, labels.shape[1]))


def test_pooled_probabilities_are_close_to_scikit_learn_s_and_keep_the_order() -> None:
    labels, logits = study()
    scores = squared_hinge(logits)
    pooled, _ = fitted(labels, logits)
    ours = pooled.probabilities(scores, TAGS)
    steps = IsotonicRegression(out_of_bounds="clip").fit(scores.ravel(), labels.ravel()).predict(scores.ravel())
    assert np.abs(ours.ravel() - steps).mean() < 0.01  # ours are linear between the steps' means
    order = np.argsort(scores.ravel())
    apart = np.diff(scores.ravel()[order]) > 0
    assert (np.diff(ours.ravel()[order])[apart] > 0).all() and (np.diff(ours.ravel()[order])[~apart] == 0).all()
    assert ours.min() > 0 and ours.max() < 1


@pytest.mark.parametrize("labels", [np.zeros((20, 4), bool), np.ones((20, 4), bool)])
@pytest.mark.parametrize("logits", [np.zeros((20, 4)), np.full((20, 4), -5.0), np.full((20, 4), 5.0)])
def test_where_nothing_can_be_learned_probabilities_are_finite(labels: np.ndarray, logits: np.ndarray) -> None:
    for found in fitted(labels, logits.astype(np.float32)):
        probabilities = found.probabilities(squared_hinge(logits), TAGS)
        assert np.isfinite(probabilities).all() and (probabilities > 0).all() and (probabilities < 1).all()
        assert probabilities.mean() == pytest.approx(labels.mean(), abs=0.1)


def test_slopes_and_intercepts_are_those_of_a_logistic_regression(monkeypatch: pytest.MonkeyPatch) -> None:
    labels, logits = study()
    monkeypatch.setattr(calibration, "PRIOR", 1e-6)
    pooled, per_tag = fitted(labels, logits)
    log_odds = pooled.pooled_log_odds(squared_hinge(logits))
    for tag in TAGS:
        platt = LogisticRegression(C=1e6, tol=1e-8).fit(log_odds[:, [tag]], labels[:, tag])
        assert per_tag.slopes[tag] == pytest.approx(platt.coef_[0, 0], rel=0.02)  # ours are of bins
        assert per_tag.intercepts[tag] == pytest.approx(platt.intercept_[0], abs=0.02)


def test_a_tag_without_posts_keeps_close_to_the_pooled_calibration() -> None:
    labels, logits = study(posts=40)
    labels[:, 3], logits[:, 3] = False, -2
    pooled, per_tag = fitted(labels, logits)
    scores = squared_hinge(logits)
    assert per_tag.probabilities(scores, TAGS)[:, 3].max() <= pooled.probabilities(scores, TAGS)[:, 3].max()
    assert per_tag.slopes[3] == pytest.approx(1, abs=0.5)


def expected_sum(probabilities: np.ndarray, thresholds: np.ndarray) -> float:
    """Micro-F1 + macro-F1 where posts have tags with these probabilities [posts, tags]."""
    decided = probabilities >= thresholds
    correct, denominators = (decided * probabilities).sum(axis=0), decided.sum(axis=0) + probabilities.sum(axis=0)
    return 2 * correct.sum() / denominators.sum() + (2 * correct / denominators).mean()


def test_no_other_thresholds_have_a_higher_expected_sum_of_f1s() -> None:
    labels, logits = study()
    blocks = blocks_of(labels, logits)
    pooled, per_tag = fitted(labels, logits)
    thresholds = thresholds_per_tag(per_tag, count_scores(pooled, blocks, len(TAGS)))
    probabilities = per_tag.probabilities(squared_hinge(logits), TAGS)
    found = expected_sum(probabilities, thresholds)
    assert len(set(thresholds.round(3))) == len(TAGS)
    for tag in TAGS:
        for other in np.linspace(0.02, 0.9, 45):
            assert expected_sum(probabilities, np.where(tag == TAGS, other, thresholds)) < found + 0.002  # of bins


def test_rare_tags_gain_over_one_threshold() -> None:
    """On other posts than those that thresholds were found on."""
    labels, logits = study()
    pooled, per_tag = fitted(labels, logits)
    thresholds = thresholds_per_tag(per_tag, count_scores(pooled, blocks_of(labels, logits), len(TAGS)))
    labels, logits = study(seed=1, posts=20000)
    probabilities = per_tag.probabilities(squared_hinge(logits), TAGS)

    def f1s(threshold: np.ndarray | float) -> np.ndarray:
        decided = probabilities >= threshold
        return 2 * (decided & labels).sum(axis=0) / (decided.sum(axis=0) + labels.sum(axis=0))

    assert f1s(thresholds).mean() > f1s(0.38).mean() + 0.01


def test_a_score_that_is_not_stored_counts_for_the_tag_s_posts_alone() -> None:
    labels, logits = study()
    pooled, _ = fitted(labels, logits, kept=2)
    scores = count_scores(pooled, blocks_of(labels, logits, kept=2), len(TAGS))
    assert scores.decisions.sum() == 2 * len(labels)
    assert scores.support.tolist() == labels.sum(axis=0).tolist()
    assert (scores.positives <= scores.support).all() and scores.positives.sum() < scores.support.sum()


def test_a_tag_without_a_score_or_a_post_is_not_given_to_every_post() -> None:
    labels, logits = study()
    labels[:, 3], logits[:, 3] = False, -9
    blocks = blocks_of(labels, logits, kept=2)
    pooled, per_tag = fitted(labels, logits, kept=2)
    assert 0.1 < thresholds_per_tag(per_tag, count_scores(pooled, blocks, len(TAGS)))[3] < 0.9


def test_the_log_odds_of_a_probability_that_is_true_stay() -> None:
    rng = np.random.default_rng(0)
    probabilities = rng.random((20000, 4)).astype(np.float32)
    labels = rng.random(probabilities.shape) < probabilities
    _, per_tag = fitted(labels, 2 * probabilities - 1)
    middle = (probabilities > 0.1) & (probabilities < 0.9)
    ours = per_tag.probabilities(probabilities, TAGS)[middle]
    assert np.abs(logit(ours) - logit(probabilities[middle])).mean() < 0.1
    assert expit(per_tag.intercepts).tolist() == pytest.approx([0.5] * 4, abs=0.05)
