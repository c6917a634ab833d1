"""comparison.py: the interval holds the truth as often as it says, in simulated studies whose truth is known."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
from as_csr import corpus_of, decisions_of, system_of

from tagstudy.core.corpus import Corpus
from tagstudy.evaluation import comparison
from tagstudy.evaluation.comparison import DISCORDANT, POSITIVES, compare, score
from tagstudy.evaluation.scoring import COMPARED
from tagstudy.evaluation.systems import System

POSTS, TAGS, FOLDS, RUNS = 300, 4, 5, 3  # runs are those of a single split


class World(NamedTuple):
    """Where studies come from. A run's logit of a tag is its view of how much a post has of it."""

    dense: float  # how far the dense arm's view of a post is off
    sparse: float
    bias: float = 0.2  # standard deviation of a run's bias, the same for all posts and tags
    tag_bias: float = 0.1  # of its bias for each tag
    rare: float = 1.0  # posts with more than so much of a tag have it

    def study(self, rng: np.random.Generator, folder: Path, folds: int = FOLDS) -> tuple[Corpus, dict[str, System]]:
        truth = rng.normal(size=(POSTS, TAGS)) - np.linspace(0, self.rare - 1, TAGS)
        labels = truth > 1
        corpus = corpus_of(folder, labels, folds)
        shared = truth + rng.normal(size=truth.shape) / 2
        number = FOLDS if folds > 1 else RUNS
        systems = {}
        for name, off in (("dense", self.dense), ("sparse", self.sparse)):
            view = shared + off * rng.normal(size=truth.shape)
            runs = self.bias * rng.normal(size=(number, 1, 1)) + self.tag_bias * rng.normal(size=(number, 1, TAGS))
            systems[name] = system_of(corpus, labels, (view + runs - 1).astype(np.float32))
        return corpus, systems


WORLDS = {
    "two arms": World(dense=0.3, sparse=0.6),
    "runs that differ": World(dense=0.3, sparse=0.6, bias=0.5, tag_bias=0.4),
    "one arm against itself": World(dense=0.5, sparse=0.5),
    "rare tags": World(dense=0.3, sparse=0.6, rare=2.2),
}


def coverage(
    world: World, folder: Path, studies: int, resamples: int, folds: int = FOLDS
) -> tuple[pd.Series, pd.Series]:
    """The fraction of studies whose interval holds the truth, by score; and in which all tags' intervals do.

    The truth is the mean of all studies, or 0 for an arm against itself.
    """
    rng = np.random.default_rng(0)
    tables = []
    for number in range(studies):
        corpus, systems = world.study(rng, folder / str(number), folds)
        scores = score(corpus, systems, resamples)
        tables.append(compare(scores["dense"], scores["sparse"]))
    stacked = {name: np.stack([table[name] for table in tables]) for name in ("difference", "low", "high")}
    truth = stacked["difference"].mean(axis=0) if world.dense != world.sparse else np.zeros(len(COMPARED) + TAGS)
    holds = ~((truth < stacked["low"]) | (truth > stacked["high"]))  # no interval does not miss it
    metrics = pd.Series(holds[:, : len(COMPARED)].mean(axis=0), COMPARED)
    told = ~np.isnan(stacked["low"][:, len(COMPARED) :])
    together = pd.Series({"tags": holds[:, len(COMPARED) :].all(axis=1)[told.any(axis=1)].mean(), "told": told.mean()})
    return metrics, together


def test_an_arm_against_itself_has_a_winner_about_as_rarely_as_it_should(tmp_path: Path) -> None:
    metrics, together = coverage(WORLDS["one arm against itself"], tmp_path, studies=40, resamples=100)
    assert (metrics > 0.87).all() and together["tags"] > 0.87


@pytest.mark.slow
@pytest.mark.parametrize("folds", [FOLDS, 1])
@pytest.mark.parametrize("name", WORLDS)
def test_an_interval_of_95_percent_holds_the_truth_in_93_to_100_percent(name: str, folds: int, tmp_path: Path) -> None:
    metrics, together = coverage(WORLDS[name], tmp_path, studies=1000, resamples=400, folds=folds)
    print(name, folds, metrics.round(3).to_dict(), together.round(3).to_dict())
    assert metrics.between(0.93, 1).all() and together["tags"] > 0.93


