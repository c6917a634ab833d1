"""What a contestant gets, and what it gives: the same posts, splits and tokens for all, scores for every post and tag.

`python contestant.py NAME [SETTINGS [INTO]]` runs one in the working directory, where the study's ingest and featurize
stages have run, and writes results/INTO.npz and results/INTO.json; INTO is NAME where it is not given. SETTINGS are the
arguments of its function, as JSON. A process each, so that the peak memory is its own.
"""

import argparse
import importlib
import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

from tagstudy.core.files import read_json
from tagstudy.core.paths import POSTS, SPLITS
from tagstudy.core.store import read_labels, read_texts
from tagstudy.data.text import words_of

CONTESTANTS = {  # a name, and the module whose function of this name it is
    "sparse": "ours",
    "dense": "ours",
    "logistic_regression": "baselines",
    "fasttext": "baselines",
    "libmultilabel": "baselines",
    "original_dense": "original",
    "original_sparse": "original",
}


class Corpus(NamedTuple):
    tokens: dict[str, list[list[str]]]  # of each split's posts
    labels: dict[str, np.ndarray]  # [posts, tags] booleans


class Result(NamedTuple):
    """What one trained model says. Only the order of its scores counts: the threshold is tuned by who reads them."""

    valid: np.ndarray  # [posts, tags]
    test: np.ndarray
    seconds: float  # of training, with nothing read, imported or tokenized in them
    parameters: int
    posts_per_second: float  # predicted on test
    curve: list[tuple[float, dict[str, float]]] = []  # noqa: RUF012  # seconds, scores on valid


def read_corpus() -> Corpus:
    tags = read_json(POSTS / "tags.json")
    tokens = {split: [words_of(text) for texts in read_texts(split) for text in texts] for split in SPLITS}
    return Corpus(tokens, {split: read_labels(split, tags) for split in SPLITS})


def timed(predict: Callable[[], np.ndarray]) -> tuple[np.ndarray, float]:
    """What ``predict`` gives for test, and the posts a second."""
    start = time.perf_counter()
    scores = predict()
    return scores, len(scores) / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=CONTESTANTS)
    parser.add_argument("settings", nargs="?", type=json.loads, default={})
    parser.add_argument("into", nargs="?")
    chosen = parser.parse_args()
    name, settings = chosen.name, chosen.settings
    given = getattr(importlib.import_module(CONTESTANTS[name]), name)(**settings)
    runs = given if isinstance(given, list) else [given]  # the arms run once per seed
    into = Path("results", chosen.into or name)
    into.parent.mkdir(parents=True, exist_ok=True)
    found = {f"{split}{number}": getattr(run, split) for number, run in enumerate(runs) for split in ("valid", "test")}
    np.savez(into.with_suffix(".npz"), **found)
    about = {
        "settings": settings,
        "runs": [{key: value for key, value in run._asdict().items() if key not in ("valid", "test")} for run in runs],
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    into.with_suffix(".json").write_text(json.dumps(about, indent=2))


if __name__ == "__main__":
    main()
