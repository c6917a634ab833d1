"""A comparison of many systems: which are tied for best, and which of these is the cheapest?

All pairs are compared, and p is corrected for all of them (Holm, 1979). A system is tied for best unless it is
significantly worse than the best one. That does not make it equally good: the interval of the difference says how much
worse it may be. The intervals are Bonferroni's (95% for all pairs together), so one may include 0 where Holm's p < .05.
"""

from collections.abc import Mapping
from itertools import combinations
from typing import NamedTuple

import numpy as np
import pandas as pd

from tagstudy.core.corpus import Corpus
from tagstudy.evaluation.comparison import LEVEL, Scores, compare, interval, score
from tagstudy.evaluation.experiments import Candidate
from tagstudy.evaluation.outcomes import LOWER_IS_BETTER
from tagstudy.evaluation.scoring import COMPARED
from tagstudy.evaluation.verdict import TEST_POSTS


class Ranking(NamedTuple):
    """Systems from the best to the worst, and all pairs of them."""

    systems: pd.DataFrame  # system, score, low, high, difference (from the best), ..., tied, multiply_adds, problem
    pairs: pd.DataFrame  # one, other, difference, low, high, p


def rank_candidates(corpus: Corpus, candidates: Mapping[str, Candidate], resamples: int, metric: str) -> Ranking:
    """Score the systems of experiments on the same resamples, and rank them by a metric."""
    scores = score(corpus, {name: candidate.system for name, candidate in candidates.items()}, resamples)
    cost = {name: candidate.multiply_adds for name, candidate in candidates.items()}
    return rank(scores, cost, {name: candidate.problem for name, candidate in candidates.items()}, metric)


def rank(
    scores: Mapping[str, Scores], cost: Mapping[str, float], problems: Mapping[str, str | None], metric: str
) -> Ranking:
    """Rank systems by a metric.

    ``cost`` are multiply-adds of a post; ``problems`` say why a system has not converged: such a one is shown, but
    neither best nor tied.
    """
    place = COMPARED.index(metric)
    sign = -1 if LOWER_IS_BETTER[place] else 1
    names = sorted(scores, key=lambda name: (problems[name] is not None, -sign * scores[name].observed[place]))
    pairs = compare_pairs(scores, names, place)
    best = names[0]
    rows = []
    for name in names:
        system = scores[name]
        observed, posts = system.observed[place], system.decisions[0].shape[0]
        replicates, units = system.replicates[:, place], system.units[:, place]
        low, high, _ = interval(observed, replicates, units, posts=posts, folds=system.folds)
        row = {"system": name, metric: observed, "low": max(low, 0), "high": min(high, 1)}
        against = pairs[(pairs["one"] == best) & (pairs["other"] == name)]
        if len(against):
            pair = against.iloc[0]
            row |= {"difference": -pair["difference"], "difference_low": -pair["high"], "difference_high": -pair["low"]}
            row["p"] = pair["p"]
        tied = problems[name] is None and (name == best or not row["p"] < LEVEL)
        rows.append(row | {"tied": tied, "multiply_adds": cost[name], "problem": problems[name]})
    systems = pd.DataFrame(rows)
    if min(len(system.units) for system in scores.values()) < 2:  # a single run: nothing is tested, nothing is tied
        systems["tied"] = False
    return Ranking(systems, pairs)


def compare_pairs(scores: Mapping[str, Scores], names: list[str], place: int) -> pd.DataFrame:
    """Every pair, the better one first; those that have not converged come last.

    low, high and p are corrected for all pairs; ``p_alone`` is that of a study of the two alone.
    """
    chosen = list(combinations(names, 2))
    rows = []
    for one, other in chosen:
        together, alone = (compare(scores[one], scores[other], n).iloc[place] for n in (len(chosen), 1))
        rows.append({"one": one, "other": other, **together[["difference", "low", "high"]], "p_alone": alone["p"]})
    table = pd.DataFrame(rows, columns=["one", "other", "difference", "low", "high", "p_alone"])
    table.insert(5, "p", holm(table["p_alone"].to_numpy(float)))
    return table


def holm(p: np.ndarray) -> np.ndarray:
    """p corrected for all of them together (Holm, 1979); NaN stays."""
    order = np.argsort(p, kind="stable")  # NaN last
    factors = np.arange(len(p), 0, -1)
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(np.maximum.accumulate(p[order] * factors), 1)
    return corrected


def sentence(ranking: Ranking, metric: str, margin: float, posts: int) -> str:
    """Which systems are tied for best, and the cheapest of these; ``posts`` are test posts."""
    systems = ranking.systems
    if posts < TEST_POSTS:
        return f"No verdict from {posts} test posts; give more posts"
    if len(systems) > 1 and ranking.pairs["p"].isna().all():
        return "No verdict: a single run, or too few posts for which the systems predict different tags"
    tied, unready = systems[systems["tied"]], systems[systems["problem"].notna()]
    parts = []
    if len(tied):
        best, cheapest = tied.iloc[0], tied.loc[tied["multiply_adds"].idxmin()]
        parts.append(("Tied for best: " if len(tied) > 1 else "Best: ") + ", ".join(tied["system"]))
        if cheapest["system"] != best["system"]:
            worse = cheapest["difference_high"] if metric == "hamming_loss" else -cheapest["difference_low"]
            bound = f"at most {worse:.4f} worse"
            if np.isnan(worse):
                bound = "but there is too little to tell how much worse it may be"
            elif metric == "micro_f1" and worse <= margin:
                bound = f"equivalent to {best['system']} within {margin:g}"
            parts.append(f"The cheapest of these is {cheapest['system']}, {bound}")
    if len(unready):
        parts.append("Not comparable, because they have not converged: " + ", ".join(unready["system"]))
    return ". ".join(parts)
