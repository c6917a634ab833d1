"""ranking.py: all pairs are corrected together; what is tied for best, and the cheapest of it."""

import numpy as np
import pytest
from as_csr import corpus_of, system_of

from tagstudy.evaluation.comparison import Scores, compare, score
from tagstudy.evaluation.ranking import holm, rank, sentence

NOISE = {"best": 0.5, "close": 0.52, "worse": 1.5}
COST = {"best": 100.0, "close": 10.0, "worse": 1.0}


@pytest.fixture(scope="module")
def scores(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Scores]:
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(600, 4))
    labels = truth > 1
    corpus = corpus_of(tmp_path_factory.mktemp("corpus"), labels, 5)
    shared = 0.4 * rng.normal(size=truth.shape)
    systems = {}
    for name, noise in NOISE.items():
        view = truth + shared + noise * rng.normal(size=truth.shape) - 1
        systems[name] = system_of(corpus, labels, np.repeat(view[None], 5, axis=0).astype(np.float32))
    return score(corpus, systems, 200)


def test_holm_multiplies_by_how_many_are_left() -> None:
    assert holm(np.array([0.01, 0.04, 0.03])).tolist() == pytest.approx([0.03, 0.06, 0.06])
    assert np.array_equal(holm(np.array([0.5, np.nan, 0.01])), [1, np.nan, 0.03], equal_nan=True)


def test_systems_stand_from_the_best_to_the_worst(scores: dict[str, Scores]) -> None:
    ranking = rank(scores, COST, dict.fromkeys(NOISE), "micro_f1")
    systems = ranking.systems.set_index("system")
    assert systems["micro_f1"].is_monotonic_decreasing
    assert (systems["low"] < systems["micro_f1"]).all() and (systems["micro_f1"] < systems["high"]).all()
    assert systems["tied"].to_dict() == {"best": True, "close": True, "worse": False}
    assert len(ranking.pairs) == 3 and (ranking.pairs["difference"] >= 0).all()
    one, other = ranking.pairs.iloc[0][["one", "other"]]
    alone = compare(scores[one], scores[other]).iloc[0]
    assert ranking.pairs["p"][0] >= alone["p"] and ranking.pairs["low"][0] < alone["low"]


def test_the_cheapest_of_those_tied_is_named_with_how_much_worse_it_may_be(scores: dict[str, Scores]) -> None:
    ranking = rank(scores, COST, dict.fromkeys(NOISE), "micro_f1")
    first, second = ranking.systems["system"][:2]
    assert sentence(ranking, "micro_f1", 0.5, 300).startswith(f"Tied for best: {first}, {second}")
    cheapest = rank(scores, COST | {first: 1000}, dict.fromkeys(NOISE), "micro_f1")
    assert f"The cheapest of these is {second}, equivalent to {first} within 0.5" in sentence(
        cheapest, "micro_f1", 0.5, 300
    )
    low = cheapest.systems["difference_low"][1]
    assert f"The cheapest of these is {second}, at most {-low:.4f} worse" in sentence(cheapest, "micro_f1", 0.0001, 300)


def test_without_intervals_or_with_few_posts_no_system_is_best(scores: dict[str, Scores]) -> None:
    ranking = rank(scores, COST, dict.fromkeys(NOISE), "micro_f1")
    assert sentence(ranking, "micro_f1", 0.005, 29).startswith("No verdict from 29 test posts")
    alone = {name: each._replace(units=each.units[:1]) for name, each in scores.items()}  # as of a single run
    ranking = rank(alone, COST, dict.fromkeys(NOISE), "micro_f1")
    assert sentence(ranking, "micro_f1", 0.005, 300).startswith("No verdict: a single run")
    assert not ranking.systems["tied"].any()


def test_of_losses_the_lowest_is_the_best(scores: dict[str, Scores]) -> None:
    ranking = rank(scores, COST, dict.fromkeys(NOISE), "hamming_loss")
    assert ranking.systems["hamming_loss"].is_monotonic_increasing
    assert ranking.systems["system"].iloc[-1] == "worse"
    assert ranking.systems["difference"].iloc[-1] > 0


def test_a_system_that_has_not_converged_is_not_compared(scores: dict[str, Scores]) -> None:
    problems = dict.fromkeys(NOISE) | {"best": "still improving"}
    ranking = rank(scores, COST, problems, "micro_f1")
    assert ranking.systems["system"].iloc[-1] == "best" and not ranking.systems["tied"].iloc[-1]
    assert sentence(ranking, "micro_f1", 0.005, 300) == (
        "Best: close. Not comparable, because they have not converged: best"
    )
    nothing = rank(scores, COST, dict.fromkeys(NOISE, "still improving"), "micro_f1")
    assert sentence(nothing, "micro_f1", 0.005, 300).startswith("Not comparable")
