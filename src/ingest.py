"""Stage ingest: read tagged posts, merge repeated ones, keep those with enough tags, split them.

in:  ingest.source, a file or a folder of posts in any format that tagstudy/data/readers.py reads
out: data/posts: posts.parquet (id, title, body), splits.npy, labels/, counts/ (of words), tags.json, summary.json
"""

import tagstudy.core.processor  # noqa: F401 - before numpy and torch
from tagstudy.core.config import read_params
from tagstudy.core.files import atomic_folder
from tagstudy.core.paths import POSTS, UNFINISHED
from tagstudy.core.printing import print_visible
from tagstudy.core.stage import run
from tagstudy.data.files import and_more, described
from tagstudy.data.ingest import ingest

MANY = 200_000  # posts, from which on folds cost more than they tell


def main() -> str:
    params = read_params()
    settings = params.ingest
    with atomic_folder(POSTS, made_from=[]) as folder:
        summary = ingest(settings, folder, params.compute, UNFINISHED / "posts")
    for file in summary["files"]:
        print_visible(described(file))
    if unseen := summary["unseen_tags"]:
        in_scores = {"leave_out": "left out of networks and scores", "count": "never predicted, and counted as missed"}
        print_visible(
            f"tags without train posts, {in_scores[settings.unseen_tags]} (ingest.unseen_tags): "
            f"{and_more(list(unseen))} ({len(unseen):,} in all, see {POSTS / 'summary.json'})"
        )
    if summary["valid_cut_from_train"]:
        print_visible(
            "the source has no test posts: its valid posts become test, and new valid posts are split off from train"
            if summary["valid_is_test"]
            else "the source has no valid posts: they are cut from train"
        )
    kept, folds = summary["kept"], summary["folds"]
    if len(folds) > 1 and kept > MANY:
        print_visible(f"{kept:,} posts are enough for a single split; ingest.folds=1 saves most of the time")
    sizes = ", ".join(f"{count:,} {name}" for name, count in folds[0].items())
    splits = f"{len(folds)} folds of {sizes}" if len(folds) > 1 else sizes
    return f"read {summary['read']:,} rows, kept {kept:,} posts with {len(summary['tags'])} tags: {splits}"


if __name__ == "__main__":
    run(main)