def test_replicates_are_the_scores_of_the_resampled_posts(tmp_path: Path) -> None:
    """With the thresholds tuned again on the resampled valid posts."""
    rng = np.random.default_rng(0)
    corpus, systems = WORLDS["two arms"].study(rng, tmp_path)
    system = systems["dense"]
    rows = [{split: corpus.rows(split, fold) for split in ("valid", "test")} for fold in range(FOLDS)]
    weights = comparison.resampled_weights(rows, range(3))
    labels = corpus.labels.take(np.arange(POSTS)).toarray() > 0
    replicates = comparison.replicate({"dense": system}, rows, [range(2), range(2, 3)])["dense"]
    for number in range(3):
        right = np.zeros(2)  # true positives twice, and all positives and predictions, over folds
        for run in system.runs:
            drawn = {split: weights[run.fold][split][:, [number]] for split in ("valid", "test")}
            assert drawn["test"].sum() == len(rows[run.fold]["test"])
            tried = []
            for at in range(run.valid.thresholds):
                sums = []
                for split in ("valid", "test"):
                    counts = getattr(run, split).counts(drawn[split])
                    tp, fp, fn = (part[at].sum() for part in (counts.tp, counts.fp, counts.fn))
                    assert tp + fn == (labels[rows[run.fold][split]] * drawn[split]).sum()
                    sums.append(np.array([2 * tp, 2 * tp + fp + fn]))
                tried.append(sums)
            best = max(range(len(tried)), key=lambda at: tried[at][0][0] / tried[at][0][1])
            right += tried[best][1]
        assert replicates[number, 0] == pytest.approx(right[0] / right[1], abs=1e-6)


def test_a_post_of_test_is_drawn_as_often_as_a_post_of_valid(tmp_path: Path) -> None:
    """Over folds every post is in both; it has one weight in a resample."""
    corpus, _ = WORLDS["two arms"].study(np.random.default_rng(0), tmp_path)
    rows = [{split: corpus.rows(split, fold) for split in ("valid", "test")} for fold in range(FOLDS)]
    weights = comparison.resampled_weights(rows, range(2))
    for fold in range(FOLDS):
        following = (fold - 1) % FOLDS  # the fold that validates on this one's test posts
        np.testing.assert_array_equal(rows[following]["valid"], rows[fold]["test"])
        np.testing.assert_array_equal(weights[following]["valid"], weights[fold]["test"])


def test_scores_are_those_of_all_folds_together(tmp_path: Path) -> None:
    """Not the mean of the folds' scores."""
    corpus, systems = WORLDS["two arms"].study(np.random.default_rng(0), tmp_path)
    scores = score(corpus, systems, 100)["dense"]
    [decisions] = systems["dense"].decisions()
    labels = corpus.labels.take(corpus.tested()).toarray() > 0
    predicted = comparison.predicted(decisions).toarray()
    tp = (labels & predicted).sum(axis=0)
    f1 = 2 * tp / (labels.sum(axis=0) + predicted.sum(axis=0))
    assert scores.observed[len(COMPARED) :] == pytest.approx(f1)
    assert scores.observed[0] == pytest.approx(2 * tp.sum() / (labels.sum() + predicted.sum()))
    assert systems["dense"].scores()["micro_f1"] == pytest.approx(scores.observed[0])


def test_arms_that_predict_the_same_have_no_interval(tmp_path: Path) -> None:
    corpus, systems = WORLDS["two arms"].study(np.random.default_rng(0), tmp_path)
    scores = score(corpus, systems, 100)
    table = compare(scores["dense"], scores["dense"])
    assert (table["difference"] == 0).all() and table[["low", "high", "p"]].isna().all(axis=None)


