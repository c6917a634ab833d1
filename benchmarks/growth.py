"""Every stage from 10,000 to 1,000,000 posts: seconds and peak memory. Prints a table, writes benchmarks/growth.csv.

`python benchmarks/growth.py --data FOLDER --posts 10000 100000`. The posts are made from real ones; training takes one
run of an epoch of each arm.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from dumps import ROOT, arguments, make_dump, measure, write_params

STAGES = ["ingest", "featurize_dense", "featurize_tfidf", "train_dense", "train_sparse", "evaluate"]
SETTINGS = {
    "ingest": {"source": "Posts.xml", "tags": 50, "min_tags": 0},
    "train": {"runs": 1, "epochs": 1},
    "train_dense": {"epochs": 1},
    "train_sparse": {"epochs": 1},
}


def main() -> None:
    chosen = arguments(
        __doc__,
        posts={"type": int, "nargs": "+", "default": [10_000, 100_000, 1_000_000]},
        stages={"nargs": "+", "choices": STAGES, "default": STAGES, "help": "the first ones, in their order"},
    )
    rows = []
    for posts in chosen.posts:
        with TemporaryDirectory(dir=ROOT / "benchmarks") as scratch:
            folder = Path(scratch)
            make_dump(folder / "Posts.xml", chosen.data, posts=posts)
            write_params(folder, **SETTINGS)
            for stage in chosen.stages:
                seconds, peak = measure(folder, ROOT / f"src/{stage}.py")
                rows.append({"stage": stage, "posts": posts, "seconds": round(seconds, 1), "peak_mb": round(peak)})
                print(f"{posts:>9,} {stage:16} {seconds:8.1f} s {peak:7.0f} MB", flush=True)
    table = pd.DataFrame(rows)
    table.to_csv(ROOT / "benchmarks/growth.csv", index=False, lineterminator="\n")
    print(table.pivot(index="stage", columns="posts").reindex(chosen.stages).to_string())


if __name__ == "__main__":
    main()
