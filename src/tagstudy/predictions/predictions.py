"""The logits of the best tags of each post, for every run and split, as CSR matrices.

    data/predictions/ARM/predictions.json            the loss that gives logits their meaning, and the runs' seeds
    data/predictions/ARM/run-SEED/{valid,test}/      a row a post of the split, in the order of the corpus

Up to `train.top_tags` tags a post are kept: all, where there are no more. A tag that is not kept has no more than the
lowest logit of its row.
"""

from pathlib import Path

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


class Predictions:
    """What an arm's runs say of valid and test."""

    def __init__(self, folder: Path) -> None:
        about = read_json(folder / "predictions.json")
        self.seeds: list[int] = about["seeds"]
        self.probability = PROBABILITIES[about["loss"]]
        self.runs: list[dict[str, CsrMatrix]] = [
            {split: CsrMatrix(folder / f"run-{seed}" / split) for split in ("valid", "test")} for seed in self.seeds
        ]


def is_relevant(labels: csr_array, scores: csr_array) -> np.ndarray:
    """For each stored score [entries], whether the post has the tag; both are [posts, tags], columns in order."""
    posts, tags = scores.shape

    def places(matrix: csr_array) -> np.ndarray:
        return np.repeat(np.arange(posts), np.diff(matrix.indptr)) * np.int64(tags) + matrix.indices

    scored, true = places(scores), places(labels)  # both ascending
    found = np.searchsorted(scored, true)
    found = found[found < len(scored)]
    relevant = np.zeros(len(scored), dtype=bool)
    relevant[found[scored[found] == true[: len(found)]]] = True
    return relevant
