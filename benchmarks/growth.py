"""Every stage by the number of posts and of tags: seconds and peak memory. Writes benchmarks/growth.csv.

`python benchmarks/growth.py --data FOLDER --posts 10000 100000 --tags 50`. The posts are made from real ones; with
`--titles` they are titles alone. Training takes `--epochs` epochs of each arm, of at most `--steps` steps together, and
`--runs` runs side by side; `--held-out` is the fraction of the posts in valid, and in test. Peak memory is that of the
stage and its processes together, each page counted once. In the end it prints a table for each kind; docs/scaling.md
has that of titles.

With `--folder` it works in a subfolder of it for each kind and number of posts and tags, and keeps it, so that
`--stages` can run separately, and stopped training resumes.
"""

from argparse import Namespace
from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from common import ROOT, arguments, make_dump, make_titles, measure, write_params

TABLE = ROOT / "benchmarks/growth.csv"
KINDS = ["posts", "titles"]
SOURCE = "[Pp]osts.*"
STEPS = 1000  # of the tables
STAGES = ["ingest", "featurize_dense", "featurize_tfidf", "train_dense", "train_sparse", "evaluate"]


def main() -> None:
    chosen = arguments(
        __doc__,
        posts={"type": int, "nargs": "+", "default": [10_000, 100_000, 1_000_000]},
        tags={"type": int, "nargs": "+", "default": [50]},
        runs={"type": int, "default": 1},
        epochs={"type": int, "default": 1},
        steps={"type": int, "default": STEPS},
        held_out={"type": float, "default": 0.2},
        titles={"action": "store_true"},
        folder={"type": Path},
        stages={"nargs": "+", "choices": STAGES, "default": STAGES},
    )
    for posts in chosen.posts:
        kept = chosen.folder and chosen.folder / f"{KINDS[chosen.titles]}-{posts}-{max(chosen.tags)}"
        with nullcontext(kept) if kept else TemporaryDirectory(dir=ROOT / "benchmarks") as scratch:
            folder = Path(scratch)
            folder.mkdir(parents=True, exist_ok=True)
            if not list(folder.glob(SOURCE)):  # else those of last time
                make_posts(folder, posts, chosen)
            for tags in chosen.tags:
                grow(folder, posts, tags, chosen)
    print("\n\n".join(map(in_markdown, KINDS)))


def make_posts(folder: Path, posts: int, chosen: Namespace) -> None:
    if chosen.titles:
        make_titles(folder / "posts.parquet", chosen.data, posts, max(chosen.tags))
    else:
        make_dump(folder / "Posts.xml", chosen.data, posts=posts, tags=max(chosen.tags))


def grow(folder: Path, posts: int, tags: int, chosen: Namespace) -> None:
    """Run the stages in a folder with a file of posts, and write a row for each into the table."""
    [source] = folder.glob(SOURCE)
    held_out = {"valid": chosen.held_out, "test": chosen.held_out}
    ingest = {"source": source.name, "tags": tags, "min_tags": 0, "folds": 1, **held_out}
    train = {"runs": chosen.runs, "epochs": chosen.epochs, "max_steps": chosen.steps}
    write_params(folder, ingest=ingest, train=train)
    for stage in chosen.stages:
        used = measure(folder, ROOT / f"src/{stage}.py")
        print(
            f"{posts:>10,} posts {tags:>5,} tags {stage:16} {used.seconds:8.1f} s {used.cpu_seconds:8.1f} CPU s "
            f"{used.peak_mb:7.0f} MB",
            flush=True,
        )
        about = {"kind": KINDS[chosen.titles], "posts": posts, "tags": tags, "runs": chosen.runs, "stage": stage}
        about["steps"] = chosen.steps
        found = {name: round(value, 1) for name, value in used._asdict().items()} | {"peak_mb": round(used.peak_mb)}
        row = about | {"held_out": chosen.held_out} | found
        table = pd.concat([pd.read_csv(TABLE), pd.DataFrame([row])]).drop_duplicates(list(about), keep="last")
        table.to_csv(TABLE, index=False, lineterminator="\n")


def in_markdown(kind: str) -> str:
    """Of each stage its seconds and its peak memory, a column for each number of posts and of tags."""
    rows = pd.read_csv(TABLE).query("kind == @kind and runs == 1 and steps == @STEPS")
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
