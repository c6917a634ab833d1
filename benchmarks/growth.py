"""Every stage by the number of posts and of tags: seconds and peak memory. Prints both, writes benchmarks/growth.csv.

`python benchmarks/growth.py --data FOLDER --posts 10000 100000 --tags 50`. The posts are made from real ones. Training
takes one epoch of each arm, of at most 1,000 steps, and `--runs` runs of it side by side. Peak memory is that of the
stage and its processes together, each page counted once.
"""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd

from common import ROOT, arguments, make_dump, measure, write_params

STAGES = ["ingest", "featurize_dense", "featurize_tfidf", "train_dense", "train_sparse", "evaluate"]


def main() -> None:
    chosen = arguments(
        __doc__,
        posts={"type": int, "nargs": "+", "default": [10_000, 100_000, 1_000_000]},
        tags={"type": int, "nargs": "+", "default": [50]},
        runs={"type": int, "default": 1},
    )
    rows: list[dict] = []
    for posts in chosen.posts:
        with TemporaryDirectory(dir=ROOT / "benchmarks") as scratch:
            folder = Path(scratch)
            make_dump(folder / "Posts.xml", chosen.data, posts=posts, tags=max(chosen.tags))
            for tags in chosen.tags:
                for row in grow(folder, posts, tags, chosen.runs):
                    rows.append(row)
                    pd.DataFrame(rows).to_csv(ROOT / "benchmarks/growth.csv", index=False, lineterminator="\n")


def grow(folder: Path, posts: int, tags: int, runs: int) -> Iterator[dict[str, Any]]:
    """Run the stages in a folder with a dump; a row for each."""
    settings = {"runs": runs, "epochs": 1, "max_steps": 1000}
    ingest = {"source": "Posts.xml", "tags": tags, "min_tags": 0, "folds": 1}
    write_params(folder, ingest=ingest, train=settings)
    for stage in STAGES:
        seconds, peak = measure(folder, ROOT / f"src/{stage}.py")
        print(f"{posts:>9,} posts {tags:>5,} tags {stage:16} {seconds:8.1f} s {peak:7.0f} MB", flush=True)
        about = {"stage": stage, "posts": posts, "tags": tags, "runs": runs}
        yield about | {"seconds": round(seconds, 1), "peak_mb": round(peak)}


if __name__ == "__main__":
    main()
