"""Every stage by the number of posts and of tags: seconds and peak memory. Writes benchmarks/growth.csv.

`python benchmarks/growth.py --data FOLDER --posts 10000 100000 --tags 50`. The posts are made from real ones; with
`--titles` they are titles alone. Training takes one epoch of each arm, of at most `--steps` steps, and `--runs` runs of
it side by side; `--held-out` is the fraction of the posts in valid, and in test. Peak memory is that of the stage and
its processes together, each page counted once. In the end it prints the tables of docs/scaling.md.
"""

from argparse import Namespace
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from common import ROOT, arguments, make_dump, make_titles, measure, write_params

TABLE = ROOT / "benchmarks/growth.csv"
KINDS = ["posts", "titles"]
STAGES = ["ingest", "featurize_dense", "featurize_tfidf", "train_dense", "train_sparse", "evaluate"]


def main() -> None:
    chosen = arguments(
        __doc__,
        posts={"type": int, "nargs": "+", "default": [10_000, 100_000, 1_000_000]},
        tags={"type": int, "nargs": "+", "default": [50]},
        runs={"type": int, "default": 1},
        steps={"type": int, "default": 1000},
        held_out={"type": float, "default": 0.2},
        titles={"action": "store_true"},
    )
    for posts in chosen.posts:
        with TemporaryDirectory(dir=ROOT / "benchmarks") as scratch:
            folder = Path(scratch)
            if chosen.titles:
                make_titles(folder / "posts.parquet", chosen.data, posts, max(chosen.tags))
            else:
                make_dump(folder / "Posts.xml", chosen.data, posts=posts, tags=max(chosen.tags))
            for tags in chosen.tags:
                grow(folder, posts, tags, chosen)
    print("\n\n".join(map(in_markdown, KINDS)))


def grow(folder: Path, posts: int, tags: int, chosen: Namespace) -> None:
    """Run the stages in a folder with a file of posts, and write a row for each into the table."""
    [source] = folder.glob("[Pp]osts.*")
    held_out = {"valid": chosen.held_out, "test": chosen.held_out}
    ingest = {"source": source.name, "tags": tags, "min_tags": 0, "folds": 1, **held_out}
    train = {"runs": chosen.runs, "epochs": 1, "max_steps": chosen.steps}
    write_params(folder, ingest=ingest, train=train)
    for stage in STAGES:
        seconds, peak = measure(folder, ROOT / f"src/{stage}.py")
        print(f"{posts:>10,} posts {tags:>5,} tags {stage:16} {seconds:8.1f} s {peak:7.0f} MB", flush=True)
        about = {"kind": KINDS[chosen.titles], "posts": posts, "tags": tags, "runs": chosen.runs, "stage": stage}
        found = {"seconds": round(seconds, 1), "peak_mb": round(peak)}
        row = about | {"held_out": chosen.held_out, "steps": chosen.steps} | found
        table = pd.concat([pd.read_csv(TABLE), pd.DataFrame([row])]).drop_duplicates(list(about), keep="last")
        table.to_csv(TABLE, index=False, lineterminator="\n")


def in_markdown(kind: str) -> str:
    """Of each stage its seconds and its peak memory, a column for each number of posts and of tags."""
    rows = pd.read_csv(TABLE).query("kind == @kind and runs == 1")
    whole = rows.groupby(["posts", "tags"])["stage"].transform("nunique") == len(STAGES)
    sizes = rows[whole].drop_duplicates(["posts", "tags"]).sort_values(["posts", "tags"])
    names = [f"{size.posts:,}, {size.tags:,} tags" for size in sizes.itertuples()]
    lines = [f"| {kind} | {' | '.join(names)} |", "|---" * (1 + len(names)) + "|"]
    for stage in STAGES:
        by_size = rows[rows["stage"] == stage].set_index(["posts", "tags"])
        cells = [by_size.loc[(size.posts, size.tags)] for size in sizes.itertuples()]
        lines.append(
            f"| {stage} | {' | '.join(f'{c.seconds:.0f} s, {c.peak_mb * 2**20 / 1e9:.1f} GB' for c in cells)} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
