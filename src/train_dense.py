"""Stage train_dense: train the shared MLP, and the dense embedding unless it is frozen.

in:  data/features/dense, data/posts
out: data/models/dense: model.json (tags, loss, runs, cost); for each run (a fold and a seed) network.json, weights
     and a dvclive log
     data/predictions/dense: the scores of each run on valid and test
     data/timings/dense.json: seconds of each run
"""

import tagstudy.core.processor  # noqa: F401 - before numpy and torch
from tagstudy.core.config import read_params
from tagstudy.core.paths import arm_folders
from tagstudy.core.stage import run
from tagstudy.model.arm import train_arm
from tagstudy.model.replicas import replicas


def main() -> str:
    return train_arm(read_params().train_dense, arm_folders("dense"))


if __name__ == "__main__":
    run(main, within=replicas())
