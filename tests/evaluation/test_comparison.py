"""comparison.py: the interval holds the truth as often as it says, in simulated studies whose truth is known."""

from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
from as_csr import decisions_of, labels_of

from tagstudy.evaluation import comparison, scoring

POSTS, TAGS, RUNS = 300, 4, 5


class World(NamedTuple):
    """Where studies come from. A run gives a tag to the posts that, in its view, have enough of it."""

    dense: float  # how far the dense arm's view of a post is off, the same in all of its runs
    sparse: float
    bold: float  # how far a run is bolder or shyer than the others of its arm, on all posts alike
    whim: float  # how far a run's view of a post is its own
    fused: bool = False  # whether in the place of the dense arm there is the mean of both arms' views, run by run

    def study(self, rng: np.random.Generator, posts: int, runs: int) -> tuple[np.ndarray, list[list[np.ndarray]]]:
        """Labels, and the predicted tags of both arms' runs, each [posts, tags]."""
        truth = rng.normal(size=(posts, TAGS))
        shared = truth + rng.normal(size=truth.shape) / 2
        arms = []
        for off in (self.dense, self.sparse):
            view = shared + off * rng.normal(size=truth.shape)
            bold = self.bold * rng.normal(size=runs)
            arms.append([view + own + self.whim * rng.normal(size=truth.shape) for own in bold])
        if self.fused:
            arms[0] = [(one + other) / 2 for one, other in zip(*arms, strict=True)]
        return truth > 1, [[view > 1 for view in views] for views in arms]

    def difference(self) -> np.ndarray:
        """[metrics] The truth, from very many posts and runs; exactly 0 where the arms are of one kind."""
        if self.dense == self.sparse and not self.fused:
            return np.zeros(len(comparison.METRICS))
        rng = np.random.default_rng(1)
        studies = [self.study(rng, posts=20_000, runs=1) for _ in range(200)]
        scores = [[measure(labels, run) for (run,) in arms] for labels, arms in studies]
        return np.subtract(*np.mean(scores, axis=0))[: len(comparison.METRICS)]


WORLDS = [
    pytest.param(World(dense=0.3, sparse=0.6, bold=0.02, whim=0.1), id="mostly the posts"),
    pytest.param(World(dense=0.3, sparse=0.6, bold=0.3, whim=0.1), id="mostly the seeds"),
    pytest.param(World(dense=0, sparse=0, bold=0.1, whim=0.5), id="one arm against itself"),
    pytest.param(World(dense=0.6, sparse=0.6, bold=0.1, whim=0.3, fused=True), id="a fusion against one of its arms"),
]
FAR_BOLDER = World(dense=0.6, sparse=0.6, bold=0.3, whim=0.3, fused=True)


