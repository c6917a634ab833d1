"""convergence.py: a run that was ended too early, or has learned nothing, is told; one that has converged is not."""

import numpy as np
import pytest
from conftest import ROOT
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import f1_score

from tagstudy.core.config import read_params
from tagstudy.model.convergence import (
    NOTHING_LEARNED,
    STILL_IMPROVING,
    TOLERANCE,
    Budget,
    micro_f1_from_frequencies,
    problem_of,
)

LABELS = st.tuples(st.integers(1, 12), st.integers(1, 5)).flatmap(
    lambda shape: arrays(np.int8, shape, elements=st.integers(0, 1))
)


@pytest.mark.parametrize(
    ("micro_f1", "epochs", "problem"),
    [
        ([0.3, 0.5, 0.6, 0.6, 0.6, 0.6, 0.6], 6, None),  # of equal epochs the first is the best
        ([0.3, 0.5, 0.6, 0.7, 0.8, 0.81, 0.8], 6, STILL_IMPROVING),  # the last one alone says little
        ([0.3, 0.5, 0.7, 0.7, 0.701, 0.702, 0.703], 6, None),  # the last third has gained next to nothing
        ([0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9], 6, STILL_IMPROVING),
        ([0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9], 20, None),  # patience has ended it: there were more epochs to come
        ([0.3, 0.4], 1, STILL_IMPROVING),  # a single epoch
        ([0.3, 0.2, 0.2], 2, NOTHING_LEARNED),  # the untrained network is the best
        ([0.3], 0, NOTHING_LEARNED),  # no epoch at all
        ([1.0, 1.0], 1, None),  # nothing is left to learn
    ],
)
def test_a_run_still_improves_if_the_end_of_its_budget_brings_more_than_a_little(
    micro_f1: list[float], epochs: int, problem: str | None
) -> None:
    assert problem_of(micro_f1, epochs, from_frequencies=0.25) == problem


@pytest.mark.parametrize(("gain", "problem"), [(0.5 * TOLERANCE, None), (1.5 * TOLERANCE, STILL_IMPROVING)])
def test_the_gain_is_that_of_the_last_third_over_the_best_before_it(gain: float, problem: str | None) -> None:
    """Of the untrained network and eight epochs the first six are before it."""
    before = [0.3, 0.4, 0.5, 0.7, 0.6, 0.6]
    assert problem_of([*before, 0.65, 0.66, 0.7 + gain], 8, 0.25) == problem


@pytest.mark.parametrize("from_frequencies", [0.6, 0.7])
def test_a_run_no_better_than_frequencies_has_learned_nothing(from_frequencies: float) -> None:
    assert problem_of([0.3, 0.5, 0.6], 2, from_frequencies) == NOTHING_LEARNED
    assert problem_of([0.6, 0.5, 0.4], 2, from_frequencies) == NOTHING_LEARNED


@pytest.mark.parametrize(
    ("posts", "changes", "budget"),
    [
        (4000, {}, (10, 3, 40, 4000)),  # 400 steps are within the bounds
        (100, {}, (250, 75, 1, 100)),  # a step an epoch, so 250 epochs, and patience in proportion
        (315, {"batch_size": 128}, (84, 26, 3, 315)),
        (1000, {"min_steps": 1}, (10, 3, 10, 1000)),
        (10**6, {"max_steps": 1000}, (10, 3, 100, 10_000)),  # an epoch is a part of the posts
        (100, {"epochs": 0}, (0, 3, 1, 100)),  # none means none
    ],
)
def test_a_budget_counts_in_epochs_within_bounds_in_steps(posts: int, changes: dict, budget: tuple) -> None:
    settings = read_params(ROOT / "params.yaml").train.model_copy(
        update={"epochs": 10, "patience": 3, "batch_size": 100, "min_steps": 250} | changes
    )
    assert Budget.of(posts, settings) == budget


@pytest.mark.parametrize(
    ("posts", "parameter"), [(100, "min_steps"), (4_000, "epochs"), (20_000_000, "max_steps"), (4_000, "patience")]
)
def test_the_remedy_makes_training_longer(posts: int, parameter: str) -> None:
    settings = read_params(ROOT / "params.yaml").train
    budget = Budget.of(posts, settings)
    best_epoch = 0 if parameter == "patience" else budget.epochs
    assert budget.remedy(best_epoch, posts, settings).startswith(f"raise train.{parameter}")
    longer = Budget.of(posts, settings.model_copy(update={parameter: 2 * getattr(settings, parameter)}))
    if parameter == "patience":
        assert longer.patience == 2 * budget.patience
    else:
        assert longer.epochs * longer.batches == pytest.approx(2 * budget.epochs * budget.batches, rel=0.01)


def test_what_frequencies_reach_worked_out_by_hand() -> None:
    """Of ten posts of valid 6 have the first tag, 3 the second and 1 the third.

    The first tag for all: 2 × 6 / (10 + 10) = 0.6. The first two: 2 × 9 / (20 + 10) = 0.6. All: 2 × 10 / 40 = 0.5.
    """
    train, valid = np.array([60, 30, 10]), np.array([6, 3, 1])
    assert micro_f1_from_frequencies(train, valid, 10) == pytest.approx(0.6)
    # In the order of train, the rarest tag of valid comes first: 2 × 1 / 20, 2 × 4 / 30, 2 × 10 / 40.
    assert micro_f1_from_frequencies(np.array([10, 30, 60]), valid, 10) == pytest.approx(0.5)


@given(LABELS, st.integers(0, 2**32 - 1))
def test_what_frequencies_reach_is_scikit_learn_s_micro_f1_of_the_best_number_of_tags(
    labels: np.ndarray, seed: int
) -> None:
    posts, tags = labels.shape
    train = np.random.default_rng(seed).integers(0, 100, tags)
    order = np.argsort(-train, kind="stable")
    scores = []
    for given_tags in range(1, tags + 1):
        predicted = np.zeros_like(labels)
        predicted[:, order[:given_tags]] = 1
        scores.append(f1_score(labels.ravel(), predicted.ravel(), zero_division=0))
    assert micro_f1_from_frequencies(train, labels.sum(axis=0), posts) == pytest.approx(max(scores))
