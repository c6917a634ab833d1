"""The systems of a study, both arms and their fusion: each run's threshold from valid, its scores on test."""

from collections.abc import Iterator

from scipy.sparse import csr_array

from tagstudy.evaluation.blocks import Block, Run, assess, read_blocks, tune
from tagstudy.evaluation.fusion import fuse, tune_weight
from tagstudy.predictions.predictions import Predictions


def assess_systems(
    labels: dict[str, csr_array], dense: Predictions, sparse: Predictions, threshold: str | float
) -> tuple[dict[str, list[Run]], list[float]]:
    """The runs of the dense and of the sparse arm and of the fusion, and the dense arm's weights in the last.

    labels: [posts, tags] of valid and test
    threshold: "tuned" on valid, or one for all
    """
    arms = {"dense": dense, "sparse": sparse}

    def read(arm: str, run: int, split: str) -> Iterator[Block]:
        return read_blocks(labels[split], arms[arm].runs[run][split], arms[arm].probability)

    runs: dict[str, list[Run]] = {"dense": [], "sparse": [], "fusion": []}
    for arm, predictions in arms.items():
        for run in range(len(predictions.runs)):
            value = tune(read(arm, run, "valid")).value if threshold == "tuned" else float(threshold)
            runs[arm].append(assess(labels["test"], read(arm, run, "test"), value))
    weights = []
    for run in range(min(len(dense.runs), len(sparse.runs))):
        weight, best = tune_weight(read("dense", run, "valid"), read("sparse", run, "valid"))
        fused = fuse(read("dense", run, "test"), read("sparse", run, "test"), weight)
        runs["fusion"].append(assess(labels["test"], fused, best.value if threshold == "tuned" else float(threshold)))
        weights.append(weight)
    return runs, weights
