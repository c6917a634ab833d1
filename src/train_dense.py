"""Stage train_dense: an embedding learned together with the shared MLP.

in:  data/features/dense, data/posts
out: data/models/dense: model.json (what rebuilds the network); a folder for each run (seed): weights and dvclive log;
     data/timings/dense.json: seconds of each run
"""

from params import read_params
from stage import run
from training import train_arm


def main() -> str:
    settings = read_params().train_dense
    return train_arm("dense", settings, features="dense", embedding_dim=settings.embedding_dim)


if __name__ == "__main__":
    run(main)
