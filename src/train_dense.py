"""Stage train_dense: train the shared MLP on the dense embedding; a table, or an encoder, learns with it.

in:  data/features/dense, data/posts
out: data/models/dense: model.json (what rebuilds the network); a folder for each run (seed): weights and dvclive log;
     data/timings/dense.json: seconds of each run
"""

from tagstudy.core.config import read_params
from tagstudy.core.stage import run
from tagstudy.model.training import train_arm


def main() -> str:
    return train_arm("dense", read_params().train_dense, features="dense")


if __name__ == "__main__":
    run(main)
