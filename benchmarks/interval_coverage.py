"""Does the 95% interval cover the true difference 95% of the time? Small studies on disjoint samples of real titles.

`python benchmarks/interval_coverage.py --data FOLDER` divides the titles of so_titles into 60 corpora, and makes a
study with folds of each. All estimate the same difference, so their mean is close to the truth. It also trains the
sparse arm a second time, with other seeds: against itself, it may win in one study of twenty at most. The differences
of every study go to benchmarks/interval_coverage.csv. (numba would take a module named `coverage` for the package.)
"""

import contextlib
import os
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd

from common import ROOT, arguments, write_params
from tagstudy.core.config import Params, read_params
from tagstudy.core.corpus import Corpus
from tagstudy.core.files import atomic_folder
from tagstudy.core.paths import FEATURES, POSTS, PREDICTIONS, ArmFolders, arm_folders
from tagstudy.data.ingest import ingest
from tagstudy.data.readers import Post, read_posts
from tagstudy.evaluation.comparison import LEVEL, compare, score
from tagstudy.evaluation.scoring import COMPARED
from tagstudy.evaluation.systems import Assessor
from tagstudy.features.dense import write_dense
from tagstudy.features.tfidf import write_tfidf
from tagstudy.model.arm import train_arm
from tagstudy.predictions.predictions import Predictions

TABLE = ROOT / "benchmarks/interval_coverage.csv"


def main() -> None:
    options = arguments(
        __doc__,
        studies={"type": int, "default": 60},
        tags={"type": int, "default": 20},
        folds={"type": int, "default": 5},
    )
    posts = titles(options.data / "so_titles", options.tags)
    rows = []
    for number in range(options.studies):
        with TemporaryDirectory() as scratch, contextlib.chdir(scratch):
            write_source(Path("posts.tsv"), posts[number :: options.studies])
            settings = {"source": "posts.tsv", "tags": options.tags, "min_tags": 1, "folds": options.folds}
            write_params(Path(), ingest=settings)
            rows.append(study(read_params()).assign(study=number))
        pd.concat(rows).round(6).to_csv(TABLE, index=False, lineterminator="\n")
        print(f"{number + 1} of {options.studies} studies", flush=True)
    report(pd.concat(rows))


def titles(source: Path, tags: int) -> list[Post]:
    """Different titles with one of the most frequent tags, in random order."""
    different = {row.text.title.lower(): row for row in read_posts(str(source)) if isinstance(row, Post)}
    frequent = pd.Series([tag for post in different.values() for tag in post.tags]).value_counts().index[:tags]
    posts = [post for post in different.values() if set(post.tags) & set(frequent)]
    return [posts[place] for place in np.random.default_rng(0).permutation(len(posts))]


def write_source(path: Path, posts: list[Post]) -> None:
    pd.DataFrame(
        {"title": [post.text.title for post in posts], "tags": [" ".join(post.tags) for post in posts]}
    ).to_csv(path, sep="\t", index=False)


def study(params: Params) -> pd.DataFrame:
    """Run all stages in the working directory; a row for each pair of arms and metric."""
    with (
        Path(os.devnull).open("w") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
    ):
        with atomic_folder(POSTS, made_from=[]) as folder:
            ingest(params.ingest, folder)
        corpus = Corpus(POSTS)
        with atomic_folder(FEATURES / "dense", made_from=[POSTS]) as folder:
            write_dense(folder, corpus, params.featurize_dense, "cpu", Path("cache"))
        with atomic_folder(FEATURES / "tfidf", made_from=[POSTS]) as folder:
            write_tfidf(folder, corpus, params.featurize_tfidf)
        train_arm(params.train_dense, arm_folders("dense"))
        train_arm(params.train_sparse, arm_folders("sparse"))
        other_seed = params.train_sparse.model_copy(update={"seed": params.train_sparse.seed + 1000})
        train_arm(other_seed, in_other_place(arm_folders("sparse")))
    assessor = Assessor(corpus, "tuned", "none")
    arms = {name: Predictions(PREDICTIONS / name) for name in ("dense", "sparse", "again")}
    scores = score(corpus, {name: assessor.arm(arm) for name, arm in arms.items()}, params.evaluate.resamples)
    tables = []
    for one in ("dense", "again"):
        table = compare(scores[one], scores["sparse"])[: len(COMPARED)]
        converged = not (arms[one].problem or arms["sparse"].problem)
        tables.append(table.assign(arms=f"{one}, sparse", metric=COMPARED, converged=converged))
    return pd.concat(tables)


def in_other_place(folders: ArmFolders) -> ArmFolders:
    return ArmFolders(
        folders.posts, folders.features, *(path.with_name(path.name.replace("sparse", "again")) for path in folders[2:])
    )


def report(table: pd.DataFrame) -> None:
    """How often the interval covers the mean of all studies, and how often it names a winner."""
    for (arms, metric), studies in table.groupby(["arms", "metric"], sort=False):
        truth = studies["difference"].mean() if arms == "dense, sparse" else 0.0
        error = studies["difference"].std() / len(studies) ** 0.5
        holds = ((studies["low"] <= truth) & (truth <= studies["high"])).mean()
        half = (studies["high"] - studies["low"]).mean() / 2
        print(
            f"{arms:14} {metric:16} difference {studies['difference'].mean():+.4f} (standard error {error:.4f}), "
            f"half-width {half:.4f}, covered in {holds:.1%}, a winner in {(studies['p'] < LEVEL).mean():.1%} "
            f"of {len(studies)} studies"
        )


if __name__ == "__main__":
    main()
