"""Where things are, relative to the study's folder, in which every command runs."""

from pathlib import Path
from typing import NamedTuple

SPLITS = ("train", "valid", "test")
ARMS = {"dense": "dense", "sparse": "tfidf"}  # an arm, one side of the comparison, and the folder of its features
POSTS = Path("data/posts")
FEATURES = Path("data/features")
MODELS = Path("data/models")
PREDICTIONS = Path("data/predictions")
TIMINGS = Path("data/timings")
UNFINISHED = Path("data/unfinished")
METRICS = Path("metrics")
PLOTS = Path("plots")


class ArmFolders(NamedTuple):
    """What the training of an arm reads and writes."""

    posts: Path
    features: Path
    models: Path
    predictions: Path
    timings: Path  # a JSON file, of seconds: they alone differ from time to time
    unfinished: Path  # checkpoints of runs that were stopped


def arm_folders(arm: str) -> ArmFolders:
    return ArmFolders(
        POSTS, FEATURES / ARMS[arm], MODELS / arm, PREDICTIONS / arm, TIMINGS / f"{arm}.json", UNFINISHED / arm
    )
