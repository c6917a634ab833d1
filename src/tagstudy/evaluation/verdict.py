"""The comparison of the arms in a sentence, which names a winner only where there is one."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from tagstudy.evaluation.comparison import DISCORDANT, LEVEL

TEST_POSTS = 30  # with fewer no winner is named
UNDECIDED = ("Not comparable", "No verdict")  # what a sentence begins with that compares nothing


def verdict(
    micro_f1: pd.Series,
    problems: Mapping[str, str | None],
    remedies: Mapping[str, str],
    *,
    folds: int,
    runs: int,
    posts: int,
    margin: float,
) -> str:
    """The row of micro-F1 of comparison.csv in a sentence.

    problems: for each arm why it has not converged
    remedies: for each arm what helps then
    posts: test posts, of all folds together
    margin: where the whole interval is within ± this, and p is not below LEVEL, the arms are equivalent
    """
    dense, sparse, difference, low, high, p = micro_f1[["dense", "sparse", "difference", "low", "high", "p"]]
    half = (high - low) / 2
    unready = {arm: problem for arm, problem in problems.items() if problem}
    if unready:
        reasons = " and ".join(f"the {arm} arm was {problem}" for arm, problem in unready.items())
        finding = f"Not comparable: {reasons}; " + " and ".join(dict.fromkeys(remedies[arm] for arm in unready))
    elif runs == 1:
        finding = "No verdict from a single run; raise train.runs (or what overrides it)"
    elif np.isnan(p):
        finding = f"No verdict: the arms predict different tags for fewer than {DISCORDANT} test posts; give more posts"
    elif posts < TEST_POSTS:
        finding = (
            f"No verdict from {posts} test posts, with which only a difference above {half:.2f} would be significant; "
            "give more posts"
        )
    elif p < LEVEL:
        finding = f"The {'dense' if difference > 0 else 'sparse'} arm is better"
    elif max(-low, high) <= margin:
        finding = f"The arms are equivalent within {margin:g}"
    else:
        finding = "No significant difference"
    scores = f"test micro-F1 {dense:.4f} dense, {sparse:.4f} sparse, difference {difference:+.4f}"
    if np.isnan(p):
        return f"{finding}: {scores}"
    covered = "posts, training sets and seeds" if folds > 1 else "posts and seeds, on this split,"
    chance = "p < 0.001" if p < 0.001 else f"p < {LEVEL}" if p < LEVEL <= round(p, 3) else f"p = {p:.3f}"
    return f"{finding}: {scores} ({1 - LEVEL:.0%} interval over {covered} {low:+.4f} to {high:+.4f}, {chance})"
