"""probabilities.py: the interval of a mean over posts is the bootstrap's."""

from pathlib import Path

import numpy as np
import pytest
from as_csr import corpus_of, system_of

from tagstudy.evaluation.comparison import interval, resampled_weights
from tagstudy.evaluation.meters import LOSSES
from tagstudy.evaluation.probabilities import loss_table

POSTS, TAGS = 300, 3


@pytest.mark.parametrize(("folds", "repeats"), [(3, 1), (3, 2), (1, 3)])
def test_intervals_are_those_of_a_bootstrap(folds: int, repeats: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = rng.random((POSTS, TAGS)) < 0.3
    corpus = corpus_of(tmp_path, labels, folds)
    logits = labels + rng.normal(size=(2, folds * repeats, POSTS, TAGS)) - [[[[0.3]]], [[[0.6]]]]
    systems = {name: system_of(corpus, labels, arm) for name, arm in zip(("dense", "sparse"), logits, strict=True)}
    table = loss_table(systems).set_index("system")
    losses = np.zeros((2, repeats, POSTS, len(LOSSES)))  # of each post, by the run that tests it
    for arm, system in enumerate(systems.values()):
        for number, run in enumerate(system.runs):
            losses[arm, number // folds, corpus.rows("test", run.fold)] = run.losses
    tested = losses[:, :, corpus.tested()].mean(axis=1)
    rows = [{split: corpus.rows(split, fold) for split in ("valid", "test")} for fold in range(folds)]
    weights = np.concatenate([fold["test"] for fold in resampled_weights(rows, range(4000))]).T
    for name, posts in {"dense": tested[0], "sparse": tested[1], "dense - sparse": tested[0] - tested[1]}.items():
        rows = table.loc[name]
        assert rows["score"].tolist() == list(LOSSES)
        np.testing.assert_allclose(rows["value"], posts.mean(axis=0))
        runs = [[run.losses.mean(axis=0) for run in system.runs] for system in systems.values()]
        units = np.array({"dense": runs[0], "sparse": runs[1]}.get(name, np.subtract(*runs)))
        units = units.reshape(-1, folds, 2).mean(axis=0) if folds > 1 else units
        drawn = interval(posts.mean(axis=0), weights @ posts / len(posts), units, posts=len(posts), folds=folds)
        np.testing.assert_allclose(rows["high"] - rows["low"], drawn.high - drawn.low, rtol=0.05)


@pytest.mark.parametrize("folds", [3, 1])
def test_with_more_runs_of_one_arm_the_difference_is_still_that_of_the_arms(folds: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = rng.random((POSTS, TAGS)) < 0.3
    corpus = corpus_of(tmp_path, labels, folds)
    logits = labels + rng.normal(size=(6, POSTS, TAGS)) - rng.random((6, 1, 1))
    systems = {"dense": system_of(corpus, labels, logits), "sparse": system_of(corpus, labels, logits[:3] - 0.2)}
    values = loss_table(systems).set_index(["system", "score"])["value"].unstack()
    np.testing.assert_allclose(values.loc["dense"] - values.loc["sparse"], values.loc["dense - sparse"])