def measure(labels: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    return comparison.measure(scoring.count(labels_of(labels), decisions_of(labels, predicted)))


def compare(
    labels: np.ndarray, dense: list[np.ndarray], sparse: list[np.ndarray], *, resamples: int = 100, paired: bool = False
) -> pd.DataFrame:
    arms = {name: [decisions_of(labels, run) for run in runs] for name, runs in (("dense", dense), ("sparse", sparse))}
    return comparison.compare(*comparison.score(labels_of(labels), arms, resamples).values(), paired=paired)


def coverage(world: World, studies: int, resamples: int, runs: int = RUNS) -> pd.Series:
    """The share of studies whose interval holds the truth, by score."""
    rng, truth = np.random.default_rng(0), world.difference()
    held = []
    for _ in range(studies):
        labels, arms = world.study(rng, POSTS, runs)
        table = compare(labels, *arms, resamples=resamples, paired=world.fused)[: len(truth)]
        held.append((table["low"] <= truth) & (truth <= table["high"]))
    return pd.DataFrame(held).mean().set_axis(comparison.METRICS)


@pytest.mark.parametrize("world", WORLDS)
def test_an_interval_holds_the_truth_about_as_often_as_it_says(world: World) -> None:
    assert coverage(world, studies=300, resamples=100).between(0.915, 0.985).all()


@pytest.mark.slow
def test_of_a_fusion_whose_runs_are_far_bolder_two_scores_are_held_less_often() -> None:
    """Their differences are skewed then, which five runs do not show."""
    share = coverage(FAR_BOLDER, studies=1000, resamples=400)
    print(share.to_dict())
    assert share[["micro_f1", "macro_f1"]].between(0.93, 0.97).all()
    assert share[["hamming_loss", "subset_accuracy"]].between(0.90, 0.93).all()


@pytest.mark.slow
@pytest.mark.parametrize("world", WORLDS)
def test_an_interval_of_95_percent_holds_the_truth_in_93_to_97_percent(world: World) -> None:
    share = coverage(world, studies=1000, resamples=400)
    print(share.to_dict())
    assert share.between(0.93, 0.97).all()


@pytest.mark.slow
@pytest.mark.parametrize("world", WORLDS)
def test_of_three_runs_an_interval_of_95_percent_holds_the_truth_in_93_to_98_percent(world: World) -> None:
    """Few runs make it wide, and where the arms are one and the same a little too wide."""
    share = coverage(world, studies=1000, resamples=400, runs=3)
    print(share.to_dict())
    assert share.between(0.93, 0.98).all()


def test_more_than_the_posts_is_covered() -> None:
    """Runs that differ widen the interval, also where each of them is sure of its posts."""
    rng = np.random.default_rng(0)
    labels, (dense, sparse) = World(dense=0.3, sparse=0.3, bold=0.4, whim=0).study(rng, 2000, RUNS)
    together = compare(labels, dense, sparse)
    alone = compare(labels, dense[:1], sparse[:1])
    assert (together["high"] - together["low"])[0] > 2 * (alone["high"] - alone["low"])[0]


def test_replicates_are_the_scores_of_the_resampled_posts() -> None:
    rng = np.random.default_rng(0)
    labels, (dense, sparse) = World(dense=0.3, sparse=0.6, bold=0.1, whim=0.1).study(rng, 40, 2)
    runs = [*dense, *sparse]
    decisions = [decisions_of(labels, run) for run in runs]
    replicates = comparison.resample(labels_of(labels), decisions, resamples=60, seed=3)
    again = np.random.default_rng(3)
    for replicate in replicates:
        rows = again.integers(40, size=40)
        np.testing.assert_allclose(replicate, [measure(labels[rows], run[rows]) for run in runs])


def test_arms_that_predict_the_same_do_not_differ() -> None:
    labels, (arm, _) = World(dense=0.3, sparse=0.3, bold=0, whim=0).study(np.random.default_rng(0), 50, 2)
    table = compare(labels, arm, arm)
    assert (table[["difference", "low", "high"]] == 0).all(axis=None) and (table["p"] == 1).all()
    assert comparison.verdict(table.iloc[0], 2, 2).startswith("No significant difference")


@pytest.mark.parametrize(("runs", "says"), [(RUNS, "posts and seeds"), (1, "not over seeds")])
def test_the_verdict_names_the_winner_and_what_is_covered(runs: int, says: str) -> None:
    labels, arms = World(dense=0, sparse=1.5, bold=0.01, whim=0.1).study(np.random.default_rng(0), 1000, runs)
    table = compare(labels, *arms)
    sentence = comparison.verdict(table.iloc[0], runs, runs)
    assert sentence.startswith("The dense arm is better") and says in sentence and "p < 0.001" in sentence
    turned = compare(labels, *arms[::-1])
    assert comparison.verdict(turned.iloc[0], runs, runs).startswith("The sparse arm is better")


def test_paired_runs_owe_less_to_their_seeds() -> None:
    """A run and the fusion that holds it are bold together, which adds no variance to their difference."""
    rng, widths = np.random.default_rng(0), []
    for _ in range(20):
        labels, arms = FAR_BOLDER.study(rng, POSTS, RUNS)
        paired, apart = compare(labels, *arms, paired=True), compare(labels, *arms)
        assert (paired["difference"] == apart["difference"]).all()
        widths.append([(table["high"] - table["low"])[0] for table in (paired, apart)])
    paired_width, apart_width = np.mean(widths, axis=0)
    assert paired_width < 0.8 * apart_width


def test_tags_are_corrected_for_how_many_there_are() -> None:
    labels, arms = World(dense=0.3, sparse=0.6, bold=0.1, whim=0.1).study(np.random.default_rng(0), POSTS, RUNS)
    many = compare(labels, *arms)
    one = compare(labels[:, :1], *([run[:, :1] for run in arm] for arm in arms))
    tag = len(comparison.METRICS)
    assert many["difference"][tag] == one["difference"][tag]
    assert many["high"][tag] - many["low"][tag] > 1.1 * (one["high"][tag] - one["low"][tag])
    assert many["p"][tag] == pytest.approx(min(1, TAGS * one["p"][tag]))
