"""verdict.py: a winner is named only where there is one."""

import numpy as np
import pandas as pd
import pytest

from tagstudy.evaluation.verdict import verdict

CONVERGED = {"dense": None, "sparse": None}
REMEDIES = {"dense": "raise train_dense.encoder.epochs", "sparse": "raise train.epochs"}


def row(difference: float, half: float, p: float) -> pd.Series:
    return pd.Series(
        {"dense": 0.5 + difference, "sparse": 0.5, "difference": difference}
        | {"low": difference - half, "high": difference + half, "p": p}
    )


def judge(micro_f1: pd.Series, problems: dict = CONVERGED, *, folds: int = 5, runs: int = 5, posts: int = 1000) -> str:
    return verdict(micro_f1, problems, REMEDIES, folds=folds, runs=runs, posts=posts, margin=0.005)


@pytest.mark.parametrize(
    ("difference", "half", "p", "finding"),
    [
        (0.03, 0.01, 0.001, "The dense arm is better: "),
        (-0.03, 0.01, 0.001, "The sparse arm is better: "),
        (0.003, 0.01, 0.5, "No significant difference: "),
        (0.001, 0.003, 0.5, "The arms are equivalent within 0.005: "),
        (0.002, 0.001, 0.01, "The dense arm is better: "),  # by little, but surely
    ],
)
def test_the_finding_follows_from_the_interval(difference: float, half: float, p: float, finding: str) -> None:
    assert judge(row(difference, half, p)).startswith(finding)


@pytest.mark.parametrize(
    ("folds", "covered"), [(5, "posts, training sets and seeds"), (1, "posts and seeds, on this split")]
)
def test_it_says_what_the_interval_covers(folds: int, covered: str) -> None:
    sentence = judge(row(0.03, 0.01, 0.0001), folds=folds)
    assert f"(95% interval over {covered}" in sentence and sentence.endswith("+0.0200 to +0.0400, p < 0.001)")


def test_an_arm_that_has_not_converged_does_not_lose() -> None:
    sentence = judge(row(-0.2, 0.01, 0.0001), CONVERGED | {"dense": "still improving"})
    assert sentence.startswith("Not comparable: the dense arm was still improving; raise train_dense.encoder.epochs: ")
    both = judge(row(-0.2, 0.01, 0.0001), dict.fromkeys(CONVERGED, "no better than tag frequencies"))
    assert (
        both.count("no better than tag frequencies") == 2
        and "raise train_dense.encoder.epochs and raise train.epochs" in both
    )


def test_few_test_posts_name_no_winner_and_say_what_they_could_show() -> None:
    sentence = judge(row(0.2, 0.15, 0.01), posts=29)
    assert sentence.startswith(
        "No verdict from 29 test posts, with which only a difference above 0.15 would be significant; give more posts"
    )
    assert judge(row(0.2, 0.15, 0.01), posts=30).startswith("The dense arm is better")


def test_without_an_interval_there_is_no_verdict() -> None:
    nothing = row(0.2, np.nan, np.nan)
    assert judge(nothing, runs=1).startswith("No verdict from a single run; raise train.runs")
    assert judge(nothing).startswith("No verdict: the arms predict different tags for fewer than 6 test posts")
    assert judge(nothing).endswith("difference +0.2000")


def test_a_p_that_is_significant_does_not_read_as_if_it_were_not() -> None:
    assert judge(row(0.03, 0.02, 0.0499)).endswith("p < 0.05)")
    assert judge(row(0.03, 0.04, 0.0501)).endswith("p = 0.050)")
