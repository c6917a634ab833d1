"""Stage train_sparse: train the shared MLP on TF-IDF; the matrix of its first hidden layer has one row per term.

in:  data/features/tfidf, data/posts
out: data/models/sparse: model.json (tags, loss, runs, cost); for each run (a fold and a seed) network.json, weights
     and a dvclive log
     data/predictions/sparse: the scores of each run on valid and test
     data/timings/sparse.json: seconds of each run
"""

import tagstudy.core.processor  # noqa: F401 - before numpy and torch
from tagstudy.core.config import read_params
from tagstudy.core.paths import arm_folders
from tagstudy.core.stage import run
from tagstudy.model.arm import train_arm
from tagstudy.model.replicas import replicas


def main() -> str:
    return train_arm(read_params().train_sparse, arm_folders("sparse"))


if __name__ == "__main__":
    run(main, within=replicas())
