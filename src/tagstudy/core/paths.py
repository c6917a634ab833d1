"""The paths of a study, relative to its folder, in which every command runs."""

import os
from pathlib import Path
from typing import NamedTuple

SPLITS = ("train", "valid", "test")
ARMS = {"dense": "dense", "sparse": "tfidf"}  # the arms, the two sides of the comparison, and their features' folders
FUSION = "fusion"  # of the two arms
SYSTEMS = (*ARMS, FUSION)
POSTS = Path("data/posts")
FEATURES = Path("data/features")
MODELS = Path("data/models")
PREDICTIONS = Path("data/predictions")
DECISIONS = Path("data/decisions")
TIMINGS = Path("data/timings")
UNFINISHED = Path("data/unfinished")
METRICS = Path("metrics")
PLOTS = Path("plots")


# Outputs that other programs read, and the stages that write them.
WRITTEN_BY = {
    POSTS: "ingest",
    FEATURES / "dense": "featurize_dense",
    FEATURES / "tfidf": "featurize_tfidf",
    TIMINGS / "encode_dense.json": "featurize_dense",
    **{folder: f"train_{arm}" for arm in ARMS for folder in (MODELS / arm, PREDICTIONS / arm, TIMINGS / f"{arm}.json")},
    DECISIONS: "evaluate",
    METRICS: "evaluate",
}


def repro(path: Path) -> str:
    """The command that writes a file anew."""
    place = f"/{path.as_posix()}/"
    stages = [stage for output, stage in WRITTEN_BY.items() if f"/{output.as_posix()}/" in place]
    return " ".join(["dvc repro", *(f"--force {stage}" for stage in stages[:1])])


def features_of_fold(features: Path, fold: int) -> Path:
    """The folder of a fold's features in an arm's folder; an encoder's features are the same for all folds."""
    of_fold = features / f"fold-{fold}"
    return of_fold if of_fold.exists() else features


def embedding_cache() -> Path | None:
    """The file of encoded texts that all studies of a user share; None where the user has no home.

    Its folder is $TAGSTUDY_CACHE, or tagstudy/ in the user's cache folder. It is no parameter: it changes no result.
    """
    if folder := os.environ.get("TAGSTUDY_CACHE"):
        return Path(folder) / "encoded.sqlite"
    try:
        caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:
        return None
    return caches / "tagstudy/encoded.sqlite"


class ArmFolders(NamedTuple):
    """The folders that the training of an arm reads and writes."""

    posts: Path
    features: Path
    models: Path
    predictions: Path
    timings: Path  # a JSON file of seconds, apart because they differ each time
    unfinished: Path  # checkpoints of runs that were stopped


def arm_folders(arm: str) -> ArmFolders:
    return ArmFolders(
        POSTS, FEATURES / ARMS[arm], MODELS / arm, PREDICTIONS / arm, TIMINGS / f"{arm}.json", UNFINISHED / arm
    )