def test_a_single_run_has_no_interval(tmp_path: Path) -> None:
    corpus, systems = WORLDS["two arms"].study(np.random.default_rng(0), tmp_path, folds=1)
    alone = {name: System(system.runs[:1], 1) for name, system in systems.items()}
    scores = score(corpus, alone, 100)
    assert compare(scores["dense"], scores["sparse"])[["low", "high", "p"]].isna().all(axis=None)


def test_a_tag_with_few_posts_has_no_interval(tmp_path: Path) -> None:
    corpus, systems = World(dense=0.3, sparse=0.6, rare=3.5).study(np.random.default_rng(0), tmp_path)
    scores = score(corpus, systems, 100)
    table = compare(scores["dense"], scores["sparse"])[len(COMPARED) :]
    few = scores["dense"].positives < POSITIVES
    assert few.any() and not few.all()
    assert table["p"][few].isna().all() and table["p"][~few].notna().all()


def test_arms_that_differ_on_few_posts_have_no_interval() -> None:
    labels = np.ones((20, 2), dtype=bool)
    other = labels.copy()
    other[: DISCORDANT - 1, 0] = False
    other[3, 1] = False
    decisions = [decisions_of(labels, predicted) for predicted in (labels, other)]
    posts, tags = comparison.count_discordant(decisions[:1], decisions[1:])
    assert posts == DISCORDANT - 1 and tags.tolist() == [DISCORDANT - 1, 1]


def test_intervals_are_within_the_range_of_a_difference(tmp_path: Path) -> None:
    corpus, systems = World(dense=0, sparse=9).study(np.random.default_rng(0), tmp_path)
    scores = score(corpus, systems, 100)
    table = compare(scores["dense"], scores["sparse"], comparisons=10**9)
    assert table["low"].min() >= -1 and table["high"].max() == 1


def test_intervals_are_corrected_for_the_number_of_comparisons(tmp_path: Path) -> None:
    corpus, systems = WORLDS["two arms"].study(np.random.default_rng(0), tmp_path)
    scores = score(corpus, systems, 100)
    one, ten = (compare(scores["dense"], scores["sparse"], comparisons=number) for number in (1, 10))
    assert (ten["high"] - ten["low"] > 1.2 * (one["high"] - one["low"])).all()
    assert ten["p"].tolist() == pytest.approx(np.minimum(10 * one["p"], 1).tolist())


@pytest.mark.parametrize("of_runs", [0, 1, 4, 16])
@pytest.mark.parametrize(("runs", "folds"), [(5, 5), (3, 3), (3, 1)])
def test_the_interval_covers_what_it_should_whether_posts_or_runs_vary_more(
    runs: int, folds: int, of_runs: float
) -> None:
    """``of_runs``: the variance that training adds, relative to that of the posts; 20,000 studies without a difference.

    p is small no more often than it should be, not even where it is as small as for all pairs of a few systems.
    """
    rng = np.random.default_rng(0)
    of_posts = np.sqrt(folds) * rng.normal(size=(folds, 20_000))  # on a single split all runs have the same posts
    units = of_posts + np.sqrt(runs * of_runs) * rng.normal(size=(runs, 20_000))
    observed = units.mean(axis=0)
    low, high, p = comparison.interval(observed, observed + np.array([[-1], [1]]), units, posts=1000, folds=folds)
    covers = (low <= 0) & (high >= 0)
    assert 0.945 < covers.mean() < 0.997
    np.testing.assert_array_equal(covers, p >= comparison.LEVEL)
    assert (p < 0.005).mean() < 0.0065


def test_fewer_runs_make_the_interval_wider() -> None:
    """Where the variance of their mean is the same: it is known less well."""
    replicates = 0.001 * np.random.default_rng(0).normal(size=(1000, 1))
    widths = []
    for runs in (10, 5, 3):
        units = np.linspace(-1, 1, runs)[:, None]
        units *= 0.01 * np.sqrt(runs) / units.std(ddof=1)
        low, high, _ = comparison.interval(np.zeros(1), replicates, units, posts=1000, folds=runs)
        widths.append(float((high - low)[0]))
    assert widths[0] < widths[1] < widths[2]
