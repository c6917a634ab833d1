"""comparison.py: the interval holds the truth as often as it says, in simulated studies whose truth is known."""

from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest

import comparison
import scoring

POSTS, TAGS, RUNS = 300, 4, 5


class World(NamedTuple):
    """Where studies come from. A run gives a tag to the posts that, in its view, have enough of it."""

    dense: float  # how far the dense arm's view of a post is off, the same in all of its runs
    sparse: float
    bold: float  # how far a run is bolder or shyer than the others of its arm, on all posts alike
    whim: float  # how far a run's view of a post is its own

    def study(self, rng: np.random.Generator, posts: int, runs: int) -> tuple[np.ndarray, list[list[np.ndarray]]]:
        """Labels, and the guesses of both arms' runs, each [posts, tags]."""
        truth = rng.normal(size=(posts, TAGS))
        shared = truth + rng.normal(size=truth.shape) / 2
        arms = []
        for off in (self.dense, self.sparse):
            view = shared + off * rng.normal(size=truth.shape)
            bold = self.bold * rng.normal(size=runs)
            arms.append([view + own + self.whim * rng.normal(size=truth.shape) > 1 for own in bold])
        return truth > 1, arms

    def difference(self) -> np.ndarray:
        """[metrics] The truth, from very many posts and runs; exactly 0 where the arms are of one kind."""
        if self.dense == self.sparse:
            return np.zeros(len(comparison.METRICS))
        rng = np.random.default_rng(1)
        studies = [self.study(rng, posts=20_000, runs=1) for _ in range(200)]
        found = [[comparison.measure(scoring.count(labels, run)) for (run,) in arms] for labels, arms in studies]
        return np.subtract(*np.mean(found, axis=0))[: len(comparison.METRICS)]


WORLDS = [
    pytest.param(World(dense=0.3, sparse=0.6, bold=0.02, whim=0.1), id="mostly the posts"),
    pytest.param(World(dense=0.3, sparse=0.6, bold=0.3, whim=0.1), id="mostly the seeds"),
    pytest.param(World(dense=0, sparse=0, bold=0.1, whim=0.5), id="one arm against itself"),
]


def coverage(world: World, studies: int, resamples: int) -> pd.Series:
    """The share of studies whose interval holds the truth, by score."""
    rng, truth = np.random.default_rng(0), world.difference()
    held = []
    for _ in range(studies):
        labels, arms = world.study(rng, POSTS, RUNS)
        table = comparison.compare(labels, *arms, resamples)[: len(truth)]
        held.append((table["low"] <= truth) & (truth <= table["high"]))
    return pd.DataFrame(held).mean().set_axis(comparison.METRICS)


@pytest.mark.parametrize("world", WORLDS)
def test_an_interval_holds_the_truth_about_as_often_as_it_says(world: World) -> None:
    assert coverage(world, studies=300, resamples=100).between(0.915, 0.985).all()


@pytest.mark.slow
@pytest.mark.parametrize("world", WORLDS)
def test_an_interval_of_95_percent_holds_the_truth_in_93_to_97_percent(world: World) -> None:
    share = coverage(world, studies=1000, resamples=400)
    print(share.to_dict())
    assert share.between(0.93, 0.97).all()


def test_more_than_the_posts_is_covered() -> None:
    """Runs that differ widen the interval, also where each of them is sure of its posts."""
    rng = np.random.default_rng(0)
    labels, (dense, sparse) = World(dense=0.3, sparse=0.3, bold=0.4, whim=0).study(rng, 2000, RUNS)
    together = comparison.compare(labels, dense, sparse, resamples=100)
    alone = comparison.compare(labels, dense[:1], sparse[:1], resamples=100)
    assert (together["high"] - together["low"])[0] > 2 * (alone["high"] - alone["low"])[0]


def test_resampled_scores_are_those_of_the_posts_drawn() -> None:
    rng = np.random.default_rng(0)
    labels, (dense, sparse) = World(dense=0.3, sparse=0.6, bold=0.1, whim=0.1).study(rng, 40, 2)
    drawn = comparison.resample(labels, [*dense, *sparse], resamples=60, seed=3)
    again = np.random.default_rng(3)
    for resample in range(60):
        rows = again.integers(40, size=40)
        expected = [comparison.measure(scoring.count(labels[rows], run[rows])) for run in (*dense, *sparse)]
        np.testing.assert_allclose(drawn[resample], expected)


def test_arms_that_say_the_same_are_level() -> None:
    labels, (arm, _) = World(dense=0.3, sparse=0.3, bold=0, whim=0).study(np.random.default_rng(0), 50, 2)
    table = comparison.compare(labels, arm, arm, resamples=100)
    assert (table[["difference", "low", "high"]] == 0).all(axis=None) and (table["p"] == 1).all()
    assert comparison.verdict(table.iloc[0], 2, 2).startswith("These data do not tell the arms apart")


@pytest.mark.parametrize(("runs", "says"), [(RUNS, "posts and seeds"), (1, "not over seeds")])
def test_the_verdict_names_the_winner_and_what_is_covered(runs: int, says: str) -> None:
    labels, arms = World(dense=0, sparse=1.5, bold=0.01, whim=0.1).study(np.random.default_rng(0), 1000, runs)
    table = comparison.compare(labels, *arms, resamples=100)
    sentence = comparison.verdict(table.iloc[0], runs, runs)
    assert sentence.startswith("The dense arm is better") and says in sentence and "p < 0.001" in sentence
    turned = comparison.compare(labels, *arms[::-1], resamples=100)
    assert comparison.verdict(turned.iloc[0], runs, runs).startswith("The sparse arm is better")


def test_tags_are_corrected_for_how_many_there_are() -> None:
    labels, arms = World(dense=0.3, sparse=0.6, bold=0.1, whim=0.1).study(np.random.default_rng(0), POSTS, RUNS)
    many = comparison.compare(labels, *arms, resamples=100)
    one = comparison.compare(labels[:, :1], *([run[:, :1] for run in arm] for arm in arms), resamples=100)
    tag = len(comparison.METRICS)
    assert many["difference"][tag] == one["difference"][tag]
    assert many["high"][tag] - many["low"][tag] > 1.1 * (one["high"][tag] - one["low"][tag])
    assert many["p"][tag] == pytest.approx(min(1, TAGS * one["p"][tag]))
