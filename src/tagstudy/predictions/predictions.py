"""The logits of the best tags of each post, for every run and split, as CSR matrices.

    data/predictions/ARM/predictions.json          the loss that gives logits their meaning; of each run its fold, its
                                                   seed and why it has not converged, and the remedy; the
                                                   fingerprint of the posts
    data/predictions/ARM/run-N/{valid,test}/       a row a post of the split, in the order of the corpus

Up to `train.top_tags` tags a post are kept: all, where there are no more. A tag that is not kept has no more than the
lowest logit of its row.
"""

from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array

from tagstudy.core.files import read_json
from tagstudy.core.store import CsrMatrix, CsrWriter
from tagstudy.predictions.links import PROBABILITIES


class PredictionWriter(CsrWriter):
    """Writes the logits of a run on a split, a batch of posts at a time."""

    def __init__(self, folder: Path, tags: int, top_tags: int) -> None:
        super().__init__(folder, tags)
        self.kept = min(top_tags, tags)

    def append_logits(self, logits: np.ndarray) -> None:
        """Add the best tags of posts; ``logits`` [posts, tags]."""
        posts, tags = logits.shape
        if self.kept < tags:
            best = np.sort(np.argpartition(-logits, self.kept - 1, axis=1)[:, : self.kept], axis=1)
        else:
            best = np.broadcast_to(np.arange(tags), logits.shape)
        data = np.take_along_axis(logits, best, axis=1)
        self.append(best.ravel(), np.arange(posts + 1) * self.kept, data.ravel())


class RunPredictions(NamedTuple):
    """What a run says of valid and test."""

    fold: int
    problem: str | None  # why it has not converged
    logits: dict[str, CsrMatrix]  # by split


class Predictions:
    """What an arm's runs say."""

    def __init__(self, folder: Path) -> None:
        described = read_json(folder / "predictions.json")
        self.posts: str = described["posts"]  # the fingerprint of the corpus
        self.remedy: str = described["remedy"]  # for runs that have not converged
        self.probability = PROBABILITIES[described["loss"]]
        self.runs = [
            RunPredictions(
                run["fold"],
                run["problem"],
                {split: CsrMatrix(folder / f"run-{number}" / split) for split in ("valid", "test")},
            )
            for number, run in enumerate(described["runs"])
        ]

    @property
    def problem(self) -> str | None:
        """Why the arm has not converged: at least half of its runs have not."""
        problems = Counter(run.problem for run in self.runs if run.problem)
        return problems.most_common(1)[0][0] if problems.total() * 2 >= len(self.runs) else None


def is_relevant(labels: csr_array, scores: csr_array) -> np.ndarray:
    """For each stored score [entries], whether the post has the tag; both are [posts, tags], columns in order."""
    posts, tags = scores.shape

    def places(matrix: csr_array) -> np.ndarray:
        return np.repeat(np.arange(posts), np.diff(matrix.indptr)) * np.int64(tags) + matrix.indices

    scored, true = places(scores), places(labels)  # both ascending
    entries = np.searchsorted(scored, true)
    entries = entries[entries < len(scored)]
    relevant = np.zeros(len(scored), dtype=bool)
    relevant[entries[scored[entries] == true[: len(entries)]]] = True
    return relevant
