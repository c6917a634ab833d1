"""Stage train_sparse: train the shared MLP on TF-IDF; the table of its first hidden layer holds a row a term.

in:  data/features/tfidf, data/posts
out: data/models/sparse: model.json (what rebuilds the network); a folder for each run (seed): weights and dvclive log;
     data/timings/sparse.json: seconds of each run
"""

from tagstudy.core.config import read_params
from tagstudy.core.stage import run
from tagstudy.model.training import train_arm


def main() -> str:
    return train_arm("sparse", read_params().train_sparse, features="tfidf")


if __name__ == "__main__":
    run(main)
